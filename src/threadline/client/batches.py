"""A batch on its way: what is left of it, what the server says of it, and what of it is lost."""

import json
import logging
import threading
from collections import Counter
from collections.abc import Iterable
from itertools import chain

from threadline.client.errors import APIError, ThreadlineError
from threadline.client.queue import QueuedEvent
from threadline.client.wire import Reply

MAX_NAME = 128

_logger = logging.getLogger("threadline")


class OnWay:
    """A batch, and what has become of it: the parts that are still to be sent. Whoever takes events
    out says what became of them, so nothing is said twice."""

    def __init__(self, batch: list[bytes]) -> None:
        self._lock = threading.Lock()
        self._parts = [batch]
        self.taken = False

    def part(self) -> list[bytes]:
        """The first; [] if all is done."""
        with self._lock:
            while self._parts and not self._parts[0]:
                self._parts.pop(0)
            return self._parts[0] if self._parts else []

    def replace(self, *parts: list[bytes]) -> bool:
        """The first by these; False if all was taken in the meantime."""
        with self._lock:
            if not self.taken:
                self._parts[:1] = parts
            return not self.taken

    def take(self) -> list[bytes]:
        """All that is left."""
        with self._lock:
            self.taken = True
            left, self._parts = list(chain.from_iterable(self._parts)), []
            return left


def guilty(error: ThreadlineError, events: int) -> list[int] | None:
    """Which events of the batch the server refuses; None where it does not say."""
    if isinstance(error, APIError):
        index = error.details.get("index")
        if isinstance(index, int) and 0 <= index < events:
            return [index]
        if error.status in (400, 413, 422) and events > 1:
            return None
    return list(range(events))


def repeat_warnings(reply: Reply) -> None:
    """What the server made of the events, once for each kind."""
    warnings = reply.json().get("warnings")
    found = [one for one in warnings if isinstance(one, dict)] if isinstance(warnings, list) else []
    said = Counter(str(one.get("message")) for one in found)
    first = {str(one.get("message")): one.get("index") for one in reversed(found)}
    # Crawlers look at every site; nothing has to be mended.
    usual = {str(one.get("message")) for one in found if one.get("code") == "stored_as_bot"}
    for message, events in said.items():
        level = logging.INFO if message in usual else logging.WARNING
        _logger.log(level, "event %s of a batch, %d in all: %s", first[message], events, message)


def decoded(batch: Iterable[bytes]) -> list[QueuedEvent]:
    """Events again. A line of a spool may have been broken."""
    events: list[QueuedEvent] = []
    for line in batch:
        try:
            events.append(json.loads(line))
        except ValueError:
            events.append({"event": "unreadable", "line": line.decode(errors="replace")})
    return events


def shown(name: object) -> str:
    return ascii(name[:MAX_NAME]) if isinstance(name, str) else f"a {type(name).__name__}"


def said(error: Exception) -> str:
    """An error's text, even where that raises."""
    try:
        return f"{error}" or type(error).__name__
    except Exception:  # noqa: BLE001 - it is the program's own
        return type(error).__name__
