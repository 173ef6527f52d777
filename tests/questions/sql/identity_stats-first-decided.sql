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

WITH stretches AS (
    SELECT visitor, known, user_hash, half_hour, page, first, last, events, page_views, actions,
        touches,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + intDiv(first.at, 2), 'UTC')
            AS began,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + last.at, 'UTC') AS ended
    FROM half_hours
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT visitor, user_hash, ended AS timestamp, known
    FROM stretches
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
    SELECT visitor, argMin(user_hash, (first_seen, user_id)) AS person
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
    SELECT visitor, argMin(user_id, (first_seen, user_id)) AS user_id
    FROM user_links
    GROUP BY visitor
), owned_touch_times AS (
    SELECT user_id, first_touch.off_page AS off_page, first_touch.timestamp AS at, known_since AS known
    FROM tagged_touches
    UNION ALL
    SELECT o.user_id AS user_id, first_touch.off_page AS off_page, first_touch.timestamp AS at, toDateTime64('2299-01-01 00:00:00', 3, 'UTC') AS known
    FROM untagged_touches AS t
    INNER JOIN device_owners AS o ON o.visitor = t.visitor
), first_touch_times AS (
    SELECT user_id, if(min(off_page), min(at), minIf(at, NOT off_page)) AS first_touched_at, min(known) AS known_since
    FROM owned_touch_times
    GROUP BY user_id
), linked AS (
    SELECT user_id, uniqExact(visitor) AS devices
    FROM user_links
    GROUP BY user_id
)
SELECT
    (SELECT uniqExact(person) FROM person_events) AS persons,
    (SELECT count() FROM shared_devices) AS shared_count,
    (
        SELECT (count(), quantileExactInclusiveOrNull(0.5)(
            greatest(0, dateDiff('millisecond', first_touched_at, known_since))
        ))
        FROM first_touch_times
    ) AS known,
    (SELECT (sum(devices), max(devices), avg(devices)) FROM linked) AS linked_devices;
