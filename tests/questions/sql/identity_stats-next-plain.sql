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
), device_states AS (
    SELECT visitor, least, greatest
    FROM device_users FINAL
    WHERE project_id = {project_id:String} AND NOT is_bot
), devices AS (
    SELECT visitor, least, greatest FROM device_states
), owners AS (
    SELECT visitor, if(least = greatest, least, 1) AS person
    FROM devices
), shared_devices AS (
    SELECT visitor FROM devices WHERE least != greatest
), known_stretches AS (
    SELECT visitor, half_hour, ended AS timestamp, user_hash
    FROM stretches
    WHERE known AND visitor IN (SELECT visitor FROM shared_devices)
), counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
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
    SELECT r.visitor AS visitor, r.timestamp AS timestamp, r.user_hash AS user_hash,
        max(r.user_id) AS user_id
    FROM telling_stretches AS r
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
), person_events AS (
    SELECT
        multiIf(o.person = 0, e.seen, o.person != 1, o.person, c.user_hash) AS person,
        o.person = 0 AND e.untagged AS is_nobodys, e.* EXCEPT (seen, untagged)
    FROM (
        SELECT if(r.user_hash = 0, r.visitor, r.user_hash) AS seen, r.user_hash = 0 AS untagged, r.* EXCEPT (visitor, user_hash)
        FROM considered AS r
    ) AS e
    LEFT ANY JOIN owners AS o ON o.visitor = e.seen
    ASOF LEFT JOIN ownership AS c
        ON c.visitor = if(o.person = 1, e.seen, 0) AND e.timestamp <= c.until
), tagged_touches AS (
    SELECT r.user_id AS user_id, r.first_touch AS first_touch, r.known_since AS known_since
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
), user_links AS (
    SELECT r.visitor AS visitor, r.user_id AS user_id, r.user_hash AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
), device_owners AS (
    SELECT visitor, any(user_id) AS user_id
    FROM user_links
    GROUP BY visitor
    HAVING min(user_hash) = max(user_hash)
), user_ownership AS (
    SELECT o.visitor AS visitor, n.user_id AS user_id, o.until AS until
    FROM ownership AS o
    INNER JOIN (
        SELECT visitor, user_hash, any(user_id) AS user_id
        FROM user_links
        GROUP BY visitor, user_hash
    ) AS n ON n.visitor = o.visitor AND n.user_hash = o.user_hash
), owned_touch_times AS (
    SELECT user_id, first_touch.off_page AS off_page, first_touch.timestamp AS at, known_since AS known
    FROM tagged_touches
    UNION ALL
    SELECT o.user_id AS user_id, first_touch.off_page AS off_page, first_touch.timestamp AS at, toDateTime64('2299-01-01 00:00:00', 3, 'UTC') AS known
    FROM untagged_touches AS t
    INNER JOIN device_owners AS o ON o.visitor = t.visitor
    UNION ALL
    SELECT o.user_id AS user_id, e.source_rule_id = 'no_page' AS off_page, e.timestamp AS at, toDateTime64('2299-01-01 00:00:00', 3, 'UTC') AS known
    FROM counted_events AS e
    ASOF INNER JOIN user_ownership AS o ON o.visitor = e.visitor AND e.timestamp <= o.until
    WHERE e.user_hash = 0 AND e.visitor IN (SELECT visitor FROM shared_devices)
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
