"""Answers kept in memory, so that asking the same again costs nothing while nothing is new.

An answer is given again only where asking would give it again: the same question of the same
project, within the same minute of the clock, and nothing written or defined since. So no series
is a day late, and `30d` means at most a minute less than it did, which `from` in the answer says.
"""

import threading
import time
from typing import Any, NamedTuple

import msgspec

from threadline.contract.times import Timestamp, now_ms

# As JSON; in memory an answer takes several times that.
MOST_BYTES = 4 * 1024 * 1024
MOST_OF_ONE = 256 * 1024
MINUTE_MS = 60_000


class KeptAnswer(NamedTuple):
    """`state`: all that the answer followed from beside the question. `body`: it as JSON. `at_s`:
    when it was given, by the monotonic clock."""

    state: tuple[object, ...]
    answer: Any
    body: bytes
    at_s: float


class KeptAnswers:
    """The answers that were given last. Safe to use from several threads."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: dict[tuple[object, ...], KeptAnswer] = {}
        self._lock = threading.Lock()

    def get(self, key: tuple[object, ...], state: tuple[object, ...]) -> KeptAnswer | None:
        """The answer to this, if it follows from this state."""
        with self._lock:
            found = self._kept.pop(key, None)
            if found is None:
                return None
            if found.state != state:
                self._bytes -= len(found.body)
                return None
            self._kept[key] = found
            return found

    def put(self, key: tuple[object, ...], state: tuple[object, ...], answer: Any) -> bytes:
        """Keep an answer, unless it is large; it as JSON. Nobody may change it from here on."""
        body = msgspec.json.encode(answer)
        if len(body) > MOST_OF_ONE:
            return body
        with self._lock:
            before = self._kept.pop(key, None)
            self._kept[key] = KeptAnswer(state, answer, body, time.monotonic())
            self._bytes += len(body) - (len(before.body) if before else 0)
            while self._bytes > self._most_bytes:
                self._bytes -= len(self._kept.pop(next(iter(self._kept))).body)
        return body


def asked(params: msgspec.Struct) -> bytes:
    """The parameters as a key. Times that count from now are as they were written."""
    return msgspec.json.encode(params, enc_hook=_time)


def minute() -> int:
    """Which minute it is."""
    return now_ms() // MINUTE_MS


def _time(value: object) -> object:
    assert isinstance(value, Timestamp), value
    return value.asked or value.ms
