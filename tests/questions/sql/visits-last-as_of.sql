WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
        AND received_at <= {as_of:DateTime64(3, 'UTC')}
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
    SELECT visitor, argMax(user_hash, (last_seen, user_id)) AS person
    FROM user_links
    GROUP BY visitor
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
            (stretch, at) -> at, arrayZip(all_begins, all_ends, groupArray(events), groupArray(page_views), groupArray(actions), groupArray(entry), groupArray((multiIf(
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
        arraySum(visit.4) AS page_views,
        arraySum(visit.5) AS actions,
        arrayMin(arrayMap(s -> (s.1, s.6), arrayFilter(s -> s.6 != '', visit))).2 AS entry_path,
        (
            arrayMin(visit.7),
            if(arrayMin(visit.7) = 9223372036854775807, cityHash64('direct', 'direct', '', 'Direct') * 2 + 1, arrayMin(
                arrayFilter((source, at) -> at = arrayMin(visit.7), visit.8, visit.7)
            ))
        )::Tuple(Int64, UInt64) AS arrival
    FROM in_order
    ARRAY JOIN arraySplit(
        (s, b) -> s.1 > 1 + 2 * (b + if(s.1 % 2 = 0,
            greatest(14400000, {visit_timeout_ms:Int64}), {visit_timeout_ms:Int64}
        )),
        stretches, before
    ) AS visit
), begun AS (
    SELECT person, fromUnixTimestamp64Milli(started, 'UTC') AS begins, ended - started AS took_ms,
        events, page_views, actions, entry_path, arrival.2 AS traffic_source
    FROM visits
), named_sources AS (
    SELECT traffic_source, source, medium, campaign, channel FROM traffic_sources WHERE project_id = {project_id:String}
    UNION ALL
    SELECT cityHash64('direct', 'direct', '', 'Direct') * 2 + 1, 'direct', 'direct', '', 'Direct'
    UNION ALL
    SELECT 0, 'outside_window', 'outside_window', 'outside_window', 'outside_window'
)
SELECT toTimeZone(toDateTime(toMonday(begins, {tz:String}), {tz:String}), 'UTC') AS bucket, n.source AS source, v.entry_path AS entry_path, count() AS visits, visits AS sessions, uniqExact(person) AS persons,
    avg(events) AS events_per_visit, events_per_visit AS events_per_session,
    avg(page_views) AS page_views_per_visit, avg(took_ms) / 1000 AS mean_seconds,
    countIf(page_views = 1 AND actions = 0 AND took_ms < 10000) / visits AS bounce_share
FROM begun AS v
LEFT ANY JOIN named_sources AS n ON n.traffic_source = v.traffic_source
GROUP BY bucket, source, entry_path
ORDER BY bucket DESC, visits DESC, source, entry_path
LIMIT 1001;
