"""How long a project keeps its events: what may be said, how it is read, and told."""

from collections.abc import Mapping
from typing import NamedTuple

from threadline.contract.words import counted
from threadline.control.errors import ControlError

KEEP_DAYS = range(1, 36_501)
DIGITS = 9  # more are no number of days, and may be too many for an int
MAX_NAMED = 100
MAX_EVENT = 128
NEVER = "never"
TO_WRITE = f"write whole days from {KEEP_DAYS[0]} to {KEEP_DAYS[-1]:,}, or {NEVER}"

ByEvent = tuple[tuple[str, int | None], ...]


class Keeping(NamedTuple):
    """`days`: events older than that are deleted; None: none is. `by_event`: the same of events
    with one of these names, in their order. `first_touch`: links and first touches stay anyway."""

    days: int | None = None
    by_event: ByEvent = ()
    first_touch: bool = False

    @property
    def is_limited(self) -> bool:
        """Whether anything is deleted at all."""
        return any(days is not None for days in (self.days, *dict(self.by_event).values()))

    def days_of(self, event_name: str) -> int | None:
        """How long events of this name are kept; None: for ever."""
        return dict(self.by_event).get(event_name, self.days)


FOR_EVER = Keeping()


def checked_by_event(given: Mapping[str, int | None]) -> ByEvent:
    """In a stable order. Raises `ControlError`."""
    if len(given) > MAX_NAMED:
        raise ControlError(
            f"At most {MAX_NAMED} event names have days of their own; name fewer of them."
        )
    for name, days in given.items():
        if not 0 < len(name) <= MAX_EVENT:
            raise ControlError(
                f"The name of an event has 1 to {MAX_EVENT} characters, but {name!r} has not."
            )
        if days is not None:
            check_days(days)
    return tuple(sorted(given.items()))


def check_days(days: int) -> None:
    """Raises `ControlError` for days that are out of bounds."""
    if days not in KEEP_DAYS:
        raise ControlError(_out_of_bounds(days))


def read_days(text: str) -> int | None:
    """Days, or None for `never`. Raises `ControlError`."""
    if text == NEVER:
        return None
    if not text.isascii() or not text.isdigit():
        raise ControlError(f"{text!r} is not a number of days; {TO_WRITE}.")
    if len(text) > DIGITS:
        raise ControlError(_out_of_bounds(text))
    days = int(text)
    check_days(days)
    return days


def _out_of_bounds(days: int | str) -> str:
    return f"Events cannot be kept for {days} days; {TO_WRITE}, so that none is deleted."


def said(keeping: Keeping) -> str:
    """How long events are kept, as a part of a sentence."""
    if not keeping.is_limited:
        return "events are kept for ever"
    others = "".join(f", {name} {_how_long(days)}" for name, days in keeping.by_event)
    touches = "stay" if keeping.first_touch else "go with them"
    return f"events are kept {_how_long(keeping.days)}{others}; first touches {touches}"


def _how_long(days: int | None) -> str:
    return "for ever" if days is None else f"for {counted(days, 'day')}"
