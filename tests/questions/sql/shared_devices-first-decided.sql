SELECT is_alias, count() AS decisions, max(decided_at) AS newest
FROM (
    SELECT TRUE AS is_alias, decided_at FROM aliases WHERE project_id = {project_id:String}
    UNION ALL
    SELECT FALSE AS is_alias, decided_at FROM unlinks WHERE project_id = {project_id:String}
)
GROUP BY is_alias
ORDER BY is_alias;

WITH decided_devices AS (
    SELECT r.visitor AS device,
        minIf(transform(
        r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
    ), (r.visitor, r.user_hash) NOT IN arrayZip(
        {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
    )) AS least, maxIf(transform(
        r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
    ), (r.visitor, r.user_hash) NOT IN arrayZip(
        {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
    )) AS greatest
    FROM links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND (r.visitor IN (
        SELECT visitor FROM links WHERE project_id = {project_id:String} AND user_id IN {aliased:Array(String)}
            AND NOT is_bot
    ) OR r.visitor IN {unlinked_visitors:Array(UInt64)})
    GROUP BY r.visitor
)
SELECT device, least, greatest
FROM decided_devices
ORDER BY device;

WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), device_states AS (
    SELECT visitor, least, greatest
    FROM device_users FINAL
    WHERE project_id = {project_id:String} AND NOT is_bot
), devices AS (
    SELECT r.visitor AS visitor,
        transform(
            r.visitor, {decided_devices:Array(UInt64)}, {decided_least:Array(UInt64)}, r.least
        ) AS least,
        transform(
            r.visitor, {decided_devices:Array(UInt64)}, {decided_greatest:Array(UInt64)}, r.greatest
        ) AS greatest
    FROM device_states AS r
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
), user_links AS (
    SELECT r.visitor AS visitor, transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id) AS user_id, transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
), first_owners AS (
    SELECT visitor, argMin(user_hash, (first_seen, user_id)) AS person
    FROM user_links
    GROUP BY visitor
), last_owners AS (
    SELECT visitor, argMax(user_hash, (last_seen, user_id)) AS person
    FROM user_links
    GROUP BY visitor
), stretches AS (
    SELECT visitor, known, user_hash, half_hour, page, first, last, events, page_views, actions,
        touches,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + intDiv(first.at, 2), 'UTC')
            AS began,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + last.at, 'UTC') AS ended
    FROM half_hours
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), known_stretches AS (
    SELECT visitor, half_hour, ended AS timestamp, user_hash
    FROM stretches
    WHERE known AND visitor IN (SELECT visitor FROM shared_devices)
), telling_stretches AS (
    SELECT visitor, timestamp, user_hash, '' AS user_id
    FROM known_stretches
    UNION ALL
    SELECT e.visitor AS visitor, e.timestamp AS timestamp, e.user_hash AS user_hash,
        assumeNotNull(e.user_id) AS user_id
    FROM counted_events AS e
    WHERE e.user_id IS NOT NULL AND NOT e.anonymous_id_generated
        AND (e.visitor, intDiv(toUnixTimestamp64Milli(e.timestamp), 1800000)) IN (
            SELECT visitor, half_hour
            FROM known_stretches
            GROUP BY visitor, half_hour
            HAVING min(user_hash) != max(user_hash)
        )
), observations AS (
    SELECT r.visitor AS visitor, r.timestamp AS timestamp, transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash,
        max(transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id)) AS user_id
    FROM telling_stretches AS r
    WHERE (r.visitor, r.user_hash) NOT IN arrayZip(
            {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
        )
    GROUP BY visitor, timestamp, user_hash
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
