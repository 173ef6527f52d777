"""Events on their way, in memory; `spool` keeps them on disk."""

import json
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from threadline.client.values import Unfit, plain

MAX_EVENT_BYTES = 1024 * 1024  # as many as the server takes in one request for one event

QueuedEvent = dict[str, Any]
# Told of an event that cannot be sent, and why.
OnUnfit = Callable[[QueuedEvent, Exception], None]


class Queue(Protocol):
    """What a client keeps events in until they have arrived. `outlives`: the process."""

    outlives: bool

    def put(self, event: QueuedEvent) -> QueuedEvent | None:
        """Take it in; what had to go for it, perhaps itself. Raises `ValueError` or `TypeError`
        for what JSON cannot hold, `OSError` where the disk refuses."""

    def take(self, max_events: int, max_bytes: int, unfit: OnUnfit) -> list[bytes]:
        """The next events, encoded, oldest first; [] if there are none."""

    def arrived(self) -> None:
        """What was taken is done with."""

    def after_fork(self) -> None:
        """In the child: what is there is the parent's to send."""

    def close(self) -> None:
        """Leave what is there to the next process."""

    def __len__(self) -> int: ...


class MemoryQueue:
    """Bounded. `keep_newest`: which stay when it is full. Events become JSON when they are taken
    out: the program does not wait for that."""

    outlives = False

    def __init__(self, max_events: int, keep_newest: bool) -> None:
        self._events: deque[QueuedEvent] = deque()
        self._max_events = max_events
        self._keep_newest = keep_newest

    def put(self, event: QueuedEvent) -> QueuedEvent | None:
        gone = None
        if len(self._events) >= self._max_events:
            if not self._keep_newest:
                return event
            with suppress(IndexError):  # it was sent this very moment
                gone = self._events.popleft()
        self._events.append(event)
        return gone

    def take(self, max_events: int, max_bytes: int, unfit: OnUnfit) -> list[bytes]:
        taken: list[bytes] = []
        size = 0
        while len(taken) < max_events and size < max_bytes:
            try:
                event = self._events.popleft()
            except IndexError:
                break
            try:
                taken.append(encode(event))
            except Exception as error:  # noqa: BLE001 - whatever it is, it costs this event only
                unfit(event, error)
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


def encode(event: QueuedEvent) -> bytes:
    """As JSON. The time, if it is a number, is in seconds since 1970. Numbers that JSON does not
    have become null, half characters U+FFFD. Raises `ValueError` or `TypeError` for what it cannot
    hold."""
    when = event["timestamp"]
    if isinstance(when, float):
        event = {**event, "timestamp": datetime.fromtimestamp(when, UTC).isoformat()}
    try:
        line = _dumps(event).encode()
    except (ValueError, TypeError):
        line = _dumps(plain(event, lambda *_: None)).encode()
    if len(line) > MAX_EVENT_BYTES:
        raise Unfit(f"it takes {len(line):,} bytes, and the server at most {MAX_EVENT_BYTES:,}")
    return line


_dumps = json.JSONEncoder(separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode


def open_spool(folder: Path, max_bytes: int) -> Queue:
    """The queue in this folder. Raises `ValueError` where there are no locks for it."""
    try:
        from threadline.client.spool import Spool
    except ImportError as error:
        raise ValueError("spool needs file locks as Linux and macOS have them.") from error
    return Spool(folder, max_bytes)
