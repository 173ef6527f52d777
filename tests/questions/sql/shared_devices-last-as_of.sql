SELECT is_alias, count() AS decisions, max(decided_at) AS newest
FROM (
    SELECT TRUE AS is_alias, decided_at FROM aliases WHERE project_id = {project_id:String}
    UNION ALL
    SELECT FALSE AS is_alias, decided_at FROM unlinks WHERE project_id = {project_id:String}
)
GROUP BY is_alias
ORDER BY is_alias;

WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
        AND received_at <= {as_of:DateTime64(3, 'UTC')}
), links_then AS (
    SELECT *, sipHash64('user', user_id) AS user_hash
    FROM (
        SELECT e.project_id AS project_id,
            assumeNotNull(e.user_id) AS user_id,
            e.visitor AS visitor,
            e.is_bot AS is_bot,
            any(e.anonymous_id) AS anonymous_id,
            min(e.timestamp) AS first_seen,
            max(e.timestamp) AS last_seen
        FROM counted_events AS e
        WHERE e.user_id IS NOT NULL AND NOT e.anonymous_id_generated AND (TRUE)
        GROUP BY e.project_id, assumeNotNull(e.user_id), e.visitor, e.is_bot
    )
), user_links AS (
    SELECT r.visitor AS visitor, transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id) AS user_id, transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links_then AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
), devices AS (
    SELECT visitor, min(user_hash) AS least, max(user_hash) AS greatest
    FROM user_links
    GROUP BY visitor
), shared_devices AS (
    SELECT visitor FROM devices WHERE least != greatest
), seen AS (
    SELECT r.visitor AS visitor, r.timestamp AS timestamp, r.user_hash AS user_hash,
        transform(
        r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
    ) AS person, r.user_hash != 0 AND (r.visitor, r.user_hash) NOT IN arrayZip(
        {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
    ) AS observed
    FROM counted_events AS r
    WHERE r.visitor IN (SELECT visitor FROM shared_devices)
), first_owners AS (
    SELECT visitor, argMin(user_hash, (first_seen, user_id)) AS person
    FROM user_links
    GROUP BY visitor
), last_owners AS (
    SELECT visitor, argMax(user_hash, (last_seen, user_id)) AS person
    FROM user_links
    GROUP BY visitor
), observed_events AS (
    SELECT r.visitor AS visitor, r.timestamp AS timestamp, transform(assumeNotNull(r.user_id), {aliased:Array(String)}, {persons:Array(String)}, assumeNotNull(r.user_id)) AS user_id,
        transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash, r.anonymous_id AS anonymous_id,
        r.event_id AS event_id, r.event_name AS event_name
    FROM counted_events AS r
    WHERE r.user_id IS NOT NULL AND NOT r.anonymous_id_generated
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
), observations AS (
    SELECT DISTINCT visitor, timestamp, user_hash, user_id
    FROM observed_events
    WHERE visitor IN (SELECT visitor FROM shared_devices)
), ownership AS (
    SELECT visitor, user_hash, if(next_hash = 0, toDateTime64('2299-01-01 00:00:00', 3, 'UTC'), timestamp) AS until
    FROM (
        SELECT visitor, user_hash, timestamp,
            lagInFrame(timestamp, 1, toDateTime64('2299-01-01 00:00:00', 3, 'UTC')) OVER seen AS previous,
            leadInFrame(user_hash) OVER seen AS next_hash
        FROM observations
        WINDOW seen AS (
            PARTITION BY visitor ORDER BY timestamp, user_id
            ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING
        )
    )
    WHERE next_hash != user_hash AND (next_hash = 0 OR previous != timestamp)
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
