WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        toString(e.source) AS event_source,
        e.visitor AS on_device,
        NOT (e.source_rule_id = 'no_page') AS on_page,
        e.traffic_source AS own_source
    FROM counted_events AS e
), person_events AS (
    SELECT multiIf(e.owner = 0, e.seen, e.owner != 1, e.owner, dictGet({intervals:String}, 'user_hash', e.seen, toUnixTimestamp64Milli(e.timestamp))) AS person,
        e.owner = 0 AND e.untagged AS is_nobodys, e.* EXCEPT (seen, owner, untagged)
    FROM (
        SELECT if(r.user_hash = 0, r.visitor, r.user_hash) AS seen, dictGet({devices:String}, 'person', seen) AS owner, r.user_hash = 0 AS untagged,
            r.* EXCEPT (visitor, user_hash)
        FROM considered AS r
    ) AS e
), stretches AS (
    SELECT visitor, known, user_hash, half_hour, page, first, last, events, page_views, actions,
        touches,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + intDiv(first.at, 2), 'UTC')
            AS began,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + last.at, 'UTC') AS ended
    FROM half_hours
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), changing_half_hours AS (
    SELECT visitor, half_hour FROM {kept:Identifier}.{changing_events:Identifier}
), changing_events AS (
    SELECT * FROM {kept:Identifier}.{changing_events:Identifier}
), page_stretches AS (
    SELECT visitor, user_hash,
        fromUnixTimestamp64Milli(ends, 'UTC') AS timestamp, visitor AS device,
        toInt64(half_hour) * 3600000 + first.at AS begins,
        toInt64(half_hour) * 1800000 + last.at AS ends,
        first.path AS entry, last.path AS exit, events, page_views, actions,
        if(
            empty(touches.1), [],
            arrayZip(arrayMap(ms -> toInt64(half_hour) * 1800000 + ms, touches.2), touches.1)
        )::Array(Tuple(Int64, UInt64)) AS touches
    FROM stretches
    WHERE page > 0
        AND (visitor, half_hour) NOT IN (SELECT visitor, half_hour FROM changing_half_hours)
    UNION ALL
    SELECT visitor, user_hash,
        fromUnixTimestamp64Milli(ends, 'UTC') AS timestamp, visitor AS device,
        toInt64(half_hour) * 3600000 + first.at AS begins,
        toInt64(half_hour) * 1800000 + last.at AS ends,
        first.path AS entry, last.path AS exit, events, page_views, actions,
        if(
            empty(touches.1), [],
            arrayZip(arrayMap(ms -> toInt64(half_hour) * 1800000 + ms, touches.2), touches.1)
        )::Array(Tuple(Int64, UInt64)) AS touches
    FROM changing_events
    WHERE page > 0
), person_stretches AS (
    SELECT multiIf(e.owner = 0, e.seen, e.owner != 1, e.owner, dictGet({intervals:String}, 'user_hash', e.seen, toUnixTimestamp64Milli(e.timestamp))) AS person,
        e.owner = 0 AND e.untagged AS is_nobodys, e.* EXCEPT (seen, owner, untagged)
    FROM (
        SELECT if(r.user_hash = 0, r.visitor, r.user_hash) AS seen, dictGet({devices:String}, 'person', seen) AS owner, r.user_hash = 0 AS untagged,
            r.* EXCEPT (visitor, user_hash)
        FROM page_stretches AS r
    ) AS e
), in_order AS (
    SELECT any(s.person) AS person, any(s.device) AS device,
        groupArray(s.begins) AS all_begins, groupArray(s.ends) AS all_ends,
        arraySort(
            (stretch, at) -> at, arrayZip(all_begins, all_ends, groupArray((multiIf(
            empty(touches), (9223372036854775807, 0)::Tuple(Int64, UInt64),
            length(touches) = 1, touches[1],
            arraySort(touches)[1]
        ) AS first_of_touches).1), groupArray(first_of_touches.2)), all_begins
        ) AS stretches,
        arrayPushFront(arrayPopBack(arraySort(all_ends)), 0) AS before
    FROM person_stretches AS s
    GROUP BY cityHash64(s.person, s.device)
), visits AS (
    SELECT person, device, intDiv(visit[1].1, 2) AS started,
        arrayMax(visit.2) AS ended, visit[1].1 % 2 = 0 AS resumed,
        (
            arrayMin(visit.3),
            if(arrayMin(visit.3) = 9223372036854775807, cityHash64('direct', 'direct', '', 'Direct') * 2 + 1, arrayMin(
                arrayFilter((source, at) -> at = arrayMin(visit.3), visit.4, visit.3)
            ))
        )::Tuple(Int64, UInt64) AS arrival
    FROM in_order
    ARRAY JOIN arraySplit(
        (s, b) -> s.1 > 1 + 2 * (b + if(s.1 % 2 = 0,
            greatest(14400000, {visit_timeout_ms:Int64}), {visit_timeout_ms:Int64}
        )),
        stretches, before
    ) AS visit
), named_sources AS (
    SELECT traffic_source, source, medium, campaign, channel FROM traffic_sources WHERE project_id = {project_id:String}
    UNION ALL
    SELECT cityHash64('direct', 'direct', '', 'Direct') * 2 + 1, 'direct', 'direct', '', 'Direct'
    UNION ALL
    SELECT 0, 'outside_window', 'outside_window', 'outside_window', 'outside_window'
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
), first_touches AS (
    SELECT max(id) AS user_id, arrayMin(groupArray(touch)) AS first_touch, min(known) AS known_since
    FROM (
        SELECT sipHash64('user', user_id) AS person, user_id AS id, first_touch AS touch, known_since AS known
        FROM tagged_touches
        UNION ALL
        SELECT dictGet({devices:String}, 'person', t.visitor) AS person, '' AS id, first_touch AS touch, toDateTime64('2299-01-01 00:00:00', 3, 'UTC') AS known
        FROM untagged_touches AS t
        WHERE dictGet({devices:String}, 'person', t.visitor) > 1
        UNION ALL
        SELECT t.person AS person, '' AS id, (off_page, at, event_id, t.visitor, t.traffic_source)::Tuple(
                off_page UInt8, timestamp DateTime64(3, 'UTC'), event_id String, visitor UInt64,
                traffic_source UInt64
            ) AS touch, toDateTime64('2299-01-01 00:00:00', 3, 'UTC') AS known
        FROM {kept:Identifier}.{shared_touches:Identifier} AS t
    )
    GROUP BY person
), nobodys_touches AS (
    SELECT t.visitor AS person, arrayMin(groupArray(t.first_touch)) AS first_touch
    FROM untagged_touches AS t
    WHERE dictGet({devices:String}, 'person', t.visitor) = 0
    GROUP BY t.visitor
), first_events AS (
    SELECT sipHash64('user', user_id) AS person, first_touch
    FROM first_touches
    UNION ALL
    SELECT person, first_touch
    FROM nobodys_touches
)
SELECT p.event_source AS event_source, vn.source AS visit_source, fn.channel AS first_channel, count() AS value
FROM person_events AS p
ASOF LEFT JOIN (
    SELECT person, device, fromUnixTimestamp64Milli(started, 'UTC') AS started,
        arrival.2 AS traffic_source
    FROM visits
) AS v ON v.person = p.person AND v.device = p.on_device AND p.timestamp >= v.started
LEFT ANY JOIN named_sources AS vn
    ON vn.traffic_source = if(p.on_page, v.traffic_source, p.own_source)
LEFT ANY JOIN (
    SELECT person, first_touch.traffic_source AS traffic_source FROM first_events
) AS f ON f.person = p.person
LEFT ANY JOIN named_sources AS fn ON fn.traffic_source = f.traffic_source
GROUP BY event_source, visit_source, first_channel
ORDER BY value DESC, event_source, visit_source, first_channel
LIMIT 101;
