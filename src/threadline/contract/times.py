"""Time on the wire and inside: ISO 8601 there, whole milliseconds since 1970 (UTC) here."""

from datetime import UTC, datetime, timedelta
from typing import Self

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ONE_MS = timedelta(milliseconds=1)
DAY_MS = 86_400_000


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


class Moment:
    """A time in a query parameter. Its own type, so that decoding knows to read ISO 8601."""

    __slots__ = ("ms",)

    def __init__(self, ms: int) -> None:
        self.ms = ms

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `ValueError` with a message for the caller."""
        try:
            return cls(parse_ms(text))
        except (ValueError, OverflowError):
            raise ValueError("Expected an ISO 8601 time such as 2026-05-01T14:00:00Z") from None


def format_ms(ms: int) -> str:
    """Milliseconds since 1970 to `2026-05-01T14:00:00.000Z`."""
    return format_utc(EPOCH + ms * ONE_MS)


def format_utc(moment: datetime) -> str:
    """A UTC datetime, aware or naive, to `2026-05-01T14:00:00.000Z`."""
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
