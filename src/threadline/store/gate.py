"""What all look at, and what somebody changes for a moment while nobody does."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from threadline.store.errors import StoreBusy

# Who is inside for longer may well stay there.
LONG_S = 3.0
STILL = "Questions or exports that were asked before still run."


class Gate:
    """Many pass at once. Who closes it waits for those inside; others wait until it is open."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        # Since when each is inside.
        self._inside: dict[object, float] = {}
        self._closed = False

    @contextmanager
    def passing(self, wait_s: float) -> Iterator[None]:
        """Raises `StoreBusy`."""
        me = object()
        with self._changed:
            if not self._changed.wait_for(lambda: not self._closed, wait_s):
                raise StoreBusy("Shards are being added; ask again in a moment.")
            self._inside[me] = time.monotonic()
        try:
            yield
        finally:
            with self._changed:
                del self._inside[me]
                self._changed.notify_all()

    def await_long(self, wait_s: float) -> None:
        """Wait, while others pass, until those inside have come just now: `closed` would have all
        others wait for a slow one in vain. Raises `StoreBusy`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._longest_s() <= LONG_S, wait_s):
                raise StoreBusy(STILL)

    def _longest_s(self) -> float:
        with self._changed:
            return time.monotonic() - min(self._inside.values(), default=time.monotonic())

    @contextmanager
    def closed(self, wait_s: float) -> Iterator[None]:
        """Raises `StoreBusy` where those inside take longer; then it is open again."""
        with self._changed:
            if self._closed:
                raise StoreBusy("Shards are being added already.")
            self._closed = True
        try:
            with self._changed:
                if not self._changed.wait_for(lambda: not self._inside, wait_s):
                    raise StoreBusy(STILL)
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()
