"""Other Threadlines that write into the same store, as whoever writes has to know of them."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from hashlib import sha256
from typing import NamedTuple, Protocol

# A node that says nothing for so long is away.
SILENT_S = 5.0


class Node(NamedTuple):
    """One of them. `node`: of its log. `name`: its machine and its data folder. `silent_s`: for how
    long nothing was heard of it. `unwritten`: records of its log that are not in the store yet, as
    far as it said; some events each."""

    node: str
    name: str
    stopped: bool
    silent_s: float
    unwritten: int

    @property
    def is_silent(self) -> bool:
        return self.silent_s > SILENT_S

    @property
    def is_away(self) -> bool:
        """It may have events that the store has not, and says nothing. One that did not stop may
        have acknowledged more since it was heard."""
        return self.unwritten > 0 if self.stopped else self.is_silent


class KnownLog(NamedTuple):
    """What was written down of a log that comes back. `written_seq`: 0 of one that is new.
    `replaced`: the same folder had another one."""

    written_seq: int
    signed: int
    replaced: bool


def node_of(log_id: str) -> str:
    """What a log is called where others read it."""
    return sha256(log_id.encode()).hexdigest()[:16]


class Taken(Exception):
    """Another node has it."""


class Turn(NamedTuple):
    """To be the only node that says which event_ids are new. `number`: greater than of any turn
    before. `after_another`: since our last one, another node may have said so, or what we said
    then may still be on its way."""

    number: int
    after_another: bool


class Others(Protocol):
    """What nodes do one after the other. Each raises `ControlFileError` where what they agree by
    is away, also at the end, where it was lost in between: then nobody knows who else did it.

    `are_there`: whether any other node may write into the store."""

    are_there: bool

    def turn(self, after: int) -> AbstractContextManager[Turn]:
        """The next turn, as long as the block lasts. `after`: its number is greater than this, also
        where those who count lost count."""

    def inserting(self) -> AbstractContextManager[None]:
        """Events go into the store meanwhile, and nobody minds. Several nodes at a time."""

    def nobody_inserts(self) -> AbstractContextManager[None]:
        """No node is `inserting` meanwhile."""

    def deciding(self) -> AbstractContextManager[None]:
        """No other node decides anything about identity meanwhile."""

    def forgetting(self) -> AbstractContextManager[None]:
        """As `deciding`, and `forgotten` tells of it."""

    def forgotten(self) -> int:
        """How often any node has forgotten somebody; waits for one that is about to."""

    def maintaining(self) -> AbstractContextManager[None]:
        """No other node rebuilds, reclassifies or deletes meanwhile. Raises `Taken`."""


class Nobody:
    """The store is this data folder's alone."""

    are_there = False

    @contextmanager
    def turn(self, after: int) -> Iterator[Turn]:
        yield Turn(after + 1, after_another=False)

    @contextmanager
    def inserting(self) -> Iterator[None]:
        yield

    @contextmanager
    def nobody_inserts(self) -> Iterator[None]:
        yield

    @contextmanager
    def deciding(self) -> Iterator[None]:
        yield

    @contextmanager
    def forgetting(self) -> Iterator[None]:
        yield

    def forgotten(self) -> int:
        return 0

    @contextmanager
    def maintaining(self) -> Iterator[None]:
        yield


NOBODY = Nobody()
