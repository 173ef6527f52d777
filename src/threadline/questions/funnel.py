"""`GET /v1/funnel`: how far do people get, in this order, within this time?"""

import re
from typing import Annotated, NamedTuple

import msgspec

from threadline.contract.errors import InvalidParams
from threadline.identity.compose import where
from threadline.questions.answers import EVENT_COLUMNS, Grouped, grouped_rows
from threadline.questions.context import Context
from threadline.questions.filters import Filtered
from threadline.questions.parameters import (
    Duration,
    EventName,
    between,
    grouping,
    read_duration_s,
    read_groups,
)
from threadline.questions.per_account import Per
from threadline.questions.traffic_sources import GROUPS
from threadline.questions.warned import AnswerWarning, Warned, noted, unknown_events

MAX_STEPS = 10
MAX_NAME = 128


class FunnelParams(Filtered, kw_only=True):
    """`from` and `to` speak of the steps."""

    steps: Annotated[
        str,
        msgspec.Meta(
            description="Event names in order, by commas: `$pageview,signup,purchase`. With a "
            "property: `purchase{plan=pro}`. Each name once. A comma in a name is "
            "`\\,`, a backslash `\\\\`.",
            extra_json_schema={"pattern": r"^[^,{}\\ ]+(,[^,{}\\ ]+){1,9}$"},
        ),
    ]
    window: Annotated[
        Duration, msgspec.Meta(description="From the first step to the last: 30m, 12h, 7d, 4w.")
    ] = "7d"
    exclude: (
        Annotated[
            EventName,
            msgspec.Meta(description="An event that, between steps, starts the funnel over."),
        ]
        | None
    ) = None
    group_by: Annotated[str, grouping(*GROUPS, of="Of the person's first event: ")] = ""
    per: Per = "person"


class Step(msgspec.Struct):
    """`share`: of those at the first step. `median_seconds`: from the step before."""

    step: str
    persons: int
    share: float
    median_seconds: float | None


class FunnelRow(Grouped, kw_only=True):
    """One group's steps."""

    steps: list[Step]


class Funnel(Warned):
    """Rows: the group's columns and its steps. A person counts where they got furthest first."""

    stitch: str
    window_seconds: int
    rows: list[FunnelRow]


# A name and perhaps a property, up to the next comma; what follows a backslash is meant as it is.
STEP = re.compile(
    r"((?:\\.|[^\\{},])+)(?:\{((?:\\.|[^\\{}=])+)=((?:\\.|[^\\{}])*)\}\s*)?(,|$)", re.DOTALL
)
# Spaces around, but for one behind a backslash.
AROUND = re.compile(r"^\s+|(?<!\\)\s+$")
ESCAPED = re.compile(r"\\(.)", re.DOTALL)

# What reads as if it were about the event itself, but is looked up among its properties.
NO_PROPERTIES = {*EVENT_COLUMNS, "event", "host", "term", "content"} - {"properties"}

# An event on the way is one number, so that it sorts by time and then by step: milliseconds, and in
# the last four bits which step it is. Step 0 is what must not come in between.
#
# Of many first steps in a row only the first and the last matter, and only the first where no other
# step comes; without the rest, the walk is short.
#
# One walk through a person's events. `chains[k]` holds the times of the latest way to step k that
# is still alive: latest, because that has most of the window left. `best` is the longest there
# was, the earliest of its length. `walk` is (best, chains), `e` is (time, step).
SQL = """
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        toUnixTimestamp64Milli(e.timestamp) * 16 + multiIf($step_of_event, 0) AS walked
    FROM counted_events AS e
    $where
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
)
SELECT $groups
    sumForEach(arrayMap(k -> toUInt64(length(times) >= k), $numbers)) AS persons,
    quantileExactInclusiveForEach(0.5)(arrayPopFront(arrayDifference(times))) AS medians_ms
FROM walks AS w
$first_events
WHERE notEmpty(times)
$group_by
ORDER BY persons[1] DESC, $order"""

# Whom a group is about: by the source of the person's first event.
FIRST_EVENTS = """
INNER JOIN first_events AS f ON f.person = w.person
LEFT ANY JOIN named_sources AS n ON n.traffic_source = f.first_touch.traffic_source"""


class _Wanted(NamedTuple):
    text: str
    event: str
    key: str | None
    condition: str


