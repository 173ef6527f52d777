WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        toUnixTimestamp64Milli(e.timestamp) * 16 + multiIf(e.event_name = {step_1:String}, 1, (e.event_name = {step_2:String} AND (multiIf(JSONType(e.properties, {step_2_1_key:String}) = 'String', JSONExtractString(e.properties, {step_2_1_key:String}), JSONType(e.properties, {step_2_1_key:String}) IN ('Null', ''), '', JSONExtractRaw(e.properties, {step_2_1_key:String})) IN {step_2_1:Array(String)} OR (ifNull(if(isFinite(toFloat64OrZero(multiIf(JSONType(e.properties, {step_2_1_key:String}) = 'String', JSONExtractString(e.properties, {step_2_1_key:String}), JSONType(e.properties, {step_2_1_key:String}) IN ('Null', ''), '', JSONExtractRaw(e.properties, {step_2_1_key:String})))), toFloat64OrNull(multiIf(JSONType(e.properties, {step_2_1_key:String}) = 'String', JSONExtractString(e.properties, {step_2_1_key:String}), JSONType(e.properties, {step_2_1_key:String}) IN ('Null', ''), '', JSONExtractRaw(e.properties, {step_2_1_key:String}))), NULL), nan) IN {step_2_1_number:Array(Float64)} AND match(multiIf(JSONType(e.properties, {step_2_1_key:String}) = 'String', JSONExtractString(e.properties, {step_2_1_key:String}), JSONType(e.properties, {step_2_1_key:String}) IN ('Null', ''), '', JSONExtractRaw(e.properties, {step_2_1_key:String})), {step_2_1_written:String})))), 2, 0) AS walked
    FROM counted_events AS e
    WHERE (e.event_name = {step_1:String} OR (e.event_name = {step_2:String} AND (multiIf(JSONType(e.properties, {step_2_1_key:String}) = 'String', JSONExtractString(e.properties, {step_2_1_key:String}), JSONType(e.properties, {step_2_1_key:String}) IN ('Null', ''), '', JSONExtractRaw(e.properties, {step_2_1_key:String})) IN {step_2_1:Array(String)} OR (ifNull(if(isFinite(toFloat64OrZero(multiIf(JSONType(e.properties, {step_2_1_key:String}) = 'String', JSONExtractString(e.properties, {step_2_1_key:String}), JSONType(e.properties, {step_2_1_key:String}) IN ('Null', ''), '', JSONExtractRaw(e.properties, {step_2_1_key:String})))), toFloat64OrNull(multiIf(JSONType(e.properties, {step_2_1_key:String}) = 'String', JSONExtractString(e.properties, {step_2_1_key:String}), JSONType(e.properties, {step_2_1_key:String}) IN ('Null', ''), '', JSONExtractRaw(e.properties, {step_2_1_key:String}))), NULL), nan) IN {step_2_1_number:Array(Float64)} AND match(multiIf(JSONType(e.properties, {step_2_1_key:String}) = 'String', JSONExtractString(e.properties, {step_2_1_key:String}), JSONType(e.properties, {step_2_1_key:String}) IN ('Null', ''), '', JSONExtractRaw(e.properties, {step_2_1_key:String})), {step_2_1_written:String})))))
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
), person_events AS (
    SELECT if(o.person != 0, o.person, e.seen) AS person, o.person = 0 AND e.untagged AS is_nobodys,
        e.* EXCEPT (seen, untagged)
    FROM (
        SELECT if(r.user_hash = 0, r.visitor, r.user_hash) AS seen, r.user_hash = 0 AS untagged, r.* EXCEPT (visitor, user_hash)
        FROM considered AS r
    ) AS e
    LEFT ANY JOIN owners AS o ON o.visitor = e.seen
), ways AS (
    SELECT person, arraySort(groupArray(walked)) AS sorted,
        arrayMap(e -> e % 16, sorted) AS steps,
        if(
            arrayMax(steps) = 1,
            [sorted[indexOf(steps, 1)]],
            arrayFilter(
                (e, before, step, after) -> step != 1 OR before != 1 OR after != 1,
                sorted,
                arrayPushFront(arrayPopBack(steps), 0),
                steps,
                arrayPushBack(arrayPopFront(steps), 0)
            )
        ) AS on_the_way
    FROM person_events
    GROUP BY person
    HAVING has(steps, 1)
), walks AS (
    SELECT person,
        arrayFold(
            (walk, e) -> multiIf(
                e.2 = 0, (walk.1, [[], []]::Array(Array(Int64))),
                e.2 = 1, (
                    if(empty(walk.1), [e.1], walk.1),
                    arrayMap((chain, k) -> if(k = 1, [e.1], chain), walk.2, [1, 2])
                ),
                notEmpty(walk.2[e.2 - 1]) AND e.1 - walk.2[e.2 - 1][1] <= {window_ms:Int64}, (
                    if(length(walk.1) < e.2, arrayPushBack(walk.2[e.2 - 1], e.1), walk.1),
                    arrayMap(
                        (chain, k) -> if(k = e.2, arrayPushBack(walk.2[k - 1], e.1), chain),
                        walk.2, [1, 2]
                    )
                ),
                walk
            ),
            arrayMap(e -> (intDiv(e, 16), e % 16), on_the_way),
            ([], [[], []]::Array(Array(Int64)))::Tuple(Array(Int64), Array(Array(Int64)))
        ).1 AS times
    FROM ways
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
), named_sources AS (
    SELECT traffic_source, source, medium, campaign, channel FROM traffic_sources WHERE project_id = {project_id:String}
    UNION ALL
    SELECT cityHash64('direct', 'direct', '', 'Direct') * 2 + 1, 'direct', 'direct', '', 'Direct'
    UNION ALL
    SELECT 0, 'outside_window', 'outside_window', 'outside_window', 'outside_window'
)
SELECT n.source AS source, 
    sumForEach(arrayMap(k -> toUInt64(length(times) >= k), [1, 2])) AS persons,
    quantileExactInclusiveForEach(0.5)(arrayPopFront(arrayDifference(times))) AS medians_ms
FROM walks AS w
INNER JOIN first_events AS f ON f.person = w.person
LEFT ANY JOIN named_sources AS n ON n.traffic_source = f.first_touch.traffic_source
WHERE notEmpty(times)
GROUP BY source
ORDER BY persons[1] DESC, source
LIMIT 101;
