"""What an import brought, so that it can be taken back, exactly.

An event that is there already, also from long before what `dedup` remembers, is not sent again, and
is not the import's. Of every other the import writes down two hashes before it sends it: one by
which the store finds the event, and the one by which its id is known.
"""

import os
import struct
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from string import Template
from typing import NamedTuple

import numpy as np
from xxhash import xxh3_64_intdigest

from threadline.contract.bodies import Event
from threadline.identity.states import STATES
from threadline.ingest.accept import event_id_hash
from threadline.ingest.log import open_db
from threadline.ingest.opened_log import own_id_key
from threadline.ingest.row import StoredEvent
from threadline.store import REBUILD, Statements, begin

PAIR = struct.Struct("<QQ")
PAIRS = np.dtype([("event", "<u8"), ("id", "<u8")])
# A server takes no more than 128 KiB for a bound value, and ids have up to 128 letters.
LOOKED_UP_AT_ONCE = 500
ROWS_AT_ONCE = 500_000

ANY = "SELECT 1 AS there FROM events WHERE project_id = {project_id:String} LIMIT 1"
KNOWN = """
    SELECT DISTINCT event_id FROM events
    WHERE project_id = {project_id:String} AND event_id IN {ids:Array(String)}"""
# Where everybody has an id, their events lie together.
OF_THESE = """
    AND (visitor IN (SELECT sipHash64(arrayJoin({devices:Array(String)})))
        OR visitor IN (SELECT sipHash64('user', arrayJoin({users:Array(String)}))))"""

CREATE = Template(
    "CREATE OR REPLACE TABLE $table (event UInt64, id UInt64) ENGINE = MergeTree ORDER BY event"
)
COUNT = Template("""
    SELECT count() AS events, uniqExact(event_id) AS ids,
        (SELECT uniqExact(event) FROM $table) AS brought
    FROM events
    WHERE project_id = {project_id:String} AND xxh3(event_id) IN (SELECT event FROM $table)""")
DELETE = Template("""
    ALTER TABLE events DELETE
    WHERE project_id = {project_id:String} AND xxh3(event_id) IN (SELECT event FROM $table)
    SETTINGS mutations_sync = 2, allow_nondeterministic_mutations = 1""")
FORGET_IDS = Template("""
    ALTER TABLE event_ids DELETE WHERE hash IN (SELECT id FROM $table)
    SETTINGS mutations_sync = 2, allow_nondeterministic_mutations = 1""")


def id_key(folder: Path, shared: int | None) -> int:
    """What event_ids of this folder are hashed with; see `Log`. `shared`: as the control plane has
    it."""
    if shared is not None:
        return shared
    with closing(open_db(folder)) as db:
        (log_id,) = db.execute("SELECT log_id FROM block").fetchone()
    return own_id_key(str(log_id))


class ImportedEvents:
    """What one import brings into a project."""

    def __init__(self, path: Path, store: Statements, project_id: str, key: int) -> None:
        """`path`: where it is written down. `key`: `id_key`."""
        self._path = path
        self._store = store
        self._project_id = project_id
        self._key = key
        # As of a moment with all in it that was acknowledged before.
        self._may_know = bool(store.query(ANY, {"project_id": project_id})) or path.exists()
        self._before = np.empty(0, dtype=np.uint64)
        if path.exists():
            # What a crash cut off at the end was not sent.
            os.truncate(path, path.stat().st_size // PAIR.size * PAIR.size)
            self._before = np.fromfile(path, dtype=PAIRS)["event"].copy()

    def brought_before(self, known: Collection[str]) -> int:
        """How many of these ids this very import brought before it was interrupted."""
        if not len(self._before):
            return 0
        hashes = np.array([_hash(event_id) for event_id in known], dtype=np.uint64)
        return int(np.isin(hashes, self._before).sum())

    def known(self, events: Sequence[Event | StoredEvent]) -> set[str]:
        """The ids among these that the store has."""
        if not self._may_know:
            return set()
        found: set[str] = set()
        for start in range(0, len(events), LOOKED_UP_AT_ONCE):
            found |= self._known(events[start : start + LOOKED_UP_AT_ONCE])
        return found

    def _known(self, events: Sequence[Event | StoredEvent]) -> set[str]:
        params: dict[str, object] = {
            "project_id": self._project_id,
            "ids": [event.event_id for event in events],
        }
        sql = KNOWN
        if all(event.anonymous_id or event.user_id for event in events):
            sql += OF_THESE
            params["devices"] = [event.anonymous_id for event in events if event.anonymous_id]
            params["users"] = [event.user_id for event in events if event.user_id]
        return {str(row["event_id"]) for row in self._store.look(sql, params)}

    def note(self, events: Sequence[Event | StoredEvent]) -> None:
        """These are about to be sent."""
        pairs = (
            PAIR.pack(
                _hash(event.event_id or ""),
                event_id_hash(self._key, self._project_id, event.event_id or ""),
            )
            for event in events
        )
        with self._path.open("ab") as file:
            file.write(b"".join(pairs))


def _hash(event_id: str) -> int:
    """As the store's own function `xxh3` has it."""
    return xxh3_64_intdigest(event_id.encode())


class Undone(NamedTuple):
    """`events`: so many go. `missing`: so many that the import brought are not there any more under
    their ids, so that what became of them stays."""

    events: int
    missing: int


def undo(
    store: Statements,
    project_id: str,
    path: Path,
    counted: Callable[[Undone], None],
    rebuild: Callable[[], None],
    progressed: Callable[[str], None] = lambda step: None,
) -> None:
    """Take back what is written down there. However often it is done, and wherever it was killed
    before, it ends in the same place. To be called `alone`, with everything acknowledged in the
    store. `counted`: is told what goes, before it does. `rebuild`: makes the states anew. Raises
    `StoreError`.
    """
    table = f"undone_{path.stem.rpartition('-')[2]}"
    for node in store.nodes:
        node.execute(CREATE.substitute(table=table))
        for number, body in enumerate(_blocks(path)):
            node.insert(table, ["event", "id"], "RowBinary", body, f"{table}-{number}")
    params = {"project_id": project_id}
    found = [node.query(COUNT.substitute(table=table), params)[0] for node in store.nodes]
    # An id is on one node, on which its device's events are.
    known = sum(int(row["ids"]) for row in found)
    counted(Undone(sum(int(row["events"]) for row in found), int(found[0]["brought"]) - known))
    # Whoever finds it interrupted knows that states do not follow the events.
    begin(store, REBUILD, [state.table for state in STATES])
    progressed("deleting")
    for node in store.nodes:
        node.execute(DELETE.substitute(table=table), params)
        node.execute(FORGET_IDS.substitute(table=table))
    rebuild()
    for node in store.nodes:
        node.execute(f"DROP TABLE IF EXISTS {table} SYNC")


def _blocks(path: Path) -> Iterator[bytes]:
    """What a crash cut off at the end was not sent."""
    with path.open("rb") as file:
        while body := file.read(ROWS_AT_ONCE * PAIR.size):
            yield body[: len(body) - len(body) % PAIR.size]
