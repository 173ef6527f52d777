"""What all look at, and what somebody changes for a moment while nobody does."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from threadline.store.errors import StoreBusy


class Gate:
    """Many pass at once. Who closes it waits for those inside; others wait until it is open."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._closed = False

    @contextmanager
    def passing(self, wait_s: float) -> Iterator[None]:
        """Raises `StoreBusy`."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._closed, wait_s):
                raise StoreBusy("Shards are being added; ask again in a moment.")
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

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
                    raise StoreBusy("Questions or exports that were asked before still run.")
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()
