"""Time on the wire and inside: ISO 8601 there, whole milliseconds since 1970 (UTC) here."""

import re
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

    `day`: the date, where only that was given. What is out of all times, as year 1 or 9999, is the
    first or the last there is: the answer is the same.
    """

    __slots__ = ("day", "ms")

    def __init__(self, ms: int, day: date | None = None) -> None:
        self.ms = within(ms)
        self.day = day

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `ValueError` with a message for the caller."""
        if text.isdecimal() and len(text) != len("20260501"):
            unit = "seconds" if len(text) < len("100000000000") else "milliseconds"
            raise ValueError(f"{WRITE_ISO}; {text:.20} looks like Unix {unit}")
        if LOST_PLUS.fullmatch(text):
            raise ValueError(f"{WRITE_ISO}; the + of an offset is %2B in an address")
        try:
            return cls(_midnight_ms(date.fromisoformat(text), UTC), date.fromisoformat(text))
        except ValueError:
            pass  # it has a time, too
        try:
            return cls(parse_ms(text))
        except (ValueError, OverflowError):
            raise ValueError(WRITE_ISO) from None

    def in_zone(self, zone: tzinfo) -> Self:
        """A date is the moment at which it begins by the clocks of that zone."""
        return self if self.day is None else type(self)(_midnight_ms(self.day, zone), self.day)


def within(ms: int) -> int:
    """The same moment, or the first or the last there is."""
    return min(max(ms, EARLIEST_MS), LATEST_MS)


def _midnight_ms(day: date, zone: tzinfo) -> int:
    # Where clocks skip midnight, this is the moment at which they do.
    since = datetime.combine(day, time(), zone) - EPOCH
    return since // ONE_MS


def format_ms(ms: int) -> str:
    """Milliseconds since 1970 to `2026-05-01T14:00:00.000Z`."""
    return format_utc(EPOCH + ms * ONE_MS)


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
