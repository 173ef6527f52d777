"""Time on the wire and inside: ISO 8601 there, whole milliseconds since 1970 (UTC) here."""

import re
from calendar import monthrange
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from time import time_ns
from typing import Self

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ONE_MS = timedelta(milliseconds=1)
DAY_MS = 86_400_000

# No event is before the one or after the other, and the store can count to both.
EARLIEST_MS = 0
LATEST_MS = (datetime(2299, 1, 1, tzinfo=UTC) - EPOCH) // ONE_MS

WRITE_ISO = "write ISO 8601, such as 2026-05-01T14:00:00Z"
RELATIVE_TIMES = "now, today, yesterday, mtd, ytd, 12h, 7d, 4w, 12mo or 1y"
WRITE_TIME = f"{WRITE_ISO}, or one of {RELATIVE_TIMES}"
# A `+` that was not percent-encoded arrives as a space.
LOST_PLUS = re.compile(r".*T.* \d\d:?\d\d", re.ASCII)


def now_ms() -> int:
    """Milliseconds since 1970 by this machine's clock."""
    return time_ns() // 1_000_000


def parse_ms(text: str) -> int:
    """ISO 8601 text to milliseconds since 1970, cut (not rounded) to the millisecond.

    Text without an offset is UTC. Raises `ValueError` for anything else, and `OverflowError` for
    an instant that falls out of the calendar when moved to UTC.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - EPOCH
    # By hand: dividing timedeltas takes three times as long.
    return since.days * DAY_MS + since.seconds * 1000 + since.microseconds // 1000


class Timestamp:
    """A time in a query parameter. Its own type, so that decoding knows to read ISO 8601.

    `day`: the date, where only that was given. `relative`: the text of one that counts from now,
    and has no `ms` before it is `resolved`; then it is in `asked`. What is out of all times, as
    year 1 or 9999, is the first or the last there is: the answer is the same.
    """

    __slots__ = ("asked", "day", "ms", "relative")

    def __init__(
        self, ms: int, day: date | None = None, relative: str = "", asked: str = ""
    ) -> None:
        self.ms = within(ms)
        self.day = day
        self.relative = relative
        self.asked = asked

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `ValueError` with a message for the caller."""
        if text.isdecimal() and len(text) != len("20260501"):
            unit = "seconds" if len(text) < len("100000000000") else "milliseconds"
            raise ValueError(f"{WRITE_ISO}; {text:.20} looks like Unix {unit}")
        if LOST_PLUS.fullmatch(text):
            raise ValueError(f"{WRITE_ISO}; the + of an offset is %2B in an address")
        try:
            return cls(midnight_ms(date.fromisoformat(text), UTC), date.fromisoformat(text))
        except ValueError:
            pass  # it has a time, too
        try:
            return cls(parse_ms(text))
        except (ValueError, OverflowError):
            raise ValueError(WRITE_ISO) from None

    @classmethod
    def parse_any(cls, text: str) -> Self:
        """As `parse`, or a relative time. Raises `ValueError` with a message for the caller."""
        if text in DAYS or text in (NOW, ALL) or LENGTH.fullmatch(text):
            return cls(0, relative=text)
        if re.fullmatch(r"[0-9]+m", text, re.ASCII):
            raise ValueError(f"{text} is of no length; write {text}o for months")
        try:
            return cls.parse(text)
        except ValueError as error:
            said = str(error)
            raise ValueError(WRITE_TIME if said == WRITE_ISO else said) from None

    def resolved(self, zone: tzinfo, now_ms: int) -> Self:
        """A relative time as it is now, by the clocks of that zone; any other `in_zone`."""
        if not self.relative:
            return self.in_zone(zone)
        return type(self)(relative_ms(self.relative, zone, now_ms), asked=self.relative)

    def in_zone(self, zone: tzinfo) -> Self:
        """A date is the moment at which it begins by the clocks of that zone."""
        return self if self.day is None else type(self)(midnight_ms(self.day, zone), self.day)


# --- Relative times ---

NOW, YESTERDAY, TODAY, ALL = "now", "yesterday", "today", "all"
# Those that are the beginning of a day.
DAYS: Mapping[str, Callable[[date], date]] = {
    TODAY: lambda day: day,
    YESTERDAY: lambda day: day - timedelta(days=1),
    "mtd": lambda day: day.replace(day=1),
    "ytd": lambda day: day.replace(month=1, day=1),
}
LENGTH = re.compile(r"([1-9][0-9]{0,4})(h|d|w|mo|y)", re.ASCII)
HOUR_MS = 3_600_000


def relative_ms(text: str, zone: tzinfo, now_ms: int) -> int:
    """The time that `7d` and the like mean, in milliseconds since 1970. Hours are as long as they
    are; of days, weeks, months and years the clocks of the zone show the same time as now. A day
    that a month does not have is its last. Of `all` it is the first time there is."""
    if text == NOW:
        return now_ms
    if text == ALL:
        return EARLIEST_MS
    at = (EPOCH + now_ms * ONE_MS).astimezone(zone)
    if text in DAYS:
        return midnight_ms(DAYS[text](at.date()), zone)
    found = LENGTH.fullmatch(text)
    assert found
    many, unit = int(found[1]), found[2]
    if unit == "h":
        return now_ms - many * HOUR_MS
    return at_day(at, day_before(at.date(), many, unit))


def day_before(day: date, many: int, unit: str) -> date:
    """So many days (`d`), weeks (`w`), months (`mo`) or years (`y`) before; the first day there is
    where that is before all calendars."""
    try:
        if unit in ("d", "w"):
            return day - timedelta(days=many * (7 if unit == "w" else 1))
        months = day.year * 12 + day.month - 1 - many * (12 if unit == "y" else 1)
        year, month = divmod(months, 12)
        return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
    except (OverflowError, ValueError):
        return date.min


def at_day(at: datetime, day: date) -> int:
    """The same time of day on another day, by the same clocks, in milliseconds since 1970."""
    return (datetime.combine(day, at.timetz()) - EPOCH) // ONE_MS


def within(ms: int) -> int:
    """The same moment, or the first or the last there is."""
    return min(max(ms, EARLIEST_MS), LATEST_MS)


def midnight_ms(day: date, zone: tzinfo) -> int:
    """When a date begins by the clocks of a zone, in milliseconds since 1970."""
    # Where clocks skip midnight, this is the moment at which they do.
    since = datetime.combine(day, time(), zone) - EPOCH
    return since // ONE_MS


def format_ms(ms: int) -> str:
    """Milliseconds since 1970 to `2026-05-01T14:00:00.000Z`."""
    return format_utc(EPOCH + ms * ONE_MS)


def format_day(day: int) -> str:
    """A day, counted from 1970 (UTC), to `2026-05-01`."""
    return format_ms(day * DAY_MS)[:10]


def format_utc(moment: datetime) -> str:
    """A datetime, aware or naive (then UTC), to `2026-05-01T14:00:00.000Z`."""
    return as_utc(moment).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def as_utc(moment: datetime) -> datetime:
    """The same moment, aware. The store gives naive ones in UTC, or aware ones in whatever zone its
    machine is in."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def utc_ms(moment: datetime) -> int:
    """Such a datetime as milliseconds since 1970."""
    return (as_utc(moment) - EPOCH) // ONE_MS
