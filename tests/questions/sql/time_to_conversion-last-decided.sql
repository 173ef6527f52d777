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
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        e.user_id AS user_id
    FROM counted_events AS e
    WHERE e.event_name = {conversion:String}
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
), owners AS (
    SELECT visitor, argMax(user_hash, (last_seen, user_id)) AS person
    FROM user_links
    GROUP BY visitor
), person_events AS (
    SELECT if(o.person != 0, o.person, e.seen) AS person, o.person = 0 AND e.untagged AS is_nobodys,
        e.* EXCEPT (seen, untagged)
    FROM (
        SELECT transform(
            if(r.user_hash = 0, r.visitor, r.user_hash), {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, if(r.user_hash = 0, r.visitor, r.user_hash)
        ) AS seen, r.user_hash = 0 AS untagged, r.* EXCEPT (visitor, user_hash)
        FROM considered AS r
    ) AS e
    LEFT ANY JOIN owners AS o ON o.visitor = e.seen
), conversions AS (
    SELECT person AS owner, min(timestamp) AS converted_at
    FROM person_events
    GROUP BY person
), tagged_touches AS (
    SELECT transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id) AS user_id, r.first_touch AS first_touch, r.known_since AS known_since
    FROM user_touches AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
), untagged_touches AS (
    SELECT r.visitor AS visitor, (
        r.first_touch.off_page, r.first_touch.timestamp, r.first_touch.event_id, r.visitor,
        r.first_touch.traffic_source
    )::Tuple(
            off_page UInt8, timestamp DateTime64(3, 'UTC'), event_id String, visitor UInt64,
            traffic_source UInt64
        ) AS first_touch
    FROM visitor_touches AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
), device_owners AS (
    SELECT visitor, argMax(user_id, (last_seen, user_id)) AS user_id
    FROM user_links
    GROUP BY visitor
), owned_touches AS (
    SELECT user_id, first_touch AS touch, known_since AS known
    FROM tagged_touches
    UNION ALL
    SELECT o.user_id AS user_id, first_touch AS touch, toDateTime64('2299-01-01 00:00:00', 3, 'UTC') AS known
    FROM untagged_touches AS t
    INNER JOIN device_owners AS o ON o.visitor = t.visitor
), first_touches AS (
    SELECT user_id, arrayMin(groupArray(touch)) AS first_touch, min(known) AS known_since
    FROM owned_touches
    GROUP BY user_id
), pairs AS (
    SELECT t.touched_at AS touched_at, t.traffic_source AS traffic_source,
        c.converted_at AS converted_at
    FROM conversions AS c
    INNER JOIN (
        SELECT sipHash64('user', user_id) AS owner,
            first_touch.timestamp AS touched_at, first_touch.traffic_source AS traffic_source
        FROM first_touches
    ) AS t ON t.owner = c.owner
), times AS (
    SELECT *, greatest(0, dateDiff('millisecond', touched_at, converted_at)) / 1000 AS seconds
    FROM pairs
), named_sources AS (
    SELECT traffic_source, source, medium, campaign, channel FROM traffic_sources WHERE project_id = {project_id:String}
    UNION ALL
    SELECT cityHash64('direct', 'direct', '', 'Direct') * 2 + 1, 'direct', 'direct', '', 'Direct'
    UNION ALL
    SELECT 0, 'outside_window', 'outside_window', 'outside_window', 'outside_window'
)
SELECT n.source AS source, 
    count() AS persons,
    round(avg(seconds), 6) AS mean_seconds,
    quantilesExactInclusive(0.25, 0.5, 0.75, 0.9, 0.99)(seconds) AS quantiles,
    sumMap(map(roundDown(toUInt64(seconds), [0, 60, 600, 3600, 21600, 86400, 172800, 259200, 432000, 604800, 1209600, 2592000, 5184000, 7776000]), 1)) AS histogram
FROM times AS t
LEFT ANY JOIN named_sources AS n ON n.traffic_source = t.traffic_source
GROUP BY source
ORDER BY persons DESC, source;

WITH user_links AS (
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
)
SELECT any(anonymous_id) AS anonymous_id
FROM user_links
WHERE visitor IN (SELECT visitor FROM shared_devices)
GROUP BY visitor
ORDER BY anonymous_id
LIMIT 100;
