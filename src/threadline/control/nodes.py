"""The Threadlines that write into one store: each says here how far it is.

A log is a node's own, so whoever has to know that all is written that any of them acknowledged asks
for it here: `raise_barrier`, and each signs as soon as that is so.
"""

import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from psycopg import errors

from threadline.control.errors import ControlError
from threadline.control.node_locks import NodeLocks
from threadline.control.others import SILENT_S, KnownLog, Node, node_of
from threadline.control.postgres_connections import Connections

# Any number, so that it is ours.
MAKING_TABLES = 7_236_118_403
OF_A_LOG = 723_611_841
# Of a node that is killed, PostgreSQL sees the end within moments.
ENDS_WITHIN = "SET LOCAL lock_timeout = '5s'"
SILENT_FOR = "extract(epoch FROM clock_timestamp() - seen_at)::float8"

TABLES = (
    """
    CREATE TABLE IF NOT EXISTS nodes (
        node TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        -- Whether it ended by itself, and whether somebody said that it does not come back.
        stopped BOOLEAN NOT NULL,
        removed BOOLEAN NOT NULL,
        started_at TIMESTAMPTZ NOT NULL,
        seen_at TIMESTAMPTZ NOT NULL,
        -- How far its log is, and how far the store.
        acked_seq BIGINT NOT NULL,
        written_seq BIGINT NOT NULL,
        -- The barrier before which all is in the store that it had acknowledged.
        signed BIGINT NOT NULL
    )""",
    """
    CREATE TABLE IF NOT EXISTS barriers (
        only_row BIGINT PRIMARY KEY CHECK (only_row = 1), number BIGINT NOT NULL
    )""",
    "INSERT INTO barriers VALUES (1, 0) ON CONFLICT DO NOTHING",
    # How often a node has forgotten somebody.
    """
    CREATE TABLE IF NOT EXISTS forgettings (
        only_row BIGINT PRIMARY KEY CHECK (only_row = 1), number BIGINT NOT NULL
    )""",
    "INSERT INTO forgettings VALUES (1, 0) ON CONFLICT DO NOTHING",
    # Keyed hashes of those who are forgotten, until all have signed.
    "CREATE TABLE IF NOT EXISTS barrier_ids (number BIGINT NOT NULL, id_hash BYTEA NOT NULL)",
    # What those spent of their rate limits, with each node, that spend much.
    """
    CREATE TABLE IF NOT EXISTS spent (
        node TEXT PRIMARY KEY, spent BYTEA NOT NULL, said_at TIMESTAMPTZ NOT NULL
    )""",
    """
    CREATE TABLE IF NOT EXISTS turns (
        only_row BIGINT PRIMARY KEY CHECK (only_row = 1),
        number BIGINT NOT NULL, life TEXT NOT NULL, ended BOOLEAN NOT NULL
    )""",
    "INSERT INTO turns VALUES (1, 0, '', TRUE) ON CONFLICT DO NOTHING",
)
REGISTER = """
    INSERT INTO nodes VALUES (
        %(node)s, %(name)s, FALSE, FALSE, clock_timestamp(), clock_timestamp(), %(acked)s,
        %(written)s, (SELECT number FROM barriers)
    )
    ON CONFLICT (node) DO UPDATE SET
        name = excluded.name, stopped = FALSE, started_at = excluded.started_at,
        seen_at = excluded.seen_at, acked_seq = excluded.acked_seq
    RETURNING removed, written_seq, signed"""
# The folder is this one's now, so that log is not there any more.
REPLACE = f"""
    UPDATE nodes SET removed = TRUE
    WHERE name = %(name)s AND node != %(node)s AND NOT removed
        AND {SILENT_FOR} > {SILENT_S}
    RETURNING node"""
REPORT = """
    UPDATE nodes SET seen_at = clock_timestamp(), stopped = %(stopped)s, acked_seq = %(acked)s,
        written_seq = %(written)s, signed = %(signed)s
    WHERE node = %(node)s
    RETURNING removed"""
RAISE = """
    WITH raised AS (UPDATE barriers SET number = number + 1 RETURNING number),
        ids AS (
            INSERT INTO barrier_ids SELECT number, unnest(%(ids)s::bytea[]) FROM raised
        )
    SELECT number FROM raised"""
IDS = "SELECT id_hash FROM barrier_ids WHERE number > %(after)s AND number <= %(until)s"
FORGET_IDS = "DELETE FROM barrier_ids WHERE number = %(number)s"
HAS_MORE = "NOT removed AND NOT (stopped AND written_seq >= acked_seq)"
LAST_BARRIER = "SELECT number FROM barriers"
NOT_SIGNED = f"SELECT name FROM nodes WHERE signed < %(number)s AND {HAS_MORE} ORDER BY name"
WRITTEN = "SELECT written_seq FROM nodes WHERE node = %(node)s"
LISTED = f"""
    SELECT node, name, stopped, {SILENT_FOR}, greatest(acked_seq - written_seq, 0)
    FROM nodes WHERE removed = %(removed)s ORDER BY started_at, node"""
SAY_SPENT = """
    INSERT INTO spent VALUES (%(node)s, %(spent)s, clock_timestamp())
    ON CONFLICT (node) DO UPDATE SET spent = excluded.spent, said_at = excluded.said_at"""
