"""Which numbers are looked at for what is out of the usual, and what they were week by week."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple, cast
from zoneinfo import ZoneInfo

import msgspec

from threadline.contract.times import Timestamp, midnight_ms, parse_ms
from threadline.questions import stats
from threadline.questions.context import Context
from threadline.questions.filters import Filtered, refused
from threadline.questions.intervals import WEEKDAYS, WeekStart, day_of
from threadline.questions.stats_shapes import MetricName, StatsParams

WEEKS, MOST_WEEKS = 8, 52
DAYS = 7
# Events without a goal: those that come most.
MOST_EVENTS = 10
# Rows of one group by group series: what is beyond is in the rest.
MOST_ROWS = 50_000
PAGE_VIEW = "$pageview"


class WeeklyNumber(NamedTuple):
    """A number to look at, as `stats` asks it."""

    name: str
    metric: MetricName
    event: str | None = None


class Weeks(NamedTuple):
    """The weeks of one question: the last is looked at, those before are what is usual."""

    params: Filtered
    starts: list[int]
    to_ms: int
    begins: WeekStart

    def of(self, number: WeeklyNumber, group_by: str = "") -> StatsParams:
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


def weeks_of(context: Context, params: Filtered) -> Weeks:
    """Those before are as many as `from` says, else eight. Raises `InvalidParams`."""
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


def by_event_in(context: Context, weeks: Weeks) -> dict[str, list[float]]:
    """How often each event came, week by week."""
    found = grouped(context, weeks, WeeklyNumber("events", "count"), "event_name")
    return {str(name): values for name, values in found.items()}


def since_there_is_something(
    weeks: Weeks, by_event: dict[str, list[float]]
) -> tuple[Weeks, dict[str, list[float]]]:
    """Without the weeks before the first event, and the one in which that came."""
    totals = [sum(week) for week in zip(*by_event.values(), strict=True)]
    first = next((nth for nth, total in enumerate(totals) if total), len(weeks.starts) - 1)
    cut = min(first + 1 if first else 0, len(weeks.starts) - 1)
    shorter = {name: week[cut:] for name, week in by_event.items()}
    return weeks._replace(starts=weeks.starts[cut:]), shorter


def numbers_of(context: Context, by_event: Mapping[str, Sequence[float]]) -> Iterator[WeeklyNumber]:
    """The main numbers, all goals, and the events that come most and are no goal."""
    yield WeeklyNumber("persons", "persons")
    yield WeeklyNumber("visits", "visits")
    yield WeeklyNumber("pageviews", "count", PAGE_VIEW)
    for name in context.names.goals:
        yield WeeklyNumber(f"goal:{name}", "count", f"goal:{name}")
    for name in own_events(context, by_event)[:MOST_EVENTS]:
        yield WeeklyNumber(name, "count", name)


def own_events(context: Context, by_event: Mapping[str, Sequence[float]]) -> list[str]:
    """The project's own that are no goal, those that come most first."""
    goals = [context.names.goal(name) for name in context.names.goals]
    plain = {goal.event for goal in goals if goal and not goal.conditions}
    own = [name for name in by_event if not name.startswith("$") and name not in plain]
    return sorted(own, key=lambda name: (-sum(by_event[name]), name))


def series_of(
    context: Context, weeks: Weeks, number: WeeklyNumber, by_event: Mapping[str, list[float]]
) -> list[float]:
    """The number week by week; `by_event`: how often each event came, as `by_event_in` has it."""
    if number.metric == "count" and (found := by_event.get(number.event or "")):
        return found
    return grouped(context, weeks, number).get(None) or [0.0] * len(weeks.starts)


def grouped(
    context: Context, weeks: Weeks, number: WeeklyNumber, group: str = ""
) -> dict[str | None, list[float]]:
    """The number week by week, for each value of a dimension; without one under None."""
    found: dict[str | None, list[float]] = {}
    for row in stats.ask(context, weeks.of(number, group)).rows:
        columns = msgspec.to_builtins(row)
        values = found.setdefault(columns.get(group), [0.0] * len(weeks.starts))
        values[weeks.place(row.bucket)] = cast(float, row.value or 0)
    return found
