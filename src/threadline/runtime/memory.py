"""Memory for bodies on their way in: counted as it is used, and bounded for all of them."""

import threading
from typing import Self

from threadline.contract.errors import Unavailable

MIB = 1024 * 1024
# All bodies at the same time, as they came and unpacked; and of those, where no header says whose
# they are: whoever has no key must not be able to take the room from those that have.
ROOM_BYTES = 128 * MIB
STRANGERS_BYTES = 16 * MIB
# A body of this size always finds room, so that a few large ones cannot shut everybody out. How
# many there can be is bounded by the connections.
SMALL_BYTES = 64 * 1024


class Room:
    """So many bytes, shared by all that hold some of them. Safe to use from several threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self.held = 0

    def take(self, size: int) -> None:
        """Raises `Unavailable` if there are not as many left."""
        with self._lock:
            if self.held + size > self._limit:
                raise Unavailable("Too many large requests at the same time; try again.")
            self.held += size

    def give(self, size: int) -> None:
        with self._lock:
            self.held -= size


class RequestHold:
    """What one request holds of a room, until its block ends."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._size = 0
        self._taken = 0

    def grow(self, size: int) -> None:
        """So many bytes more are about to be in memory. Raises `Unavailable`."""
        self._size += size
        if self._size > SMALL_BYTES:
            self._room.take(self._size - self._taken)
            self._taken = self._size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._room.give(self._taken)
        self._taken = 0