# What was said before is over by now: buckets fill up again.
SPENT_ELSEWHERE = """
    SELECT node, spent FROM spent
    WHERE node != %(node)s AND said_at > clock_timestamp() - INTERVAL '1 minute'"""
REMOVE = "UPDATE nodes SET removed = TRUE WHERE node = %(node)s"


class Nodes:
    """All of them, and what they do one after the other (`locks`)."""

    def __init__(self, url: str) -> None:
        """Raises `ControlError`."""
        self._connections = Connections(url)
        self._connection = self._connections.another()
        self._asking = threading.Lock()
        self.locks = NodeLocks(self._connections)
        try:
            self._make_tables()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._connections.close()

    def register(self, log_id: str, folder: Path, acked_seq: int, written_seq: int) -> KnownLog:
        """Be one of them from now on, until `close`. Raises `ControlError` where another process
        has the same log, or it was removed."""
        # It stays open, and has the lock as long as it does.
        own = self._connections.another()
        node = node_of(log_id)
        with self._connections.asked(own), own.opened().transaction():
            db = own.opened()
            db.execute(ENDS_WITHIN)
            number = int.from_bytes(bytes.fromhex(node)[:4], "big", signed=True)
            try:
                db.execute(f"SELECT pg_advisory_lock({OF_A_LOG}, {number})".encode())
            except errors.LockNotAvailable:
                raise ControlError(
                    f"Another Threadline has a copy of the log in {folder}, and runs. Each node has"
                    " a data folder of its own: of the first one's, the next one needs the file"
                    " `pepper` only."
                ) from None
        name = f"{socket.gethostname()}:{folder.resolve()}"
        row = self._ask(REGISTER, node=node, name=name, acked=acked_seq, written=written_seq)
        removed, written, signed = row or (False, 0, 0)
        if removed:
            raise ControlError(
                f"This node was taken off the list by `threadline node remove`, and the log in"
                f" {folder} may have events of people who were forgotten since. Begin with a new"
                " data folder and a copy of the file `pepper`; if what the log still has is wanted,"
                " `threadline node restore` takes this one back first."
            )
        replaced = self._ask(REPLACE, node=node, name=name)
        return KnownLog(int(written), int(signed), replaced is not None)

    def report(
        self, node: str, acked_seq: int, written_seq: int, signed: int, stopped: bool = False
    ) -> None:
        """Say how far this one is."""
        self._ask(
            REPORT,
            node=node,
            acked=acked_seq,
            written=written_seq,
            signed=signed,
            stopped=stopped,
        )

    def last_barrier(self) -> int:
        """The number of the last one that was raised."""
        row = self._ask(LAST_BARRIER)
        return int(row[0]) if row else 0

    def raise_barrier(self, id_hashes: Sequence[bytes]) -> int:
        """Ask all of them to sign when the store has what they have acknowledged by then, and they
        themselves have nothing aside of whom these keyed hashes stand for; its number."""
        row = self._ask(RAISE, ids=[*id_hashes])
        assert row
        return int(row[0])

    def forgotten_between(self, after: int, until: int) -> frozenset[bytes]:
        """Keyed hashes of whom the barriers after the one, up to the other, are about."""
        return frozenset(bytes(row[0]) for row in self._ask_all(IDS, after=after, until=until))

    def lower_barrier(self, number: int) -> None:
        """All have signed it."""
        self._ask(FORGET_IDS, number=number)

    def not_signed(self, number: int) -> list[str]:
        """Names of those that have not yet signed this barrier, and have something to write."""
        return [name for (name,) in self._ask_all(NOT_SIGNED, number=number)]

    def written(self, node: str) -> int | None:
        """How far the store has this node's log; None where there is no such node."""
        row = self._ask(WRITTEN, node=node)
        return int(row[0]) if row else None

    def listed(self, removed: bool = False) -> list[Node]:
        """All, or those that were removed."""
        return [Node(*row) for row in self._ask_all(LISTED, removed=removed)]

    def say_spent(self, node: str, spent: bytes) -> None:
        """As `runtime.shared_limits` has it."""
        self._ask(SAY_SPENT, node=node, spent=spent)

    def spent_elsewhere(self, node: str) -> dict[str, bytes]:
        """By node, what others said lately."""
        return {name: bytes(spent) for name, spent in self._ask_all(SPENT_ELSEWHERE, node=node)}

    def remove(self, node: str, removed: bool = True) -> None:
        """Nobody waits for it any more. `removed`: False: take it back."""
        self._ask(REMOVE if removed else REMOVE.replace("TRUE", "FALSE"), node=node)

    def _make_tables(self) -> None:
        with self._connections.asked(self._connection):
            db = self._connection.opened()
            with db.transaction():
                db.execute(f"SELECT pg_advisory_xact_lock({MAKING_TABLES})".encode())
                for sql in TABLES:
                    db.execute(sql.encode())

    def _ask(self, sql: str, **values: object) -> tuple[Any, ...] | None:
        found = self._ask_all(sql, **values)
        return found[0] if found else None

    def _ask_all(self, sql: str, **values: object) -> list[tuple[Any, ...]]:
        with self._asking, self._connections.asked(self._connection):
            self._connection.first("SELECT 1")
            cursor = self._connection.opened().execute(sql.encode(), values or None)
            return cursor.fetchall() if cursor.description else []
