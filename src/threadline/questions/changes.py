"""What is out of the usual: which goals and main numbers moved beyond their week-to-week variation
in the last seven days, and which group carries each move.

Every number is asked as `stats` asks it. What is unusual says `variation`, what carries it
`contributions`.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from threadline.contract.times import format_ms
from threadline.questions import schema
from threadline.questions.context import Context
from threadline.questions.contributions import Breakdown, Carrier, Whole, breakdown, carrier
from threadline.questions.dimensions import PROPERTIES, Scope, scope_of
from threadline.questions.filters import Filtered
from threadline.questions.parameters import any_dimension
from threadline.questions.scoped import read_dimensions
from threadline.questions.stats_shapes import MetricName
from threadline.questions.variation import FEWEST, usual
from threadline.questions.warned import AnswerWarning, Warned, noted
from threadline.questions.weekly_numbers import (
    MOST_EVENTS,
    WeeklyNumber,
    Weeks,
    by_event_in,
    grouped,
    numbers_of,
    own_events,
    series_of,
    since_there_is_something,
    weeks_of,
)

MOST_EXPLAINED = 5
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


def ask(context: Context, params: ChangesParams) -> Changes:
    """Raises `InvalidGroupBy` and `InvalidParams`."""
    groups = read_dimensions(params.group_by, (), SCOPES["count"])
    weeks = weeks_of(context, params)
    by_event = by_event_in(context, weeks)
    weeks, by_event = since_there_is_something(weeks, by_event)
    before = len(weeks.starts) - 1
    numbers = [*numbers_of(context, by_event)]
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
        if (row := _moved(number.name, series_of(context, weeks, number, by_event)))
    ]
    moved.sort(key=lambda row: (-abs(row.score), row.metric))
    by_name = {number.name: number for number in numbers}
    versions = _versions(context) if moved and not groups else {}
    for row in moved[:MOST_EXPLAINED]:
        _explain(context, weeks, by_name[row.metric], row, groups, versions, params.limit)
    answer.rows, answer.quiet = moved, not moved
    warnings = [_unexplained(len(moved))] if len(moved) > MOST_EXPLAINED else []
    others = len(own_events(context, by_event)) - MOST_EVENTS
    if others > 0:
        warnings.append(_not_looked_at(others))
    answer.warnings = noted(warnings)
    return answer


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
    number: WeeklyNumber,
    row: Moved,
    groups: Sequence[str],
    versions: Mapping[str, Sequence[str]],
    limit: int,
) -> None:
    """What moved in it, into the row."""
    whole = Whole(row.value, sum(row.past) / len(row.past))
    dimensions = [name for name in groups if scope_of(name) in SCOPES[number.metric]]
    if not groups:
        dimensions = [*BY[number.metric], *versions.get(number.event or "", ())]
    for dimension in dimensions:
        parts = {
            value: (week[-1], sum(week[:-1]) / (len(week) - 1))
            for value, week in grouped(context, weeks, number, dimension).items()
        }
        row.breakdowns.append(breakdown(dimension, whole, parts, limit))
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


def _not_looked_at(events: int) -> AnswerWarning:
    message = (
        f"Only the {MOST_EVENTS} events that come most were looked at, and {events:,} others were "
        "not; a goal is always looked at."
    )
    return AnswerWarning("not_looked_at", None, message)


def _unexplained(moved: int) -> AnswerWarning:
    message = f"Of {moved} moves only the {MOST_EXPLAINED} most unusual are broken down."
    return AnswerWarning("truncated", None, message)
