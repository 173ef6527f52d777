WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        toUnixTimestamp64Milli(e.timestamp) * 16 + multiIf(e.event_name = {step_1:String}, 1, e.event_name = {step_2:String}, 2, 0) AS walked
    FROM counted_events AS e
    WHERE (e.event_name = {step_1:String} OR e.event_name = {step_2:String} OR e.event_name = {exclude:String})
), device_states AS (
    SELECT visitor, least, greatest
    FROM device_users FINAL
    WHERE project_id = {project_id:String} AND NOT is_bot
), devices AS (
    SELECT visitor, least, greatest FROM device_states
), owners AS (
    SELECT visitor, if(least = greatest, least, 1) AS person
    FROM devices
), stretches AS (
    SELECT visitor, known, user_hash, half_hour, page, first, last, events, page_views, actions,
        touches,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + intDiv(first.at, 2), 'UTC')
            AS began,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + last.at, 'UTC') AS ended
    FROM half_hours
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), shared_devices AS (
    SELECT visitor FROM devices WHERE least != greatest
), known_stretches AS (
    SELECT visitor, half_hour, ended AS timestamp, user_hash
    FROM stretches
    WHERE known AND visitor IN (SELECT visitor FROM shared_devices)
), telling_stretches AS (
    SELECT visitor, timestamp, user_hash, '' AS user_id
    FROM known_stretches
    UNION ALL
    SELECT e.visitor AS visitor, e.timestamp AS timestamp, e.user_hash AS user_hash,
        assumeNotNull(e.user_id) AS user_id
    FROM counted_events AS e
    WHERE e.user_id IS NOT NULL AND NOT e.anonymous_id_generated
        AND (e.visitor, intDiv(toUnixTimestamp64Milli(e.timestamp), 1800000)) IN (
            SELECT visitor, half_hour
            FROM known_stretches
            GROUP BY visitor, half_hour
            HAVING min(user_hash) != max(user_hash)
        )
), observations AS (
    SELECT r.visitor AS visitor, r.timestamp AS timestamp, r.user_hash AS user_hash,
        max(r.user_id) AS user_id
    FROM telling_stretches AS r
    GROUP BY visitor, timestamp, user_hash
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
        SELECT if(r.user_hash = 0, r.visitor, r.user_hash) AS seen, r.user_hash = 0 AS untagged, r.* EXCEPT (visitor, user_hash)
        FROM considered AS r
    ) AS e
    LEFT ANY JOIN owners AS o ON o.visitor = e.seen
    ASOF LEFT JOIN ownership AS c
        ON c.visitor = if(o.person = 1, e.seen, 0) AND e.timestamp <= c.until
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
)
SELECT 
    sumForEach(arrayMap(k -> toUInt64(length(times) >= k), [1, 2])) AS persons,
    quantileExactInclusiveForEach(0.5)(arrayPopFront(arrayDifference(times))) AS medians_ms
FROM walks AS w
WHERE notEmpty(times)
HAVING notEmpty(persons)
ORDER BY persons[1] DESC, 1;

SELECT DISTINCT toString(event_name) AS event, name, type = 0 AS is_event
FROM names
WHERE project_id = {project_id:String} AND (
    (type = 0 AND event_name IN {events:Array(String)})
    OR (type != 0 AND name IN {keys:Array(String)})
);

SELECT toString(event_name) AS called, sum(events) AS count
FROM names
WHERE project_id = {project_id:String} AND type = 0
GROUP BY called
ORDER BY count DESC, called
LIMIT 1000;
