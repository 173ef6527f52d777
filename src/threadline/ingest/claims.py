"""Which event_ids are new, where several nodes write into one store.

Each node says so in its turn (`Others.turn`): it reads what others have claimed since its last one,
looks up its block, and claims what is new. Only then do the events go to the store, beside those of
others. Before its first claim after another node's it puts up a fence: what a node that lost its
turn sends later is refused by the store, and what came before that is waited for.
"""

import time
from string import Template

import numpy as np

from threadline.control.others import Turn
from threadline.identity import states
from threadline.ingest.dedup import Dedup
from threadline.ingest.row import Hashes, Rows, by_column
from threadline.store import Store, StoreAway, StoreError

INSERT = "INSERT INTO event_ids (hash, received_at, claim) SELECT"
CLAIM = Template(
    INSERT
    + """ hash, received_at, $number
    FROM input('hash UInt64, received_at UInt32')
    WHERE throwIf($number < (SELECT max(number) FROM fences), 'this turn is over') = 0
    FORMAT RowBinary"""
)
FENCE = "INSERT INTO fences SELECT {number:UInt64}"
LAST_FENCE = "SELECT max(number) AS number FROM fences"
LAST_CLAIM = "SELECT max(claim) AS number FROM event_ids"
CLAIMED_SINCE = "SELECT hash, received_at FROM event_ids WHERE claim > {after:UInt64}"
IS_CLAIMED = "SELECT 1 FROM event_ids WHERE claim = {number:UInt64} LIMIT 1"
ON_THEIR_WAY = """
    SELECT count() AS claims FROM system.processes
    WHERE current_database = currentDatabase() AND startsWith(query, {insert:String})"""
LOOK_AGAIN_S = 0.02
# Longer than a claim takes: a server that is so slow is as good as away. A turn takes no longer.
PATIENCE_S = 20.0

# The store knows so many of the last blocks of all nodes by their tokens, with their parts
# (`store.tables`). Of one that was tried before so many others, nobody can say whether it landed.
BLOCKS_KNOWN = 300
CAME_THEN = """e.project_id IN {projects:Array(String)}
        AND e.received_at BETWEEN
            fromUnixTimestamp64Milli({first:Int64}) AND fromUnixTimestamp64Milli({last:Int64})"""
# By an event_id of its own, or of ours, each event is told from all others.
STORED = f"""
    SELECT project_id, event_id FROM events AS e
    WHERE {CAME_THEN}"""


class Claims:
    """What the writer asks in its turn. Not for use from several threads."""

    def __init__(self, store: Store, dedup: Dedup) -> None:
        self._store = store
        self._dedup = dedup
        # A turn's number has to be greater.
        self.after = 0
        # All ids that were claimed until then are known.
        self._known: int | None = None
        self._first = True

    def begin(self) -> None:
        """Before the ids are read that are in the store already: what comes in between is read
        twice rather than never. Raises `StoreError`."""
        if self._known is None:
            (claimed,) = self._store.home.query(LAST_CLAIM, {})
            self._look_at_fences(int(claimed["number"]))
            self._known = int(claimed["number"])

    def follow(self, turn: Turn) -> None:
        """Know what others have claimed. Raises `StoreError`."""
        self.begin()
        assert self._known is not None
        if self._first or turn.after_another:
            self._fence(turn)
            claimed = self._store.home.query_bytes(CLAIMED_SINCE, {"after": self._known})
            self._dedup.learn(claimed)
            self._first = False
        self._known = max(self._known, turn.number - 1)
        self.after = max(self.after, turn.number)

    def _fence(self, turn: Turn) -> None:
        home = self._store.home
        home.execute(FENCE, {"number": turn.number})
        latest = time.monotonic() + PATIENCE_S
        while home.query(ON_THEIR_WAY, {"insert": INSERT})[0]["claims"]:
            if time.monotonic() > latest:
                raise StoreAway("The store does not finish another node's insert.")
            time.sleep(LOOK_AGAIN_S)

    def _look_at_fences(self, at_least: int) -> None:
        (fenced,) = self._store.home.query(LAST_FENCE, {})
        self.after = max(self.after, at_least, int(fenced["number"]))

    def are_made(self, number: int) -> bool:
        """Whether ids were claimed under this number, which was ours, before this turn. Raises
        `StoreError`."""
        return bool(self._store.home.query(IS_CLAIMED, {"number": number}))

    def make(self, hashes: Hashes, number: int) -> None:
        """Claim these. Raises `StoreError`, also where the turn is over."""
        claim = CLAIM.substitute(number=number)
        try:
            self._dedup.remember_by(lambda body: self._store.home.insert_by(claim, body), hashes)
        except StoreError:
            # Should those who count turns have lost count, the next number is beyond all fences.
            self._look_at_fences(number)
            raise
        self._known = number


def missing(store: Store, rows: Rows) -> Rows:
    """Those that are not in the store, of a block that may have got there, or a part of it, long
    ago. The states that have no sums get what follows from those that are, as the insert may have
    been cut off before them. Raises `StoreError`."""
    columns = [by_column(rows.part(at, at + 1)) for at in range(rows.size)]
    received = [int(str(each["received_at"])) for each in columns]
    bound: dict[str, object] = {
        "projects": sorted({str(each["project_id"]) for each in columns}),
        "first": min(received),
        "last": max(received),
    }
    stored = {(row["project_id"], row["event_id"]) for row in store.query(STORED, bound)}
    there = [
        at for at, each in enumerate(columns) if (each["project_id"], each["event_id"]) in stored
    ]
    if there:
        for state in states.STATES:
            if not state.has_sums:
                states.add(store, state.table, CAME_THEN, bound)
    return rows.without(np.array(there, dtype=np.intp))
