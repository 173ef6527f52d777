"""Hours, days, weeks and months by the clocks of a time zone: when each begins, as SQL and here."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta, tzinfo
from functools import partial
from math import fmod
from string import Template
from typing import Annotated, Literal

import msgspec

from threadline.contract.times import EPOCH, HOUR_MS, ONE_MS, midnight_ms

Interval = Annotated[
    Literal["hour", "day", "week", "month"],
    msgspec.Meta(description="Weeks begin on Monday. In the time zone `tz`."),
]
WeekStart = Annotated[
    Literal["monday", "sunday"],
    msgspec.Meta(description="With interval=week: the day on which weeks begin."),
]
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
# An interval, or of weeks those that begin on another day than Monday.
Kind = Literal[
    "hour",
    "day",
    "week",
    "month",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
]

# Clocks that are changed by half an hour begin one in its middle where they are put forward, and
# make it longer where they are put back.
# (The engine's toStartOfHour is wrong for the rest of such a day.)
SHOWN = (
    "(toDateTime($at, {tz:String})"
    " - toIntervalSecond(toMinute($at, {tz:String}) * 60 + toSecond($at, {tz:String})))"
)
OFFSET = "timeZoneOffset(toTimeZone($of, {tz:String}))"
CHANGED = f"({OFFSET.replace('$of', '$at')} - {OFFSET.replace('$of', SHOWN)})"
HOUR = f"{SHOWN} + toIntervalSecond(modulo({CHANGED}, 3600))"

# The start of the interval that an instant falls into, as an instant.
BUCKETS: Mapping[str, str] = {
    "hour": f"toDateTime({HOUR}, {{tz:String}})",
    "day": "toStartOfDay($at, {tz:String})",
    "week": "toDateTime(toMonday($at, {tz:String}), {tz:String})",
    "sunday": "toDateTime(toStartOfWeek($at, 0, {tz:String}), {tz:String})",
    **{
        name: f"toDateTime(addDays(toMonday(subtractDays(toDate($at, {{tz:String}}), {days})), "
        f"{days}), {{tz:String}})"
        for days, name in enumerate(WEEKDAYS[1:6], start=1)
    },
    "month": "toDateTime(toStartOfMonth($at, {tz:String}), {tz:String})",
}


def _since(weekday: int, day: date) -> date:
    """The last such day of the week, or this one; Monday is 0."""
    return day - timedelta(days=(day.weekday() - weekday) % 7)


# The same of a day: the first one of its interval.
FIRST_DAYS: Mapping[str, Callable[[date], date]] = {
    "day": lambda day: day,
    "week": lambda day: day - timedelta(days=day.weekday()),
    **{name: partial(_since, days) for days, name in enumerate(WEEKDAYS[1:], start=1)},
    "month": lambda day: day.replace(day=1),
}
HALF_MS = HOUR_MS // 2
LENGTHS_IN_DAYS: Mapping[str, int] = {"day": 1, "week": 7, **dict.fromkeys(WEEKDAYS, 7)}


def bucket(interval: str, at: str) -> str:
    """SQL for the start of the interval around `at`, as an instant; binds `tz`."""
    return f"toTimeZone({Template(BUCKETS[interval]).substitute(at=at)}, 'UTC')"


def differ(interval: str) -> str:
    """SQL for whether two timestamps, `began` and `ended`, are in different intervals; binds
    `tz`."""
    return f"({bucket(interval, 'began')} != {bucket(interval, 'ended')})"


def kind_of(interval: Interval, week_start: WeekStart) -> Kind:
    return week_start if interval == "week" and week_start != "monday" else interval


def day_of(at_ms: int, zone: tzinfo) -> date:
    """The date that the clocks show."""
    return (EPOCH + at_ms * ONE_MS).astimezone(zone).date()


def start(kind: Kind, at_ms: int, zone: tzinfo) -> int:
    """The start of the interval around a time; both in milliseconds since 1970."""
    if kind == "hour":
        return _hour(at_ms, zone)
    return midnight_ms(FIRST_DAYS[kind](day_of(at_ms, zone)), zone)


def _hour(at_ms: int, zone: tzinfo) -> int:
    """The start of the hour that the clocks show, or where they were changed into its middle."""
    shown = at_ms - _into_hour(at_ms, zone)
    changed = offset_ms(at_ms, zone) - offset_ms(shown, zone)
    return shown + int(fmod(changed, HOUR_MS))


def _into_hour(at_ms: int, zone: tzinfo) -> int:
    """How long the clocks have shown this hour, if they were not changed in it."""
    return (at_ms + offset_ms(at_ms, zone)) % HOUR_MS


def offset_ms(at_ms: int, zone: tzinfo) -> int:
    """How far the clocks of the zone are ahead of UTC."""
    offset = (EPOCH + at_ms * ONE_MS).astimezone(zone).utcoffset() or timedelta()
    return offset // ONE_MS


def nth(kind: Kind, start_ms: int, n: int, zone: tzinfo) -> int:
    """The start of the nth interval after one that starts then, before it if n is negative."""
    if kind == "hour":
        near = start_ms + n * HOUR_MS
        around = [start(kind, near + more, zone) for more in (0, HALF_MS, -HALF_MS)]
        return next((at for at in around if between(kind, start_ms, at, zone) == n), around[0])
    day = day_of(start_ms, zone)
    if kind == "month":
        year, month = divmod(day.year * 12 + day.month - 1 + n, 12)
        return midnight_ms(date(year, month + 1, 1), zone)
    return midnight_ms(day + timedelta(days=n * LENGTHS_IN_DAYS[kind]), zone)


def between(kind: Kind, first_ms: int, start_ms: int, zone: tzinfo) -> int:
    """How many intervals lie between the starts of two."""
    if kind == "hour":
        changed = offset_ms(start_ms, zone) - offset_ms(first_ms, zone)
        since = start_ms - first_ms + _into_hour(first_ms, zone) + int(fmod(changed, HOUR_MS))
        return since // HOUR_MS
    first, day = day_of(first_ms, zone), day_of(start_ms, zone)
    if kind == "month":
        return (day.year - first.year) * 12 + day.month - first.month
    return (day - first).days // LENGTHS_IN_DAYS[kind]


def before(kind: Kind, start_ms: int, zone: tzinfo) -> int:
    """The start of the interval before one that starts then."""
    return start(kind, start_ms - 1, zone)
