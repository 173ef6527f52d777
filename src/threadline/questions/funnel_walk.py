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

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from threadline.identity.compose import all_of, where
from threadline.questions.filters import refused
from threadline.questions.funnel_steps import FunnelStep, are_apart, first_not_apart
from threadline.questions.named import Names

Order = Literal["sequence", "strict", "any"]

# What is said of somebody is nothing that they did.
NOT_DONE = "('$identify', '$group', '$alias')"

# An event on the way is one number, so that it sorts by time and then by step: milliseconds, and in
# the last four bits which step it is. Step 0 is what must not come in between.
#
# Of many first steps in a row only the first and the last matter, and only the first where no other
# step comes; without the rest, the walk is short.
#
# One walk through a person's events. `chains[k]` holds the times of the latest way to step k that
# is still alive: latest, because that has most of the window left. `best` is the longest there
# was, the earliest of its length. `walk` is (best, chains), `e` is (time, step).
BY_STEP = """
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp$columns,
        toUnixTimestamp64Milli(e.timestamp) * 16 + multiIf($step_of_event, 0) AS walked
    FROM counted_events AS e
    $where
), ways AS (
    SELECT person$carry, arraySort(groupArray(walked)) AS sorted,
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
            arrayMap(e -> (intDiv(e, 16), e % 16), on_the_way),
            ([], $nothing)::Tuple(Array(Int64), Array(Array(Int64)))
        ).1 AS times
    FROM ways
"""

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


@dataclass(frozen=True)
class Walk:
    """`sql`: up to `walks`, with `slots`. `persons`, `gaps`: of one person, SQL of an array with 1
    for each step reached, and of one with the milliseconds since the step before, from the second
    on, of which an array `in_arrays` each. `first`: whether `walked` may be the first step."""

    sql: str
    slots: dict[str, object]
    persons: str
    gaps: str
    in_arrays: bool
    first: str
    steps: Sequence[FunnelStep] = field(default_factory=list)

    def at(self, step: int) -> str:
        """When a person did this step, who did."""
        return f"reached[{step}][1]" if self.in_arrays else f"times[{step}]"

    def did(self, step: int) -> str:
        """Whether a person got to this step."""
        return f"notEmpty(reached[{step}])" if self.in_arrays else f"length(times) >= {step}"

    def back(self, step: int) -> int:
        """The last step before this one that nobody may leave out."""
        return _backs(self.steps)[step - 1]


def walk(
    steps: Sequence[FunnelStep],
    excluded: Sequence[FunnelStep],
    order: Order,
    names: Names,
    filters: Sequence[str],
    others: Sequence[str],
    values: dict[str, object],
) -> Walk:
    """The walk for these steps. `filters`: conditions that steps have to pass besides; `others`:
    all events that are looked at. What it binds goes into `values`. Raises `InvalidParams`."""
    _refuse(steps, excluded, order)
    conditions = [step.sql(f"step_{nth}", names, values) for nth, step in enumerate(steps, start=1)]
    between = [
        step.sql("exclude" if nth == 1 else f"exclude_{nth}", names, values)
        for nth, step in enumerate(excluded, start=1)
    ]
    plain = order == "sequence" and not any(step.optional for step in steps)
    if plain and are_apart([*steps, *excluded]):
        return _by_step(steps, conditions, between, filters, others)
    if order == "any":
        return _in_any_order(steps, conditions, between, filters, others)
    return _by_marks(steps, conditions, between, filters, others, order == "strict")


def _refuse(steps: Sequence[FunnelStep], excluded: Sequence[FunnelStep], order: Order) -> None:
    if steps[0].optional:
        raise refused("steps", "the first step is never optional; write it without a question mark")
    if excluded and order == "strict":
        raise refused("exclude", "with order=strict no event may come in between; leave it out")
    if any(step.optional for step in excluded):
        raise refused("exclude", "what excludes is never optional; leave out its question mark")
    if order != "any":
        return
    if any(step.optional for step in steps):
        message = "with order=any no step is optional; leave out the ?, or take order=sequence"
        raise refused("steps", message)
    kinds = list({step.key: step for step in steps}.values())
    if pair := first_not_apart(kinds):
        one, other = pair
        raise refused(
            "steps",
            f"one event may be both {one.text} and {other.text}, which order=any cannot tell apart;"
            " write conditions that rule each other out, such as path=/a and path!=/a, or take"
            " order=sequence",
        )


