WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        if(e.event_name = {step_3:String}, 2, 0) + if(e.event_name = {step_2:String}, 4, 0) AS marks,
        toUnixTimestamp64Milli(e.timestamp) * 32768 + if(
            marks < 2, 0, bitCount(bitXor(intDiv(marks, 2), intDiv(marks, 2) - 1))
        ) * 2048 + marks AS walked
    FROM counted_events AS e
    WHERE (e.event_name = {step_3:String} OR e.event_name = {step_2:String})
), user_links AS (
    SELECT r.visitor AS visitor, transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id) AS user_id, transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
), owners AS (
    SELECT visitor, argMax(user_hash, (last_seen, user_id)) AS person
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
), ways AS (
    SELECT person, arraySort(groupArray(walked)) AS sorted,
        arrayMap(e -> e % 2048, sorted) AS kinds,
        arrayMap(
            e -> (intDiv(e, 32768), e % 2048),
            arrayFilter(
                (e, before, kind, after) -> kind > 1 OR before != kind OR after != kind,
                sorted,
                arrayPushFront(arrayPopBack(kinds), 0),
                kinds,
                arrayPushBack(arrayPopFront(kinds), 0)
            )
        ) AS on_the_way
    FROM person_events
    GROUP BY person
    HAVING arrayExists(e -> e % 2048 > 1, sorted)
), walks AS (
    SELECT person,
        arrayFold(
            (walk, e) -> (
                if(length(arraySort(arrayFilter(t -> t >= e.1 - {window_ms:Int64}, arrayFlatten(arrayMap(
                    (last, k, most) -> if(
                        bitTest(e.2, k),
                        arraySlice(arrayPushBack(if(bitTest(e.2, 0), [], last), e.1), -most),
                        if(bitTest(e.2, 0), [], last)
                    ),
                    walk.2, [1, 2], [2, 1]
                ))))) > length(walk.1), arraySort(arrayFilter(t -> t >= e.1 - {window_ms:Int64}, arrayFlatten(arrayMap(
                    (last, k, most) -> if(
                        bitTest(e.2, k),
                        arraySlice(arrayPushBack(if(bitTest(e.2, 0), [], last), e.1), -most),
                        if(bitTest(e.2, 0), [], last)
                    ),
                    walk.2, [1, 2], [2, 1]
                )))), walk.1),
                arrayMap(
                                    (last, k, most) -> if(
                                        bitTest(e.2, k),
                                        arraySlice(arrayPushBack(if(bitTest(e.2, 0), [], last), e.1), -most),
                                        if(bitTest(e.2, 0), [], last)
                                    ),
                                    walk.2, [1, 2], [2, 1]
                                )
            ),
            on_the_way,
            ([], [[], []]::Array(Array(Int64)))::Tuple(Array(Int64), Array(Array(Int64)))
        ).1 AS times
    FROM ways
)
SELECT 
    sumForEach(arrayMap(k -> toUInt64(length(times) >= k), [1, 2, 3])) AS persons,
    quantileExactInclusiveForEach(0.5)(arrayPopFront(arrayDifference(times))) AS medians_ms
FROM walks AS w
WHERE notEmpty(times)
HAVING notEmpty(persons)
ORDER BY persons[1] DESC, 1;
