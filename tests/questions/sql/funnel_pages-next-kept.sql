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
), person_events AS (
    SELECT multiIf(e.owner = 0, e.seen, e.owner != 1, e.owner, dictGet({intervals:String}, 'user_hash', e.seen, toUnixTimestamp64Milli(e.timestamp))) AS person,
        e.owner = 0 AND e.untagged AS is_nobodys, e.* EXCEPT (seen, owner, untagged)
    FROM (
        SELECT if(r.user_hash = 0, r.visitor, r.user_hash) AS seen, dictGet({devices:String}, 'person', seen) AS owner, r.user_hash = 0 AS untagged,
            r.* EXCEPT (visitor, user_hash)
        FROM considered AS r
    ) AS e
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
