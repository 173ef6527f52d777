WITH stretches AS (
    SELECT visitor, known, user_hash, half_hour, page, first, last, events, page_views, actions,
        touches,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + intDiv(first.at, 2), 'UTC')
            AS began,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + last.at, 'UTC') AS ended
    FROM half_hours
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
), user_links AS (
    SELECT r.visitor AS visitor, r.user_id AS user_id, r.user_hash AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
), owners AS (
    SELECT visitor, argMin(user_hash, (first_seen, user_id)) AS person
    FROM user_links
    GROUP BY visitor
), person_stretches AS (
    SELECT if(o.person != 0, o.person, e.seen) AS person, o.person = 0 AND e.untagged AS is_nobodys,
        e.* EXCEPT (seen, untagged)
    FROM (
        SELECT if(r.user_hash = 0, r.visitor, r.user_hash) AS seen, r.user_hash = 0 AS untagged, r.* EXCEPT (visitor, user_hash)
        FROM page_stretches AS r
    ) AS e
    LEFT ANY JOIN owners AS o ON o.visitor = e.seen
), in_order AS (
    SELECT any(s.person) AS person, any(s.device) AS device,
        groupArray(s.begins) AS all_begins, groupArray(s.ends) AS all_ends,
        arraySort(
            (stretch, at) -> at, arrayZip(all_begins, all_ends, groupArray(touches)), all_begins
        ) AS stretches,
        arrayPushFront(arrayPopBack(arraySort(all_ends)), 0) AS before
    FROM person_stretches AS s
    GROUP BY cityHash64(s.person, s.device)
), visits AS (
    SELECT person, device, intDiv(visit[1].1, 2) AS started,
        arrayMax(visit.2) AS ended, visit[1].1 % 2 = 0 AS resumed,
        arraySort(arrayFlatten(visit.3)) AS arrivals
    FROM in_order
    ARRAY JOIN arraySplit(
        (s, b) -> s.1 > 1 + 2 * (b + if(s.1 % 2 = 0,
            greatest(14400000, {visit_timeout_ms:Int64}), {visit_timeout_ms:Int64}
        )),
        stretches, before
    ) AS visit
), touches AS (
    SELECT person, arraySort(groupArrayArray(arrayMap(t -> (t.1, t.2, device), touched))) AS touches
    FROM (
        SELECT person, device,
            arrayFilter((t, nth) -> nth = 1, arrivals, arrayEnumerateUniq(arrivals.2)) AS found,
            multiIf(
                notEmpty(found), found, resumed, [], [(started, cityHash64('direct', 'direct', '', 'Direct') * 2 + 1)]
            ) AS touched
        FROM visits
    )
    GROUP BY person
), counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp
    FROM counted_events AS e
    WHERE e.event_name = {conversion:String}
        AND e.timestamp >= {from_:DateTime64(3, 'UTC')}
), person_events AS (
    SELECT if(o.person != 0, o.person, e.seen) AS person, o.person = 0 AND e.untagged AS is_nobodys,
        e.* EXCEPT (seen, untagged)
    FROM (
        SELECT if(r.user_hash = 0, r.visitor, r.user_hash) AS seen, r.user_hash = 0 AS untagged, r.* EXCEPT (visitor, user_hash)
        FROM considered AS r
    ) AS e
    LEFT ANY JOIN owners AS o ON o.visitor = e.seen
), converted AS (
    SELECT person, groupArray(tuple(toUnixTimestamp64Milli(timestamp))) AS conversions
    FROM person_events
    GROUP BY person
), found AS (
    SELECT c.person AS person, conversion, conversion.1 AS at,
        arrayFilter(t -> t.1 <= at, t.touches) AS before,
        arrayFilter(t -> t.1 >= at - {lookback_ms:Int64}, before) AS inside
    FROM touches AS t
    RIGHT JOIN converted AS c ON t.person = c.person
    ARRAY JOIN c.conversions AS conversion
), weighed AS (
    SELECT person, conversion, at,
        multiIf(
            notEmpty(inside), inside,
            empty(before), [(at, cityHash64('direct', 'direct', '', 'Direct') * 2 + 1, 0)],
            [(at, toUInt64(0), toUInt64(0))]
        ) AS touches,
        if(
            TRUE AND length(before) > length(inside),
            arrayPushFront(touches, before[1]), touches
        ) AS credited,
        toInt64(length(touches)) AS n,
        toInt64(arrayLastIndex(t -> t.2 % 2 = 0, touches)) AS last_other,
        arrayMap(t -> exp2((t.1 - at) / 604800000), touches) AS decayed,
        arrayMap(i -> toFloat64(i = 1), arrayEnumerate(credited)) AS w1,
        arrayConcat(arrayWithConstant(length(credited) - n, toFloat64(0)), arrayMap(d -> d / arraySum(decayed), decayed)) AS w2
    FROM found
), credits AS (
    SELECT person, at, share.1 AS touch, touch.2 AS traffic_source,
        touch.3 != 0 AND nth > length(credited) - n AS is_touch, share.2 AS s1, share.3 AS s2
    FROM weighed
    ARRAY JOIN arrayZip(credited, w1, w2) AS share, arrayEnumerate(credited) AS nth
), named_sources AS (
    SELECT traffic_source, source, medium, campaign, channel FROM traffic_sources WHERE project_id = {project_id:String}
    UNION ALL
    SELECT cityHash64('direct', 'direct', '', 'Direct') * 2 + 1, 'direct', 'direct', '', 'Direct'
    UNION ALL
    SELECT 0, 'outside_window', 'outside_window', 'outside_window', 'outside_window'
), landed AS (
    SELECT r.visitor AS visitor, toUnixTimestamp64Milli(r.timestamp) AS landed_at, came_from,
        if(r.user_hash = 0, 0, r.user_hash) AS of_person,
        min((r.path = '', r.event_id, r.path)) AS landing
    FROM counted_events AS r
    ARRAY JOIN [r.traffic_source, 0] AS came_from
    WHERE r.visitor IN (SELECT touch.3 FROM credits)
    GROUP BY visitor, landed_at, came_from, of_person
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
), countries AS (
    SELECT f.person AS person, any(e.country) AS country
    FROM first_events AS f
    INNER JOIN counted_events AS e ON e.visitor = f.first_touch.visitor
    WHERE e.event_id = f.first_touch.event_id
        AND f.person IN (SELECT person FROM converted)
    GROUP BY f.person
)
SELECT n.channel AS channel, if(c.traffic_source = 0, 'outside_window', arrayMin(arrayFilter(x -> x.2 != '', [l.landing, u.landing])).3) AS landing_path, if(c.traffic_source = 0, 'outside_window', o.country) AS first_country, grouping(channel) AS is_total,
    round(sum(s1), 9) AS conversions_1, uniqExactIf(c.person, s1 > 0) AS persons_1,
round(sum(s2), 9) AS conversions_2, uniqExactIf(c.person, s2 > 0) AS persons_2,
    uniqExactIf(c.person, is_touch) AS influenced, countIf(is_touch) AS touches,
    quantilesExactInclusiveIf(0.25, 0.5, 0.75, 0.9)((c.at - c.touch.1) / 1000, is_touch) AS lags,
    round(sumIf(s1, c.traffic_source = 0), 9) AS outside
FROM credits AS c
LEFT ANY JOIN named_sources AS n ON n.traffic_source = c.traffic_source
LEFT ANY JOIN landed AS l ON l.visitor = c.touch.3 AND l.landed_at = c.touch.1
    AND l.came_from = if(c.traffic_source % 2 = 0, c.traffic_source, 0) AND l.of_person = c.person
LEFT ANY JOIN (SELECT * FROM landed WHERE of_person = 0) AS u ON u.visitor = c.touch.3
    AND u.landed_at = c.touch.1
    AND u.came_from = if(c.traffic_source % 2 = 0, c.traffic_source, 0)
LEFT ANY JOIN countries AS o ON o.person = c.person
GROUP BY GROUPING SETS ((channel, landing_path, first_country), ())
ORDER BY conversions_1 DESC, channel, landing_path, first_country;
