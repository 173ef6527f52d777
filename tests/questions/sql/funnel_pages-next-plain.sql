WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        toString(e.path) AS step_value_1,
        if(e.event_name = {step_1:String}, 2, 0) + if(e.event_name = {step_2:String}, 4, 0) + if(e.event_name = {step_3:String}, 8, 0) + if(e.event_name = {step_4:String}, 16, 0) AS marks,
        toUnixTimestamp64Milli(e.timestamp) * 32768 + if(
            marks < 2, 0, bitCount(bitXor(intDiv(marks, 2), intDiv(marks, 2) - 1))
        ) * 2048 + marks AS walked
    FROM counted_events AS e
    WHERE (e.event_name = {step_1:String} OR e.event_name = {step_2:String} OR e.event_name = {step_3:String} OR e.event_name = {step_4:String})
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
    SELECT person, groupArrayIf((toUnixTimestamp64Milli(timestamp), step_value_1), bitTest(walked, 1)) AS first_steps, arraySort(groupArray(walked)) AS sorted,
        arrayMap(e -> e % 2048, sorted) AS kinds,
        arrayMap(
            e -> (intDiv(e, 32768), e % 2048),
            arrayFilter(
                (e, before, kind, after) -> kind > 3 OR before != kind OR after != kind,
                sorted,
                arrayPushFront(arrayPopBack(kinds), 0),
                kinds,
                arrayPushBack(arrayPopFront(kinds), 0)
            )
        ) AS on_the_way
    FROM person_events
    GROUP BY person
    HAVING arrayExists(e -> bitTest(e, 1), sorted)
), walked_ways AS (
    SELECT person, first_steps,
        arrayFold(
            (walk, e) -> arrayMap(
                (way, k, back) -> (if(empty(way.1), multiIf(
                    bitTest(e.2, k) AND k = 1, [e.1],
                    bitTest(e.2, k) AND notEmpty(walk[back].2)
                        AND e.1 - walk[back].2[1] <= {window_ms:Int64},
                    arrayPushBack(arrayResize(walk[back].2, k - 1), e.1),
                    bitTest(e.2, 0), [],
                    way.2
                ), way.1), multiIf(
                    bitTest(e.2, k) AND k = 1, [e.1],
                    bitTest(e.2, k) AND notEmpty(walk[back].2)
                        AND e.1 - walk[back].2[1] <= {window_ms:Int64},
                    arrayPushBack(arrayResize(walk[back].2, k - 1), e.1),
                    bitTest(e.2, 0), [],
                    way.2
                )),
                walk, [1, 2, 3, 4], [1, 1, 2, 2]
            ),
            on_the_way,
            [([], []), ([], []), ([], []), ([], [])]::Array(Tuple(Array(Int64), Array(Int64)))
        ).1 AS firsts
    FROM ways
), walks AS (
    SELECT person, first_steps,
        firsts[arrayLast(k -> notEmpty(firsts[k]), [1, 2, 4])] AS times,
        arrayMap(
            (first, k, back) -> multiIf(
                empty(first), [],
                has([1, 2, 4], k), [times[k], times[k] - times[back]],
                [first[k], first[k] - first[back]]
            ),
            firsts, [1, 2, 3, 4], [1, 1, 2, 2]
        ) AS reached
    FROM walked_ways
), starts AS (
    SELECT *, times[1] AS started,
        arraySort(arrayFilter(step -> step.1 = started, first_steps))[1] AS first_step
    FROM walks
)
SELECT w.first_step.2 AS path, 
    sumForEach(arrayMap(step -> toUInt64(notEmpty(step)), reached)) AS persons,
    quantilesExactInclusiveArrayForEach(0.25, 0.5, 0.75, 0.9)(arrayMap(step -> arraySlice(step, 2), arrayPopFront(reached))) AS quantiles_ms,
    quantilesExactInclusiveIf(0.25, 0.5, 0.75, 0.9)(times[-1] - times[1], notEmpty(reached[4])) AS whole_ms
FROM starts AS w
WHERE notEmpty(times)
GROUP BY path
ORDER BY persons[1] DESC, path
LIMIT 101;

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
