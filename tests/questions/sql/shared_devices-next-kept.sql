WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), shared_devices AS (
    SELECT DISTINCT visitor
    FROM dictionary({intervals:String})
), seen AS (
    SELECT r.visitor AS visitor, r.timestamp AS timestamp, r.user_hash AS user_hash,
        r.user_hash AS person, r.user_hash != 0  AS observed
    FROM counted_events AS r
    WHERE r.visitor IN (SELECT visitor FROM shared_devices)
), user_links AS (
    SELECT r.visitor AS visitor, r.user_id AS user_id, r.user_hash AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
), first_owners AS (
    SELECT visitor, argMin(user_hash, (first_seen, user_id)) AS person
    FROM user_links
    GROUP BY visitor
), last_owners AS (
    SELECT visitor, argMax(user_hash, (last_seen, user_id)) AS person
    FROM user_links
    GROUP BY visitor
), ownership AS (
    SELECT visitor, user_hash, fromUnixTimestamp64Milli(until, 'UTC') AS until
    FROM dictionary({intervals:String})
), persons_seen AS (
    SELECT e.visitor AS visitor, e.person AS user_hash,
        countIf(e.observed) AS observations,
        minIf(e.timestamp, e.observed) AS first_seen,
        maxIf(e.timestamp, e.observed) AS last_seen,
        count() AS found, countIf(e.user_hash = 0) AS untagged,
        countIf(e.user_hash = 0 AND o.user_hash != f.person) AS not_firsts,
        countIf(e.user_hash = 0 AND o.user_hash != l.person) AS not_lasts
    FROM seen AS e
    INNER JOIN first_owners AS f ON f.visitor = e.visitor
    INNER JOIN last_owners AS l ON l.visitor = e.visitor
    ASOF INNER JOIN ownership AS o ON o.visitor = e.visitor AND e.timestamp <= o.until
    GROUP BY e.visitor, user_hash
), names AS (
    SELECT visitor, user_hash, any(user_id) AS user_id, any(anonymous_id) AS anonymous_id
    FROM user_links
    GROUP BY visitor, user_hash
)
SELECT max(n.anonymous_id) AS anonymous_id,
    arraySort(
        groupArrayIf((first_seen, n.user_id, observations, last_seen), observations > 0)
    ) AS users,
    sum(found) AS events,
    (sum(not_firsts) / events, sum(not_lasts) / events, sum(untagged) / events) AS moving
FROM persons_seen AS s
LEFT JOIN names AS n ON n.visitor = s.visitor AND n.user_hash = s.user_hash
GROUP BY s.visitor
ORDER BY events DESC, anonymous_id
LIMIT 101;
