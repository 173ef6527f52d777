WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
        AND received_at <= {as_of:DateTime64(3, 'UTC')}
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        if(e.event_name = {step_3:String}, 2, 0) + if(e.event_name = {step_2:String}, 4, 0) AS marks,
        toUnixTimestamp64Milli(e.timestamp) * 32768 + if(
            marks < 2, 0, bitCount(bitXor(intDiv(marks, 2), intDiv(marks, 2) - 1))
        ) * 2048 + marks AS walked
    FROM counted_events AS e
    WHERE (e.event_name = {step_3:String} OR e.event_name = {step_2:String})
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
), devices AS (
    SELECT visitor, min(user_hash) AS least, max(user_hash) AS greatest
    FROM user_links
    GROUP BY visitor
), owners AS (
    SELECT visitor, if(least = greatest, least, 1) AS person
    FROM devices
), observed_events AS (
    SELECT r.visitor AS visitor, r.timestamp AS timestamp, transform(assumeNotNull(r.user_id), {aliased:Array(String)}, {persons:Array(String)}, assumeNotNull(r.user_id)) AS user_id,
        transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash, r.anonymous_id AS anonymous_id,
        r.event_id AS event_id, r.event_name AS event_name
    FROM counted_events AS r
    WHERE r.user_id IS NOT NULL AND NOT r.anonymous_id_generated
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
), shared_devices AS (
    SELECT visitor FROM devices WHERE least != greatest
), observations AS (
    SELECT DISTINCT visitor, timestamp, user_hash, user_id
    FROM observed_events
    WHERE visitor IN (SELECT visitor FROM shared_devices)
), ownership AS (
    SELECT visitor, user_hash, if(next_hash = 0, toDateTime64('2299-01-01 00:00:00', 3, 'UTC'), timestamp) AS until
    FROM (
        SELECT visitor, user_hash, timestamp,
            lagInFrame(timestamp, 1, toDateTime64('2299-01-01 00:00:00', 3, 'UTC')) OVER seen AS previous,
            leadInFrame(user_hash) OVER seen AS next_hash
        FROM observations
        WINDOW seen AS (
            PARTITION BY visitor ORDER BY timestamp, user_id
            ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING
        )
    )
    WHERE next_hash != user_hash AND (next_hash = 0 OR previous != timestamp)
), person_events AS (
    SELECT
        multiIf(o.person = 0, e.seen, o.person != 1, o.person, c.user_hash) AS person,
        o.person = 0 AND e.untagged AS is_nobodys, e.* EXCEPT (seen, untagged)
    FROM (
        SELECT transform(
            if(r.user_hash = 0, r.visitor, r.user_hash), {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, if(r.user_hash = 0, r.visitor, r.user_hash)
        ) AS seen, r.user_hash = 0 AS untagged, r.* EXCEPT (visitor, user_hash)
        FROM considered AS r
    ) AS e
    LEFT ANY JOIN owners AS o ON o.visitor = e.seen
    ASOF LEFT JOIN ownership AS c
        ON c.visitor = if(o.person = 1, e.seen, 0) AND e.timestamp <= c.until
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
