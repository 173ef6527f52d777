WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
        AND received_at <= {as_of:DateTime64(3, 'UTC')}
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        toString(e.source) AS event_source,
        e.visitor AS on_device,
        NOT (e.source_rule_id = 'no_page') AS on_page,
        e.traffic_source AS own_source
    FROM counted_events AS e
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
), half_hours_then AS (
    SELECT *
    FROM (
        SELECT e.project_id AS project_id,
            e.is_bot AS is_bot,
            e.user_hash != 0 AS known,
            e.visitor AS visitor,
            e.user_hash AS user_hash,
            toUInt32(intDiv(toUnixTimestamp64Milli(e.timestamp), 1800000)) AS half_hour,
            multiIf(NOT (e.source_rule_id != 'no_page'), 0, e.path = '', 1, 2) AS page,
            min((toUInt32(modulo(toUnixTimestamp64Milli(e.timestamp), 1800000)) * 2 + NOT (e.medium = 'return'), e.path)::Tuple(at UInt32, path String)) AS first,
            max((toUInt32(modulo(toUnixTimestamp64Milli(e.timestamp), 1800000)), e.path)::Tuple(at UInt32, path String)) AS last,
            sum(toUInt64(1)) AS events,
            sum(toUInt64(e.event_name IN ('$pageview', '$screen'))) AS page_views,
            sum(toUInt64(NOT startsWith(e.event_name, '$'))) AS actions,
            minMap((if((e.source NOT IN ('direct', 'internal') AND e.medium NOT IN ('internal', 'return', 'spam')), [e.traffic_source], emptyArrayUInt64()), if((e.source NOT IN ('direct', 'internal') AND e.medium NOT IN ('internal', 'return', 'spam')), [toUInt32(modulo(toUnixTimestamp64Milli(e.timestamp), 1800000))], emptyArrayUInt32()))) AS touches
        FROM counted_events AS e
        WHERE TRUE AND (TRUE)
        GROUP BY e.project_id, e.is_bot, e.user_hash != 0, e.visitor, e.user_hash, toUInt32(intDiv(toUnixTimestamp64Milli(e.timestamp), 1800000)), multiIf(NOT (e.source_rule_id != 'no_page'), 0, e.path = '', 1, 2)
    )
), stretches AS (
    SELECT visitor, known, user_hash, half_hour, page, first, last, events, page_views, actions,
        touches,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + intDiv(first.at, 2), 'UTC')
            AS began,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + last.at, 'UTC') AS ended
    FROM half_hours_then
    WHERE project_id = {project_id:String}
        AND NOT is_bot
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
), person_stretches AS (
    SELECT if(o.person != 0, o.person, e.seen) AS person, o.person = 0 AND e.untagged AS is_nobodys,
        e.* EXCEPT (seen, untagged)
    FROM (
        SELECT transform(
            if(r.user_hash = 0, r.visitor, r.user_hash), {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, if(r.user_hash = 0, r.visitor, r.user_hash)
        ) AS seen, r.user_hash = 0 AS untagged, r.* EXCEPT (visitor, user_hash)
        FROM page_stretches AS r
    ) AS e
    LEFT ANY JOIN owners AS o ON o.visitor = e.seen
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
), user_touches_then AS (
    SELECT *
    FROM (
        SELECT e.project_id AS project_id,
            assumeNotNull(e.user_id) AS user_id,
            e.is_bot AS is_bot,
            min((NOT (e.source_rule_id != 'no_page'), e.timestamp, e.event_id, e.visitor, e.traffic_source)::Tuple(off_page Bool, timestamp DateTime64(3, 'UTC'), event_id String, visitor UInt64, traffic_source UInt64)) AS first_touch,
            min(e.timestamp) AS known_since
        FROM counted_events AS e
        WHERE e.user_id IS NOT NULL AND (TRUE)
        GROUP BY e.project_id, assumeNotNull(e.user_id), e.is_bot
    )
), tagged_touches AS (
    SELECT transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id) AS user_id, r.first_touch AS first_touch, r.known_since AS known_since
    FROM user_touches_then AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
), visitor_touches_then AS (
    SELECT *
    FROM (
        SELECT e.project_id AS project_id,
            e.visitor AS visitor,
            e.is_bot AS is_bot,
            min((NOT (e.source_rule_id != 'no_page'), e.timestamp, e.event_id, e.traffic_source)::Tuple(off_page Bool, timestamp DateTime64(3, 'UTC'), event_id String, traffic_source UInt64)) AS first_touch
        FROM counted_events AS e
        WHERE e.user_id IS NULL AND (TRUE)
        GROUP BY e.project_id, e.visitor, e.is_bot
    )
), untagged_touches AS (
    SELECT r.visitor AS visitor, (
        r.first_touch.off_page, r.first_touch.timestamp, r.first_touch.event_id, r.visitor,
        r.first_touch.traffic_source
    )::Tuple(
            off_page UInt8, timestamp DateTime64(3, 'UTC'), event_id String, visitor UInt64,
            traffic_source UInt64
        ) AS first_touch
    FROM visitor_touches_then AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
), device_owners AS (
    SELECT visitor, argMin(user_id, (first_seen, user_id)) AS user_id
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
), nobodys_touches AS (
    SELECT t.visitor AS person, arrayMin(groupArray(t.first_touch)) AS first_touch
    FROM untagged_touches AS t
    WHERE t.visitor NOT IN (SELECT visitor FROM user_links)
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
