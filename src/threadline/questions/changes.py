"""What is out of the usual: which goals and main numbers moved beyond their week-to-week variation
in the last seven days, and which group carries each move.

Every number is asked as `stats` asks it. What is unusual says `variation`, what carries it
`contributions`.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, NamedTuple, cast
from zoneinfo import ZoneInfo

import msgspec

from threadline.contract.times import Timestamp, format_ms, midnight_ms, parse_ms
from threadline.questions import schema, stats
from threadline.questions.context import Context
from threadline.questions.contributions import (
    Breakdown,
    Carrier,
    Whole,
    breakdown,
    carrier,
)
from threadline.questions.dimensions import PROPERTIES, Scope, scope_of
from threadline.questions.filters import Filtered, refused
from threadline.questions.intervals import WEEKDAYS, WeekStart, day_of
from threadline.questions.parameters import any_dimension
from threadline.questions.scoped import read_dimensions
from threadline.questions.stats import MetricName, StatsParams
from threadline.questions.variation import FEWEST, usual
from threadline.questions.warned import AnswerWarning, Warned, noted

WEEKS, MOST_WEEKS = 8, 52
DAYS = 7
# Events without a goal: those that come most.
MOST_EVENTS = 10
MOST_EXPLAINED = 5
# Rows of one group by group series: what is beyond is in the rest.
MOST_ROWS = 50_000
PAGE_VIEW = "$pageview"
# What apps call the property that says which of their versions it was.
VERSIONS = ("app_version", "appVersion", "version", "release", "build")

# By what each kind of number can be broken down so that the parts sum: an event has one of each, a
# visit no device that stays, and a person only a first touch.
BY: Mapping[MetricName, tuple[str, ...]] = {
    "count": ("visit.source", "visit.channel", "country", "device_type", "path"),
    "visits": ("visit.source", "visit.channel", "visit.entry_path", "first.country"),
    "persons": ("first.source", "first.channel", "first.country", "first.path"),
}
SCOPES: Mapping[MetricName, tuple[Scope, ...]] = {
    "count": ("event", "visit", "person"),
    "visits": ("visit", "person"),
    "persons": ("person",),
}


class ChangesParams(Filtered, kw_only=True):
    """`to`: the end of the seven days that are looked at, which is the beginning of a day; by
    default today's. `from`: weeks that begin before it are not compared with; by default there are
    eight."""

    group_by: Annotated[
        str,
        any_dimension(
            of="By what moves are broken down. Default: source, channel, country, device, path "
            "and the property with the app's version. Of people and visits only by what they "
            "have one of. "
        ),
    ] = ""
    limit: Annotated[
        int, msgspec.Meta(ge=1, le=50, description="Groups named of each dimension.")
    ] = 5


class Week(msgspec.Struct, rename={"from_": "from"}):
    """Seven days by the clocks of `tz`."""

    from_: str
    to: str


class Moved(msgspec.Struct, kw_only=True):
    """A number that is out of the usual. `metric`: `persons`, `visits`, `pageviews`, `goal:NAME` or
    an event's name. `usual`: the median of the weeks before (`past`, the oldest first), from `low`
    to `high` it would be nothing to speak of; `score`: how many spreads it is away. `change`: from
    what is usual, `change_share`: as a part of that. `average` of the weeks before, and `move` from
    there: the breakdowns sum to it. `carried_by`: the group that carries the move; null where no
    single one does, or where there is no breakdown."""

    metric: str
    value: float
    usual: float
    low: float
    high: float
    score: float
    change: float
    change_share: float | None
    average: float
    move: float
    past: list[float]
    carried_by: Carrier | None
    breakdowns: list[Breakdown]


class Changes(Warned, kw_only=True):
    """Rows: what moved, the most unusual first; none where all is `quiet`. `week`: what was looked
    at; `weeks`: how many before it it was compared with; `looked_at`: which numbers."""

    week: Week
    weeks: int
    quiet: bool
    looked_at: list[str]
    rows: list[Moved]


class Number(NamedTuple):
    """A number to look at, as `stats` asks it."""

    name: str
    metric: MetricName
    event: str | None = None


class Weeks(NamedTuple):
    """The weeks of one question: the last is looked at, those before are what is usual."""

    params: ChangesParams
    starts: list[int]
    to_ms: int
    begins: WeekStart

    def of(self, number: Number, group_by: str = "") -> StatsParams:
        params = self.params
        return StatsParams(
            metric=number.metric,
            event=number.event,
            group_by=group_by,
            interval="week",
            week_start=self.begins,
            from_=Timestamp(self.starts[0]),
            to=Timestamp(self.to_ms),
            tz=params.tz,
            stitch=params.stitch,
            as_of=params.as_of,
            include_bots=params.include_bots,
            limit=MOST_ROWS,
        )

    def place(self, bucket: object) -> int:
        """Which of the weeks begins then."""
        return self.starts.index(parse_ms(str(bucket)))


def ask(context: Context, params: ChangesParams) -> Changes:
    """Raises `InvalidGroupBy` and `InvalidParams`."""
    groups = read_dimensions(params.group_by, (), SCOPES["count"])
    weeks = _weeks(context, params)
    by_event = _by_event(context, weeks)
    weeks, by_event = _since_there_is_something(weeks, by_event)
    before = len(weeks.starts) - 1
    numbers = [*_numbers(context, by_event)]
    answer = Changes(
        week=Week(format_ms(weeks.starts[-1]), format_ms(weeks.to_ms)),
        weeks=before,
        quiet=True,
        looked_at=[number.name for number in numbers],
        rows=[],
    )
    if before < FEWEST:
        answer.looked_at = []
        answer.warnings = noted([_little_history(before)])
        return answer
    moved = [
        row
        for number in numbers
        if (row := _moved(number.name, _series(context, weeks, number, by_event)))
    ]
    moved.sort(key=lambda row: (-abs(row.score), row.metric))
    by_name = {number.name: number for number in numbers}
    versions = _versions(context) if moved and not groups else {}
    for row in moved[:MOST_EXPLAINED]:
        _explain(context, weeks, by_name[row.metric], row, groups, versions)
    answer.rows, answer.quiet = moved, not moved
    if len(moved) > MOST_EXPLAINED:
        answer.warnings = noted([_unexplained(len(moved))])
    return answer


def _weeks(context: Context, params: ChangesParams) -> Weeks:
    """Raises `InvalidParams`."""
    zone = ZoneInfo(params.tz)
    end = day_of(params.to.ms if params.to else context.now_ms, zone)
    if params.to and midnight_ms(end, zone) > context.now_ms:
        raise refused("to", "lies in the future; leave it out for the last seven days")
    since = params.from_.ms if params.from_ else midnight_ms(end - timedelta(DAYS * 9), zone)
    before = [
        start
        for nth in range(MOST_WEEKS, 0, -1)
        if (start := midnight_ms(end - timedelta(DAYS * (nth + 1)), zone)) >= since
    ]
    if not params.from_:
        before = before[-WEEKS:]
    starts = [*before, midnight_ms(end - timedelta(DAYS), zone)]
    begins = cast(WeekStart, WEEKDAYS[end.weekday()])
    return Weeks(params, starts, midnight_ms(end, zone), begins)


def _by_event(context: Context, weeks: Weeks) -> dict[str, list[float]]:
    """How often each event came, week by week."""
    found = _grouped(context, weeks, Number("events", "count"), "event_name")
    return {str(name): values for name, values in found.items()}


def _since_there_is_something(
    weeks: Weeks, by_event: dict[str, list[float]]
) -> tuple[Weeks, dict[str, list[float]]]:
    """Without the weeks before the first event, and the one in which that came."""
    totals = [sum(week) for week in zip(*by_event.values(), strict=True)]
    first = next((nth for nth, total in enumerate(totals) if total), len(weeks.starts) - 1)
    cut = min(first + 1 if first else 0, len(weeks.starts) - 1)
    shorter = {name: week[cut:] for name, week in by_event.items()}
    return weeks._replace(starts=weeks.starts[cut:]), shorter


def _numbers(context: Context, by_event: Mapping[str, Sequence[float]]) -> Iterator[Number]:
    yield Number("persons", "persons")
    yield Number("visits", "visits")
    yield Number("pageviews", "count", PAGE_VIEW)
    plain: set[str] = set()
    for name in context.names.goals:
        yield Number(f"goal:{name}", "count", f"goal:{name}")
        goal = context.names.goal(name)
        if goal and not goal.conditions:
            plain.add(goal.event)
    own = [name for name in by_event if not name.startswith("$") and name not in plain]
    own.sort(key=lambda name: (-sum(by_event[name]), name))
    for name in own[:MOST_EVENTS]:
        yield Number(name, "count", name)


def _series(
    context: Context, weeks: Weeks, number: Number, by_event: Mapping[str, list[float]]
) -> list[float]:
    if number.metric == "count" and (found := by_event.get(number.event or "")):
        return found
    values = [0.0] * len(weeks.starts)
    for row in stats.ask(context, weeks.of(number)).rows:
        values[weeks.place(row.bucket)] = cast(float, row.value or 0)
    return values


def _grouped(
    context: Context, weeks: Weeks, number: Number, group: str
) -> dict[str | None, list[float]]:
    found: dict[str | None, list[float]] = {}
    for row in stats.ask(context, weeks.of(number, group)).rows:
        columns = msgspec.to_builtins(row)
        values = found.setdefault(columns[group], [0.0] * len(weeks.starts))
        values[weeks.place(row.bucket)] = cast(float, row.value or 0)
    return found


def _moved(name: str, values: list[float]) -> Moved | None:
    """None where it is as usual."""
    *past, now = values
    expected = usual(past)
    if expected.low <= now <= expected.high:
        return None
    average = sum(past) / len(past)
    return Moved(
        metric=name,
        value=now,
        usual=expected.value,
        low=round(expected.low, 2),
        high=round(expected.high, 2),
        score=round(expected.score(now), 2),
        change=now - expected.value,
        change_share=(now - expected.value) / expected.value if expected.value else None,
        average=round(average, 6),
        move=round(now - average, 6),
        past=past,
        carried_by=None,
        breakdowns=[],
    )


def _explain(
    context: Context,
    weeks: Weeks,
    number: Number,
    row: Moved,
    groups: Sequence[str],
    versions: Mapping[str, Sequence[str]],
) -> None:
    """What moved in it, into the row."""
    whole = Whole(row.value, sum(row.past) / len(row.past))
    dimensions = [name for name in groups if scope_of(name) in SCOPES[number.metric]]
    if not groups:
        dimensions = [*BY[number.metric], *versions.get(number.event or "", ())]
    for dimension in dimensions:
        parts = {
            value: (week[-1], sum(week[:-1]) / (len(week) - 1))
            for value, week in _grouped(context, weeks, number, dimension).items()
        }
        row.breakdowns.append(breakdown(dimension, whole, parts, weeks.params.limit))
    row.carried_by = carrier(whole, row.breakdowns)


def _versions(context: Context) -> dict[str, list[str]]:
    """Of each event the properties that say which version of an app sent it."""
    found = schema.ask(context, schema.SchemaParams(limit=1000)).events or []
    return {
        event.event: [
            f"{PROPERTIES}{each.name}" for each in event.properties if each.name in VERSIONS
        ]
        for event in (found if isinstance(found, list) else [])
    }


def _little_history(weeks: int) -> AnswerWarning:
    message = (
        f"What is usual takes {FEWEST} full weeks before these seven days, and there are {weeks}: "
        "nothing was compared. An earlier from, or waiting, helps."
    )
    return AnswerWarning("little_history", None, message)


def _unexplained(moved: int) -> AnswerWarning:
    message = f"Of {moved} moves only the {MOST_EXPLAINED} most unusual are broken down."
    return AnswerWarning("truncated", None, message)
