"""Events on their way, in memory; `spool` keeps them on disk."""

import json
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Protocol

Event = dict[str, Any]


class Queue(Protocol):
    """What a client keeps events in until they have arrived. `outlives`: the process."""

    outlives: bool

    def put(self, event: Event) -> Event | None:
        """Take it in; what had to go for it, perhaps itself. Raises `ValueError` or `TypeError`
        for what JSON cannot hold, `OSError` where the disk refuses."""

    def take(self, max_events: int, max_bytes: int) -> list[bytes]:
        """The next events, encoded, oldest first; [] if there are none."""

    def arrived(self) -> None:
        """What was taken is done with."""

    def after_fork(self) -> None:
        """In the child: what is there is the parent's to send."""

    def close(self) -> None:
        """Leave what is there to the next process."""

    def __len__(self) -> int: ...


class MemoryQueue:
    """Bounded. `keep_newest`: which stay when it is full. `unfit`: told of events that JSON cannot
    hold, which shows only when they are sent."""

    outlives = False

    def __init__(
        self,
        max_events: int,
        keep_newest: bool,
        unfit: Callable[[Event, Exception], None],
    ) -> None:
        self._events: deque[Event] = deque()
        self._max_events = max_events
        self._keep_newest = keep_newest
        self._unfit = unfit

    def put(self, event: Event) -> Event | None:
        gone = None
        if len(self._events) >= self._max_events:
            if not self._keep_newest:
                return event
            with suppress(IndexError):  # it was sent this very moment
                gone = self._events.popleft()
        self._events.append(event)
        return gone

    def take(self, max_events: int, max_bytes: int) -> list[bytes]:
        taken: list[bytes] = []
        size = 0
        while len(taken) < max_events and size < max_bytes:
            try:
                event = self._events.popleft()
            except IndexError:
                break
            try:
                taken.append(encode(event))
            except (ValueError, TypeError, RecursionError) as error:
                self._unfit(event, error)
                continue
            size += len(taken[-1])
        return taken

    def arrived(self) -> None:
        pass

    def after_fork(self) -> None:
        self._events.clear()

    def close(self) -> None:
        pass

    def __len__(self) -> int:
        return len(self._events)


def encode(event: Event) -> bytes:
    """As JSON. The time, if it is a number, is in seconds since 1970. Numbers that JSON does not
    have become null. Raises `ValueError` or `TypeError` for what it cannot hold."""
    when = event["timestamp"]
    if isinstance(when, float):
        event = {**event, "timestamp": datetime.fromtimestamp(when, UTC).isoformat()}
    try:
        return _dumps(event).encode()
    except ValueError:
        return _dumps(_without_nan(event)).encode()


def _plain(value: object) -> object:
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


_dumps = json.JSONEncoder(
    default=_plain, separators=(",", ":"), allow_nan=False, ensure_ascii=True
).encode


def _without_nan(value: object) -> object:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(part) for part in value]
    return value
