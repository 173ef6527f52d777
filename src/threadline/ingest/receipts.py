"""Requests to forget: a receipt of each, kept as the audit trail, and how far those under way are.

They lie in the log's file. A receipt never tells whom it is about: it keeps a keyed hash.
"""

import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

# How far the requests of one block are.
FOUND, DELETING, GONE = range(3)


class Receipt(NamedTuple):
    """What is kept of a request to forget. `events`: how many were deleted; None: not yet found.
    `finished_ms`: since when no answer and no log shows any of it; None: not yet. `erased`: whether
    it is off the disk, too."""

    receipt_id: str
    project_id: str
    accepted_ms: int
    finished_ms: int | None
    events: int | None
    erased: bool


class Forgetting(NamedTuple):
    """The requests of one block that are being carried out, and what is deleted for them."""

    last_seq: int
    plan: bytes
    stage: int


def add(db: sqlite3.Connection, receipt_id: str, project_id: str, id_hash: bytes) -> None:
    """One for a request that has just been accepted."""
    db.execute(
        "INSERT INTO receipts (receipt_id, project_id, id_hash, accepted_ms) VALUES (?, ?, ?, ?)",
        (receipt_id, project_id, id_hash, _now_ms()),
    )


def listed(db: sqlite3.Connection) -> list[Receipt]:
    """All of them, oldest first."""
    on_disk = _on_disk(db)
    rows = db.execute(
        "SELECT receipt_id, project_id, accepted_ms, finished_ms, events"
        " FROM receipts ORDER BY accepted_ms, receipt_id"
    )
    return [
        Receipt(id_, project_id, accepted, finished, events, bool(finished) and id_ not in on_disk)
        for id_, project_id, accepted, finished, events in rows
    ]


def count_on_disk(db: sqlite3.Connection) -> int:
    """How many no answer shows any more, but the disk still does."""
    return len(_on_disk(db))


def _on_disk(db: sqlite3.Connection) -> set[str]:
    rows = db.execute("SELECT receipts FROM forgettings WHERE stage >= ?", (DELETING,))
    return {receipt_id for (ids,) in rows for receipt_id in msgspec.msgpack.decode(ids)}


def count_unfinished(db: sqlite3.Connection) -> int:
    """How many are not carried out yet."""
    sql = "SELECT count(*) FROM receipts WHERE finished_ms IS NULL"
    return int(db.execute(sql).fetchone()[0])


def begin(db: sqlite3.Connection, last_seq: int, plan: bytes, events: Mapping[str, int]) -> None:
    """Write down what is going to be deleted. `events`: how many, by receipt."""
    db.execute(
        "INSERT INTO forgettings (last_seq, receipts, plan) VALUES (?, ?, ?)",
        (last_seq, msgspec.msgpack.encode(list(events)), plan),
    )
    db.executemany(
        "UPDATE receipts SET events = coalesce(events, ?) WHERE receipt_id = ?",
        [(counted, receipt_id) for receipt_id, counted in events.items()],
    )


def plan(db: sqlite3.Connection, last_seq: int) -> bytes | None:
    """What was found to be deleted for the requests of a block; None: nobody has looked yet."""
    sql = "SELECT plan FROM forgettings WHERE last_seq = ?"
    found = db.execute(sql, (last_seq,)).fetchone()
    return bytes(found[0]) if found else None


def deleting(db: sqlite3.Connection, last_seq: int) -> None:
    """The store has been told to delete what was found, and shows nothing of it any more."""
    found = db.execute(
        "SELECT receipts FROM forgettings WHERE last_seq = ?", (last_seq,)
    ).fetchone()
    if found:
        db.execute("UPDATE forgettings SET stage = ? WHERE last_seq = ?", (DELETING, last_seq))
        db.executemany(
            "UPDATE receipts SET finished_ms = ? WHERE receipt_id = ?",
            [(_now_ms(), receipt_id) for receipt_id in msgspec.msgpack.decode(found[0])],
        )


def under_way(db: sqlite3.Connection) -> list[Forgetting]:
    """Those that the store has been told of, oldest first."""
    rows = db.execute(
        "SELECT last_seq, plan, stage FROM forgettings WHERE stage >= ? ORDER BY last_seq",
        (DELETING,),
    )
    return [Forgetting(*row) for row in rows]


def gone(db: sqlite3.Connection, seqs: Sequence[int]) -> None:
    """The store has nothing of these any more, so what stood for them goes as well."""
    db.executemany(
        "UPDATE forgettings SET stage = ?, plan = x'' WHERE last_seq = ?",
        [(GONE, seq) for seq in seqs],
    )


def erased(db: sqlite3.Connection, seqs: Sequence[int]) -> None:
    """Nothing is left of them on the disk."""
    db.executemany("DELETE FROM forgettings WHERE last_seq = ?", [(seq,) for seq in seqs])


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
