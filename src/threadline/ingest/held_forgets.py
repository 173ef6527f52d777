"""Requests to forget that wait, in the log, for what other nodes have acknowledged before them.

Each waits for a barrier to be raised, then for all nodes to sign it; then it comes behind all that
is in the log.
"""

from collections.abc import Callable, Iterable, Sequence, Set

from threadline.ingest import dead_letters, receipts, records
from threadline.ingest.log import Log

BARRIERS = "SELECT DISTINCT barrier FROM held_forgets WHERE barrier > 0 ORDER BY barrier"
UNRAISED = """
    SELECT receipt_id, id_hash FROM held_forgets JOIN jobs ON receipt_id = job_id
    WHERE barrier = 0"""
HOLD = "UPDATE held_forgets SET barrier = ? WHERE receipt_id = ?"
HELD = "SELECT body FROM held_forgets WHERE barrier = ? ORDER BY receipt_id"
RELEASE = "DELETE FROM held_forgets WHERE barrier = ?"


def barriers(log: Log) -> list[int]:
    """Those that requests wait for."""
    with log.reading() as db:
        return [int(barrier) for (barrier,) in db.execute(BARRIERS)]


def unraised(log: Log) -> dict[str, bytes]:
    """By receipt, keyed hashes of whom the requests are about that wait for a barrier to be
    raised."""
    with log.reading() as db:
        return {receipt_id: bytes(id_hash) for receipt_id, id_hash in db.execute(UNRAISED)}


def hold(log: Log, receipt_ids: Iterable[str], barrier: int) -> None:
    """These wait for this barrier."""
    with log.appending() as db:
        db.executemany(HOLD, [(barrier, receipt_id) for receipt_id in receipt_ids])


def wait_for(log: Log, barrier: int, nodes: Sequence[str]) -> None:
    """Let receipts say which nodes have not signed it yet."""
    with log.appending() as db:
        receipts.wait_for(db, barrier, ", ".join(nodes))


def release(log: Log, barrier: int) -> None:
    """All have signed it."""
    with log.appending() as db:
        receipts.wait_for(db, barrier, "")
        for (body,) in db.execute(HELD, (barrier,)).fetchall():
            records.insert_held(db, body)
        db.execute(RELEASE, (barrier,))


def forget_letters(log: Log, id_hashes: Set[bytes], hash_of: Callable[[str, str], bytes]) -> None:
    """Delete dead letters of whom another node forgets. `hash_of`: of an id in a project."""
    with log.appending() as db:
        dead_letters.forget_known(db, id_hashes, hash_of)
