"""How far each person gets, as SQL: one walk through a person's events, in order of time.

A statement about a funnel ends with the relation `walks`, a row a person who did the first step:

    person, times    when they did each step, in milliseconds since 1970, on the way on which they
                     got furthest; of ways as far, the first
    reached          only of `by_marks`: of each step nothing, or when it was done and how long
                     after the last step before it that nobody may leave out
    first_steps      only if asked for: of every event that may be the first step, its time, and
                     what a group needs of it

Of the same moment, events come in the order of the steps that they may be, the first of each;
what must not come in between comes before them.
"""

from string import Template

# An event on the way is one number, so that it sorts by time and then by step: milliseconds, and in
# the last four bits which step it is. Step 0 is what must not come in between.
#
# Of many first steps in a row only the first and the last matter, and only the first where no other
# step comes; without the rest, the walk is short.
#
# One walk through a person's events. `chains[k]` holds the times of the latest way to step k that
# is still alive: latest, because that has most of the window left. `best` is the longest there
# was, the earliest of its length. `walk` is (best, chains), `e` is (time, step).
CONSIDERED = """
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp$columns,
        toUnixTimestamp64Milli(e.timestamp) * 16 + multiIf($step_of_event, 0) AS walked
    FROM counted_events AS e
    $where"""
WAYS = """
), $ways AS (
    SELECT $person$carry, arraySort($all_walked) AS sorted,
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
    FROM $rows
    GROUP BY person
    HAVING has(steps, 1)$or_else"""
WALKS = """
), $walks AS (
    SELECT person$carried,
        arrayFold(
            (walk, e) -> multiIf(
                e.2 = 0, (walk.1, $nothing),
                e.2 = 1, (
                    if(empty(walk.1), [e.1], walk.1),
                    arrayMap((chain, k) -> if(k = 1, [e.1], chain), walk.2, $numbers)
                ),
                notEmpty(walk.2[e.2 - 1]) AND e.1 - walk.2[e.2 - 1][1] <= {window_ms:Int64}, (
                    if(length(walk.1) < e.2, arrayPushBack(walk.2[e.2 - 1], e.1), walk.1),
                    arrayMap(
                        (chain, k) -> if(k = e.2, arrayPushBack(walk.2[k - 1], e.1), chain),
                        walk.2, $numbers
                    )
                ),
                walk
            ),
            arrayMap(e -> (intDiv(e, 16), e % 16), $walked_on),
            ([], $nothing)::Tuple(Array(Int64), Array(Array(Int64)))
        ).1 AS times
    FROM $ways
"""


def _with(text: str, **slots: str) -> str:
    return Template(text).safe_substitute(slots)


AT_ONCE = {"ways": "ways", "walks": "walks", "walked_on": "on_the_way", "or_else": ""}
BY_STEP = CONSIDERED + _with(
    WAYS + WALKS,
    **AT_ONCE,
    person="person",
    all_walked="groupArray(walked)",
    rows="person_events",
)

# On each of several machines, those who are nobody's walk. What is left of one is the events of the
# way, which are walked again where users are put together; of all who got no further than the first
# step one row, with how many `people` they are.
FINISHED = """\
), finished AS (
    SELECT if(w.is_nobodys AND length(w.times) = 1, 0, w.person) AS somebody,
        any(if(
            w.is_nobodys,
            arrayMap((at, step) -> at * 16 + step, w.times, arrayEnumerate(w.times)),
            w.sorted
        )) AS way,
        count() AS people
    FROM walks_here AS w
    GROUP BY somebody"""
BY_STEP_DIVIDED = (
    CONSIDERED
    + _with(
        WAYS + WALKS,
        ways="ways_here",
        walks="walks_here",
        person="person",
        carry=", any(is_nobodys) AS is_nobodys",
        all_walked="groupArray(walked)",
        rows="person_events",
        or_else=" OR NOT is_nobodys",
        carried=", is_nobodys, sorted",
        walked_on="if(is_nobodys, on_the_way, [])",
    )
    + FINISHED
    + _with(
        WAYS + WALKS,
        **AT_ONCE,
        person="somebody AS person",
        carry=", if(person = 0, sum(people), 1) AS people",
        all_walked="groupArrayArray(way)",
        rows="finished",
        carried=", people",
    )
)

