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
), person_events AS (
    SELECT transform(
            if(r.user_hash = 0, r.visitor, r.user_hash), {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, if(r.user_hash = 0, r.visitor, r.user_hash)
        ) AS person, r.user_hash = 0 AS is_nobodys, r.* EXCEPT (visitor, user_hash)
    FROM considered AS r
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
    SELECT transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id) AS user_id, r.first_touch AS first_touch, r.known_since AS known_since
    FROM user_touches AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
), owned_touches AS (
    SELECT user_id, first_touch AS touch, known_since AS known
    FROM tagged_touches
), first_touches AS (
    SELECT user_id, arrayMin(groupArray(touch)) AS first_touch, min(known) AS known_since
    FROM owned_touches
    GROUP BY user_id
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
), nobodys_touches AS (
    SELECT t.visitor AS person, arrayMin(groupArray(t.first_touch)) AS first_touch
    FROM untagged_touches AS t
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

SELECT DISTINCT toString(event_name) AS event, name, type = 0 AS is_event
FROM names
WHERE project_id = {project_id:String} AND (
    (type = 0 AND event_name IN {events:Array(String)})
    OR (type != 0 AND name IN {keys:Array(String)})
);

WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), some AS (
    SELECT e.properties AS properties
    FROM counted_events AS e
    WHERE e.event_name IN {names_of_step:Array(String)}
    ORDER BY e.properties LIKE {like:String} DESC
    LIMIT 10000
)
SELECT arrayJoin(JSONExtractKeys(properties)) AS name, count() AS events
FROM some
GROUP BY name
ORDER BY name = {wanted:String} DESC, events DESC
LIMIT 1000;