def ask(context: Context, params: FunnelParams) -> Funnel:
    """Persons who reached each step, in order, all within the window after their first.

    Steps at the same time count in the order of the funnel. Raises `InvalidParams`,
    `InvalidGroupBy`.
    """
    names = read_groups(params.group_by, GROUPS)
    window_s = read_duration_s(params.window)
    values: dict[str, object] = {"window_ms": window_s * 1000}
    wanted = _read_steps(params.steps, values)
    matching = [step.condition for step in wanted]
    if params.exclude is not None:
        values["exclude"] = params.exclude
        matching.append("e.event_name = {exclude:String}")
    conditions = [f"({' OR '.join(matching)})", *between(params, values)]
    conditions += context.narrowing.events
    found = context.ask(SQL, values, {"where": where(conditions), **_slots(wanted, names)})
    rows = [
        {
            **{name: row[name] for name in names},
            "steps": _steps(wanted, row["persons"], row["medians_ms"]),
        }
        for row in found
    ]
    if not rows and not names:
        rows = [{"steps": _steps(wanted, [0] * len(wanted), [])}]
    reached = [any(row["steps"][k].persons for row in rows) for k in range(len(wanted))]
    nobody = [step.event for step, some in zip(wanted, reached, strict=True) if not some]
    unknown = unknown_events(context, {"steps": nobody, "exclude": [params.exclude]})
    return Funnel(
        context.resolution.policy,
        window_s,
        grouped_rows(FunnelRow, rows),
        warnings=noted([*unknown, *_of_properties(wanted)]),
    )


def _slots(wanted: list[_Wanted], names: list[str]) -> dict[str, object]:
    numbers = list(range(1, len(wanted) + 1))
    return {
        "step_of_event": ", ".join(
            f"{step.condition}, {number}" for number, step in zip(numbers, wanted, strict=True)
        ),
        "numbers": numbers,
        "nothing": f"{[[] for _ in numbers]}::Array(Array(Int64))",
        "groups": "".join(f"n.{name} AS {name}, " for name in names),
        "first_events": FIRST_EVENTS.strip() if names else "",
        "group_by": f"GROUP BY {', '.join(names)}" if names else "HAVING notEmpty(persons)",
        "order": ", ".join(names) or "1",
    }


def _of_properties(wanted: list[_Wanted]) -> list[AnswerWarning]:
    return [
        AnswerWarning(
            "property_condition",
            "steps",
            f"{step.text} looks for a property named {step.key!r}, not for the event's own"
            f" {step.key}, by which steps cannot be told apart.",
        )
        for step in wanted
        if step.key in NO_PROPERTIES
    ]


def _read_steps(text: str, values: dict[str, object]) -> list[_Wanted]:
    found: list[_Wanted] = []
    names: list[str] = []
    position = 0
    while match := STEP.match(text, position):
        number, position = len(found) + 1, match.end()
        name, key, value = (part and _plain(part) for part in match.groups()[:3])
        names.append(name)
        values[f"step_{number}"] = name
        condition = f"e.event_name = {{step_{number}:String}}"
        if key is not None:
            values |= {f"key_{number}": key, f"value_{number}": value}
            condition = (
                f"({condition} AND {{value_{number}:String}} IN ("
                f"JSONExtractString(e.properties, {{key_{number}:String}}), "
                f"JSONExtractRaw(e.properties, {{key_{number}:String}})))"
            )
        text_of = name if key is None else f"{name}{{{key}={value}}}"
        found.append(_Wanted(text_of, name, key, condition))
        if not match[4]:
            break
    problem = None
    if not match or not all(names):
        problem = "write event names by commas, such as $pageview,signup,purchase{plan=pro}"
    elif max(map(len, names), default=0) > MAX_NAME:
        problem = f"event names have at most {MAX_NAME} characters"
    elif len(set(names)) < len(names):
        problem = "name each event once"
    elif not 2 <= len(found) <= MAX_STEPS:
        problem = f"name 2 to {MAX_STEPS} events"
    if problem:
        raise InvalidParams(f"Parameter steps: {problem}.", fieldErrors={"steps": [problem]})
    return found


def _plain(text: str) -> str:
    """A part of a step as it is meant."""
    return ESCAPED.sub(r"\1", AROUND.sub("", text))


def _steps(wanted: list[_Wanted], persons: list[int], medians_ms: list[float]) -> list[Step]:
    medians = [None, *(ms / 1000 for ms in medians_ms), *[None] * len(wanted)]
    return [
        Step(step.text, count, count / persons[0] if persons[0] else 0.0, median)
        for step, count, median in zip(wanted, persons, medians, strict=False)
    ]
