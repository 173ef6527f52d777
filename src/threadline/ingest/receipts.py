"""Requests to forget: jobs of a kind of their own, whose rows are kept as the audit trail.

They lie in the log's file, because a request and its row are accepted in one commit. A receipt
never tells whom it is about: it keeps a keyed hash.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from threadline.contract.times import format_ms, now_ms
from threadline.contract.words import counted
from threadline.jobs.table import DONE, ERASING, FORGET, RUNNING, WAITING

ANONYMISED = "anonymised"
WAITS_FOR = "waits for "

# How far the deletions of one block are.
FOUND, DELETING, GONE = range(3)


class Receipt(NamedTuple):
    """What is kept of a request to forget. `events`: how many were deleted; None: not yet found.
    `finished_ms`: since when no answer and no log shows any of it; None: not yet. `erased`: whether
    it is off the disk, too; `erased_ms`: since when.
    `anonymised`: copies of somebody random took the place of what was deleted. `waits_for`: names
    of other nodes, whose logs may have something of it."""

    receipt_id: str
    project_id: str
    accepted_ms: int
    finished_ms: int | None
    events: int | None
    erased: bool
    erased_ms: int | None
    anonymised: bool = False
    waits_for: str = ""


class Forgetting(NamedTuple):
    """The requests of one block that are being carried out, and what is deleted for them."""

    last_seq: int
    plan: bytes
    stage: int


def add(
    db: sqlite3.Connection, receipt_id: str, project_id: str, id_hash: bytes, about: str = ""
) -> None:
    """One for a request that has just been accepted."""
    db.execute(
        "INSERT INTO jobs (job_id, kind, project_id, about, id_hash, state, requested_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (receipt_id, FORGET, project_id, about, id_hash, WAITING, now_ms()),
    )


def wait_for(db: sqlite3.Connection, barrier: int, nodes: str) -> None:
    """Requests that wait for this barrier wait for these nodes, as the list of jobs shows."""
    step = f"{WAITS_FOR}{nodes}" if nodes else ""
    db.execute(
        "UPDATE jobs SET step = ?1 WHERE step != ?1 AND job_id IN"
        " (SELECT receipt_id FROM held_forgets WHERE barrier = ?2)",
        (step, barrier),
    )


def listed(db: sqlite3.Connection, project_id: str | None = None) -> list[Receipt]:
    """All of them, or of a project, oldest first."""
    rows = db.execute(
        "SELECT receipt_id, project_id, accepted_ms, finished_ms, events, erased_ms,"
        " (SELECT about FROM jobs WHERE job_id = receipt_id),"
        " (SELECT substr(step, ?2) FROM jobs WHERE job_id = receipt_id AND step LIKE ?3)"
        " FROM receipts"
        " WHERE ?1 IS NULL OR project_id = ?1 ORDER BY accepted_ms, receipt_id",
        (project_id, len(WAITS_FOR) + 1, f"{WAITS_FOR}%"),
    )
    return [
        Receipt(
            id_,
            project_id,
            accepted,
            finished,
            events,
            erased is not None,
            erased,
            about == ANONYMISED,
            waits_for or "",
        )
        for id_, project_id, accepted, finished, events, erased, about, waits_for in rows
    ]


def meaning(receipt: Receipt) -> str:
    """How far it is, in words."""
    if receipt.waits_for:
        return (
            f"waits for {receipt.waits_for}, whose log may have something of it: start it again, or"
            " take it off the list (threadline node remove) if its data folder is lost for good"
        )
    if receipt.finished_ms is None:
        return "under way; a running server, or the next one, carries it out"
    done = f"done {format_ms(receipt.finished_ms)}, {counted(receipt.events or 0, 'event')}"
    if receipt.anonymised:
        done += " made somebody random's"
    if receipt.erased_ms:
        return f"{done}, off the disk {format_ms(receipt.erased_ms)}"
    return f"{done}, in no answer any more; the disk is being cleaned"


def count_on_disk(db: sqlite3.Connection) -> int:
    """How many no answer shows any more, but the disk still does."""
    return _count(db, "hidden_ms IS NOT NULL")


def count_unfinished(db: sqlite3.Connection) -> int:
    """How many are not carried out yet."""
    return _count(db, "hidden_ms IS NULL")


def _count(db: sqlite3.Connection, which: str) -> int:
    sql = f"SELECT count(*) FROM jobs WHERE kind = ? AND finished_ms IS NULL AND {which}"
    return int(db.execute(sql, (FORGET,)).fetchone()[0])


def begin(db: sqlite3.Connection, last_seq: int, plan: bytes, events: Mapping[str, int]) -> None:
    """Write down what is going to be deleted. `events`: how many, by receipt."""
    db.execute("INSERT INTO forget_plans (last_seq, plan) VALUES (?, ?)", (last_seq, plan))
    db.executemany(
        "UPDATE jobs SET state = ?, started_ms = coalesce(started_ms, ?), last_seq = ?,"
        " events = coalesce(events, ?) WHERE job_id = ?",
        [(RUNNING, now_ms(), last_seq, counted, id_) for id_, counted in events.items()],
    )


def plan(db: sqlite3.Connection, last_seq: int) -> bytes | None:
    """What was found to be deleted for the requests of a block; None: nobody has looked yet."""
    sql = "SELECT plan FROM forget_plans WHERE last_seq = ?"
    found = db.execute(sql, (last_seq,)).fetchone()
    return bytes(found[0]) if found else None


def deleting(db: sqlite3.Connection, last_seq: int) -> None:
    """The store has been told to delete what was found, and shows nothing of it any more."""
    db.execute("UPDATE forget_plans SET stage = ? WHERE last_seq = ?", (DELETING, last_seq))
    db.execute(
        "UPDATE jobs SET state = ?, hidden_ms = ? WHERE last_seq = ? AND state = ?",
        (ERASING, now_ms(), last_seq, RUNNING),
    )


def under_way(db: sqlite3.Connection) -> list[Forgetting]:
    """Those that the store has been told of, oldest first."""
    rows = db.execute(
        "SELECT last_seq, plan, stage FROM forget_plans WHERE stage >= ? ORDER BY last_seq",
        (DELETING,),
    )
    return [Forgetting(*row) for row in rows]


def gone(db: sqlite3.Connection, seqs: Sequence[int]) -> None:
    """The store has nothing of these any more, so what stood for them goes as well."""
    db.executemany(
        "UPDATE forget_plans SET stage = ?, plan = x'' WHERE last_seq = ?",
        [(GONE, seq) for seq in seqs],
    )


def erased(db: sqlite3.Connection, seqs: Sequence[int]) -> None:
    """Nothing is left of them on the disk."""
    db.executemany("DELETE FROM forget_plans WHERE last_seq = ?", [(seq,) for seq in seqs])
    db.executemany(
        "UPDATE jobs SET state = ?, finished_ms = ? WHERE last_seq = ? AND state = ?",
        [(DONE, now_ms(), seq, ERASING) for seq in seqs],
    )
