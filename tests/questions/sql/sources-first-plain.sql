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
            (stretch, at) -> at, arrayZip(all_begins, all_ends, groupArray(events), groupArray((multiIf(
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
        arraySum(visit.3) AS events,
        (
            arrayMin(visit.4),
            if(arrayMin(visit.4) = 9223372036854775807, cityHash64('direct', 'direct', '', 'Direct') * 2 + 1, arrayMin(
                arrayFilter((source, at) -> at = arrayMin(visit.4), visit.5, visit.4)
            ))
        )::Tuple(Int64, UInt64) AS arrival
    FROM in_order
    ARRAY JOIN arraySplit(
        (s, b) -> s.1 > 1 + 2 * (b + if(s.1 % 2 = 0,
            greatest(14400000, {visit_timeout_ms:Int64}), {visit_timeout_ms:Int64}
        )),
        stretches, before
    ) AS visit
), counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        e.visitor AS device, e.traffic_source AS traffic_source
    FROM counted_events AS e
    WHERE e.source_rule_id = 'no_page'
), person_events AS (
    SELECT if(o.person != 0, o.person, e.seen) AS person, o.person = 0 AND e.untagged AS is_nobodys,
        e.* EXCEPT (seen, untagged)
    FROM (
        SELECT if(r.user_hash = 0, r.visitor, r.user_hash) AS seen, r.user_hash = 0 AS untagged, r.* EXCEPT (visitor, user_hash)
        FROM considered AS r
    ) AS e
    LEFT ANY JOIN owners AS o ON o.visitor = e.seen
), counted AS (
    SELECT person, device, events, 1 AS visits, arrival.2 AS traffic_source
    FROM visits
    UNION ALL
    SELECT person, device, 1 AS events, 0 AS visits, traffic_source
    FROM person_events
), named_sources AS (
    SELECT traffic_source, source, medium, campaign, channel FROM traffic_sources WHERE project_id = {project_id:String}
    UNION ALL
    SELECT cityHash64('direct', 'direct', '', 'Direct') * 2 + 1, 'direct', 'direct', '', 'Direct'
    UNION ALL
    SELECT 0, 'outside_window', 'outside_window', 'outside_window', 'outside_window'
)
SELECT toString(n.source) AS source, toString(n.medium) AS medium, sum(c.events) AS events, uniqExact(c.device) AS uniques,
    sumIf(c.events, n.medium = 'paid') / events AS paid_share, uniqExact(c.person) AS persons,
    sum(c.visits) AS visits
FROM counted AS c
LEFT ANY JOIN named_sources AS n ON n.traffic_source = c.traffic_source
GROUP BY source, medium
ORDER BY events DESC, source, medium
LIMIT 51;