# Where an event may be several steps, or stand between them: `marks` has a bit for each step that
# it may be, and the last says that it must not come in between. It counts as one step of a way.
MARKED = """
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp$columns,
        $marks AS marks,
        toUnixTimestamp64Milli(e.timestamp) * 32768 + if(
            marks < 2, 0, bitCount(bitXor(intDiv(marks, 2), intDiv(marks, 2) - 1))
        ) * 2048 + marks AS walked
    FROM counted_events AS e
    $where
), ways AS (
    SELECT person$carry, arraySort(groupArray(walked)) AS sorted,
        arrayMap(e -> e % 2048, sorted) AS kinds,
        arrayMap(
            e -> (intDiv(e, 32768), e % 2048),
            arrayFilter(
                (e, before, kind, after) -> $kept OR before != kind OR after != kind,
                sorted,
                arrayPushFront(arrayPopBack(kinds), 0),
                kinds,
                arrayPushBack(arrayPopFront(kinds), 0)
            )
        ) AS on_the_way
    FROM person_events
    GROUP BY person
    HAVING $did_first
"""
# A walk of steps in order: of each step (the first way that there, ever, was; the latest that is
# alive). `e` is (time, marks). `back` is the step before that nobody may leave out. What must not
# come in between ends all ways but those that it goes on with.
BY_MARKS = f"""{MARKED}
), walked_ways AS (
    SELECT person$carried,
        arrayFold(
            (walk, e) -> arrayMap(
                (way, k, back) -> (if(empty(way.1), $next, way.1), $next),
                walk, $numbers, $backs
            ),
            on_the_way,
            $nothing::Array(Tuple(Array(Int64), Array(Int64)))
        ).1 AS firsts
    FROM ways
), walks AS (
    SELECT person$carried,
        firsts[arrayLast(k -> notEmpty(firsts[k]), $required)] AS times,
        arrayMap(
            (first, k, back) -> multiIf(
                empty(first), [],
                has($required, k), [times[k], times[k] - times[back]],
                [first[k], first[k] - first[back]]
            ),
            firsts, $numbers, $backs
        ) AS reached
    FROM walked_ways
"""
NEXT = """multiIf(
                    bitTest(e.2, k) AND k = 1, [e.1],
                    bitTest(e.2, k) AND notEmpty($from)
                        AND e.1 - $from[1] <= {window_ms:Int64},
                    arrayPushBack(arrayResize($from, k - 1), e.1),
                    bitTest(e.2, 0), [],
                    way.2
                )"""
# The way that goes on: it ended with the step before, or where steps between may be left out and
# none may come between, with one of these; the latest, and of these the longest.
FROM_BACK = "walk[back].2"
FROM_ANY = (
    "arrayReverseSort(chain -> (chain[1], length(chain)), arraySlice(walk.2, back, k - back))[1]"
)

# Steps in any order: of each its latest times, as many as there are such steps. `walk` is (the most
# that lay within the window, these).
IN_ANY_ORDER = f"""{MARKED}
), walks AS (
    SELECT person$carried,
        arrayFold(
            (walk, e) -> (
                if(length($now) > length(walk.1), $now, walk.1),
                $lasts
            ),
            on_the_way,
            ([], $nothing)::Tuple(Array(Int64), Array(Array(Int64)))
        ).1 AS times
    FROM ways
"""
NOW = "arraySort(arrayFilter(t -> t >= e.1 - {window_ms:Int64}, arrayFlatten($lasts)))"
LASTS = """arrayMap(
                    (last, k, most) -> if(
                        bitTest(e.2, k),
                        arraySlice(arrayPushBack(if(bitTest(e.2, 0), [], last), e.1), -most),
                        if(bitTest(e.2, 0), [], last)
                    ),
                    walk.2, $numbers, $mosts
                )"""
