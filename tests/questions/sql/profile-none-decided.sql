SELECT groupUniqArray(visitor) AS devices,
    arrayMap(u -> sipHash64('user', u), {user_ids:Array(String)}) AS homes
FROM links
WHERE project_id = {project_id:String} AND user_id IN {user_ids:Array(String)};

SELECT min(r.known_since) AS known_since FROM user_touches AS r
WHERE project_id = {project_id:String} AND user_id IN {user_ids:Array(String)}
    AND NOT is_bot
HAVING count() > 0;

WITH user_links AS (
    SELECT r.visitor AS visitor, transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id) AS user_id, transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND r.visitor IN {lies_at:Array(UInt64)}
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
)
SELECT visitor, any(anonymous_id) AS anonymous_id,
    uniqExact(user_id) > 1 AS shared,
    argMin(user_id, (first_seen, user_id)) = {user_id:String} AS seen_first,
    argMax(user_id, (last_seen, user_id)) = {user_id:String} AS seen_last
FROM user_links
GROUP BY visitor
HAVING countIf(user_id = {user_id:String}) > 0
ORDER BY anonymous_id;

WITH owned_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
        AND visitor IN {lies_at:Array(UInt64)}
        AND (user_id IN {user_ids:Array(String)} OR (user_id IS NULL AND visitor IN {exclusive:Array(UInt64)}))
), event_stretches AS (
    SELECT e.project_id AS project_id,
        e.is_bot AS is_bot,
        e.user_hash != 0 AS known,
        e.visitor AS visitor,
        e.user_hash AS user_hash,
        toUInt32(intDiv(toUnixTimestamp64Milli(e.timestamp), 1800000)) AS half_hour,
        multiIf(NOT (e.source_rule_id != 'no_page'), 0, e.path = '', 1, 2) AS page,
        (toUInt32(modulo(toUnixTimestamp64Milli(e.timestamp), 1800000)) * 2 + NOT (e.medium = 'return'), e.path)::Tuple(at UInt32, path String) AS first,
        (toUInt32(modulo(toUnixTimestamp64Milli(e.timestamp), 1800000)), e.path)::Tuple(at UInt32, path String) AS last,
        toUInt64(1) AS events,
        toUInt64(e.event_name IN ('$pageview', '$screen')) AS page_views,
        toUInt64(NOT startsWith(e.event_name, '$')) AS actions,
        (if((e.source NOT IN ('direct', 'internal') AND e.medium NOT IN ('internal', 'return', 'spam')), [e.traffic_source], emptyArrayUInt64()), if((e.source NOT IN ('direct', 'internal') AND e.medium NOT IN ('internal', 'return', 'spam')), [toUInt32(modulo(toUnixTimestamp64Milli(e.timestamp), 1800000))], emptyArrayUInt32())) AS touches
    FROM owned_events AS e
    WHERE TRUE AND (TRUE)
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
    FROM event_stretches
    WHERE page > 0
), person_stretches AS (
    SELECT toUInt64(1) AS person, * FROM page_stretches
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
), last_touch AS (
    SELECT touches[-1] AS touch
    FROM touches
), shown AS (
    SELECT (e.timestamp, e.event_id, e.anonymous_id, toString(e.source), toString(e.medium),
        toString(e.campaign), toString(e.channel), e.url, e.referrer) AS event,
        e.source_rule_id = 'no_page' AS off_page,
        (toUnixTimestamp64Milli(e.timestamp), e.visitor) = (l.touch.1, l.touch.3) AS is_last,
        (l.touch.2 % 2, e.traffic_source != l.touch.2) AS unlike
    FROM owned_events AS e
    LEFT JOIN last_touch AS l ON TRUE
)
SELECT min((off_page, event)).2 AS first, max(event) AS last_event,
    argMinIf(event, (unlike, event), is_last) AS last_touch,
    countIf(is_last) > 0 AS has_last, argMinIf(unlike.1, (unlike, event), is_last) AS last_is_direct
FROM shown
HAVING count() > 0;

WITH owned_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
        AND visitor IN {lies_at:Array(UInt64)}
        AND (user_id IN {user_ids:Array(String)} OR (user_id IS NULL AND visitor IN {exclusive:Array(UInt64)}))
)
SELECT anonymous_id, min(timestamp) AS first_seen, max(timestamp) AS last_seen
FROM owned_events
WHERE NOT anonymous_id_generated
GROUP BY anonymous_id
ORDER BY first_seen, anonymous_id;

WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), said AS (
    SELECT timestamp, event_id, properties, JSONExtractKeys(properties) AS names
    FROM counted_events
    WHERE visitor IN {lies_at:Array(UInt64)} AND user_id IN {user_ids:Array(String)}
        AND event_name = '$identify' AND properties != '{}'
)
SELECT latest.3 AS properties
FROM (
    SELECT max((timestamp, event_id, properties)) AS latest
    FROM said
    ARRAY JOIN if(empty(names), [properties], names) AS name
    GROUP BY name
)
GROUP BY latest
ORDER BY latest DESC;
