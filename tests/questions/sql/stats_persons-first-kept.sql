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
        AND (half_hour >= intDiv(toUnixTimestamp64Milli({from_:DateTime64(3, 'UTC')}) - 14400000, 1800000) OR visitor IN (SELECT visitor FROM stretches WHERE half_hour >= intDiv(toUnixTimestamp64Milli({from_:DateTime64(3, 'UTC')}) - 14400000, 1800000) AND half_hour <= intDiv(toUnixTimestamp64Milli({from_:DateTime64(3, 'UTC')}), 1800000)))
), person_stretches AS (
    SELECT if(e.owner = 0, e.seen, e.owner) AS person, e.owner = 0 AND e.untagged AS is_nobodys,
        e.* EXCEPT (seen, owner, untagged)
    FROM (
        SELECT if(r.user_hash = 0, r.visitor, r.user_hash) AS seen, dictGet({devices:String}, 'first', seen) AS owner, r.user_hash = 0 AS untagged,
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
), counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        e.traffic_source AS traffic_source
    FROM counted_events AS e
    WHERE e.source_rule_id = 'no_page'
        AND (e.visitor, intDiv(toUnixTimestamp64Milli(e.timestamp), 1800000)) IN (SELECT visitor, half_hour FROM stretches WHERE page = 0)
        AND e.timestamp >= {from_:DateTime64(3, 'UTC')}
), person_events AS (
    SELECT if(e.owner = 0, e.seen, e.owner) AS person, e.owner = 0 AND e.untagged AS is_nobodys,
        e.* EXCEPT (seen, owner, untagged)
    FROM (
        SELECT if(r.user_hash = 0, r.visitor, r.user_hash) AS seen, dictGet({devices:String}, 'first', seen) AS owner, r.user_hash = 0 AS untagged,
            r.* EXCEPT (visitor, user_hash)
        FROM considered AS r
    ) AS e
), in_visits AS (
    SELECT person, traffic_source, began AS timestamp
    FROM (
        SELECT v.person AS person, v.arrival.2 AS traffic_source,
            fromUnixTimestamp64Milli(greatest(v.started, toUnixTimestamp64Milli({from_:DateTime64(3, 'UTC')})), 'UTC') AS began,
            fromUnixTimestamp64Milli(v.ended, 'UTC') AS ended
        FROM visits AS v
        WHERE v.ended >= toUnixTimestamp64Milli({from_:DateTime64(3, 'UTC')})
    )
    UNION ALL
    SELECT person, traffic_source, timestamp
    FROM person_events
), named_sources AS (
    SELECT traffic_source, source, medium, campaign, channel FROM traffic_sources WHERE project_id = {project_id:String}
    UNION ALL
    SELECT cityHash64('direct', 'direct', '', 'Direct') * 2 + 1, 'direct', 'direct', '', 'Direct'
    UNION ALL
    SELECT 0, 'outside_window', 'outside_window', 'outside_window', 'outside_window'
)
SELECT vn.source AS source, uniqExact(p.person) AS value
FROM in_visits AS p
LEFT ANY JOIN named_sources AS vn ON vn.traffic_source = p.traffic_source
GROUP BY source
ORDER BY value DESC, source
LIMIT 101;