def _by_step(
    steps: Sequence[FunnelStep],
    conditions: list[str],
    between: list[str],
    filters: Sequence[str],
    others: Sequence[str],
) -> Walk:
    numbers = list(range(1, len(steps) + 1))
    slots: dict[str, object] = {
        "step_of_event": ", ".join(
            f"{condition}, {number}" for number, condition in zip(numbers, conditions, strict=True)
        ),
        "numbers": numbers,
        "nothing": f"{[[] for _ in numbers]}::Array(Array(Int64))",
        "where": where(_looked_at(conditions, between, filters, others)),
    }
    persons = f"arrayMap(k -> toUInt64(length(times) >= k), {numbers})"
    gaps = "arrayPopFront(arrayDifference(times))"
    return Walk(BY_STEP, slots, persons, gaps, False, "walked % 16 = 1", steps)


def _by_marks(
    steps: Sequence[FunnelStep],
    conditions: list[str],
    between: list[str],
    filters: Sequence[str],
    others: Sequence[str],
    strict: bool,
) -> Walk:
    numbers = list(range(1, len(steps) + 1))
    skipping = strict and any(step.optional for step in steps)
    slots: dict[str, object] = {
        "numbers": numbers,
        "backs": _backs(steps),
        "required": [n for n, step in zip(numbers, steps, strict=True) if not step.optional],
        "nothing": f"[{', '.join('([], [])' for _ in numbers)}]",
        "next": NEXT.replace("$from", FROM_ANY if skipping else FROM_BACK),
        # In a row, of what is the first step only, and of what stands between, two are enough.
        "kept": "kind > 3",
        "did_first": "arrayExists(e -> bitTest(e, 1), sorted)",
        **_marks(conditions, between, filters, others, strict),
    }
    persons = "arrayMap(step -> toUInt64(notEmpty(step)), reached)"
    gaps = "arrayMap(step -> arraySlice(step, 2), arrayPopFront(reached))"
    return Walk(BY_MARKS, slots, persons, gaps, True, "bitTest(walked, 1)", steps)


def _in_any_order(
    steps: Sequence[FunnelStep],
    conditions: list[str],
    between: list[str],
    filters: Sequence[str],
    others: Sequence[str],
) -> Walk:
    keys = [step.key for step in steps]
    kinds = dict(zip(keys, conditions, strict=True))
    numbers = list(range(1, len(kinds) + 1))
    mosts = [keys.count(key) for key in kinds]
    lasts = LASTS.replace("$numbers", str(numbers)).replace("$mosts", str(mosts))
    slots: dict[str, object] = {
        "nothing": f"{[[] for _ in numbers]}::Array(Array(Int64))",
        "lasts": lasts,
        "now": NOW.replace("$lasts", lasts),
        "kept": "kind > 1",
        "did_first": "arrayExists(e -> e % 2048 > 1, sorted)",
        **_marks(list(kinds.values()), between, filters, others, False),
    }
    persons = f"arrayMap(k -> toUInt64(length(times) >= k), {list(range(1, len(steps) + 1))})"
    gaps = "arrayPopFront(arrayDifference(times))"
    return Walk(IN_ANY_ORDER, slots, persons, gaps, False, "walked % 2048 > 1", steps)


def _marks(
    conditions: list[str],
    between: list[str],
    filters: Sequence[str],
    others: Sequence[str],
    strict: bool,
) -> dict[str, object]:
    bits = [f"if({condition}, {2**n}, 0)" for n, condition in enumerate(conditions, start=1)]
    steps = " + ".join(bits)
    if filters:
        steps = f"if({all_of(filters)}, {steps}, 0)"
    breaks = f"if({' OR '.join(between)}, 1, 0)" if between else "0"
    if not strict:
        looked_at = _looked_at(conditions, between, filters, others)
        return {"marks": f"{steps} + {breaks}", "where": where(looked_at)}
    done = [f"e.event_name NOT IN {NOT_DONE}", *conditions, *between]
    return {"marks": f"{steps} + 1", "where": where([f"({' OR '.join(done)})", *others])}


def _looked_at(
    conditions: list[str], between: list[str], filters: Sequence[str], others: Sequence[str]
) -> list[str]:
    """Filters are for steps: what excludes does so whether it passes them or not."""
    if filters and between:
        steps = all_of([f"({' OR '.join(conditions)})", *filters])
        return [f"(({steps}) OR {' OR '.join(between)})", *others]
    return [f"({' OR '.join([*conditions, *between])})", *others, *filters]


def _backs(steps: Sequence[FunnelStep]) -> list[int]:
    """Of each step the last before it that nobody may leave out; of the first, itself."""
    return [
        max((m for m, step in enumerate(steps[:n], start=1) if not step.optional), default=1)
        for n in range(len(steps))
    ]
