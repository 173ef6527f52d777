"""Which sessions are open, and which of them ends where there are too many: of the key that has
most, the one in which nobody spoke for longest. So no key can shut out others, and a client that
never says when it is done ends nobody's but its own."""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import NamedTuple


class Open(NamedTuple):
    """`owner`: the label of the key that began it. `spoken`: when it was last heard of."""

    owner: str
    spoken: float


class OpenSessions:
    """Sessions by id, the one that spoke last at the end. `most`: as many as may be open; `idle_s`:
    after so long they are gone by themselves."""

    def __init__(
        self, most: int, idle_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._idle_s, self._clock = most, idle_s, clock
        self._open: OrderedDict[str, Open] = OrderedDict()

    def heard(self, session_id: str, owner: str) -> None:
        """It was begun, or somebody spoke in it."""
        self._open[session_id] = Open(owner, self._clock())
        self._open.move_to_end(session_id)

    def knows(self, session_id: str, owner: str) -> bool:
        """Whether it is open, and of this key."""
        there = self._open.get(session_id)
        return there is not None and there.owner == owner

    def ended(self, session_id: str) -> None:
        self._open.pop(session_id, None)

    def in_the_way(self) -> tuple[str, str] | None:
        """Id and owner of the one to end before another begins; None: there is room."""
        gone = self._clock() - self._idle_s
        while self._open and next(iter(self._open.values())).spoken < gone:
            self._open.popitem(last=False)
        if len(self._open) < self._most:
            return None
        ((owner, _),) = Counter(each.owner for each in self._open.values()).most_common(1)
        return next((name, owner) for name, each in self._open.items() if each.owner == owner)
