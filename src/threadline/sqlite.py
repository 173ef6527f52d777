"""How every SQLite file of a data folder is opened and written, and what its errors mean."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from threadline.private import make_file

WAIT_S = 10.0
RETRY_S = 0.01

# The primary code of an error: what is wrong with the file, and the way out.
WAYS_OUT = {
    sqlite3.SQLITE_BUSY: "is locked by another process, such as a backup or a sqlite3 shell inside "
    "a transaction. Let it finish, then try again.",
    sqlite3.SQLITE_FULL: "cannot grow because the disk is full. Free some space, then try again.",
    sqlite3.SQLITE_IOERR: "cannot be read or written: the disk reports an error. Check the disk "
    "and its free space, then try again.",
    sqlite3.SQLITE_CORRUPT: "is damaged. Stop the server and restore the file from a copy.",
    sqlite3.SQLITE_NOTADB: "is damaged. Stop the server and restore the file from a copy.",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened by this user. Run the command as the owner of the "
    "data folder.",
    sqlite3.SQLITE_READONLY: "cannot be written by this user. Run the command as the owner of the "
    "data folder.",
    sqlite3.SQLITE_PERM: "cannot be used by this user. Run the command as the owner of the data "
    "folder.",
}
WAYS_OUT[sqlite3.SQLITE_LOCKED] = WAYS_OUT[sqlite3.SQLITE_BUSY]


def connect(path: Path, wait_s: float = WAIT_S) -> sqlite3.Connection:
    """The file in WAL mode, made for its owner alone if it is missing, and without transactions
    but those that are asked for. Waits up to `wait_s` for locks. Raises `sqlite3.Error`."""
    make_file(path)
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=wait_s)
    try:
        _write_ahead(db, time.monotonic() + wait_s)
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All statements of the block, or after any error none. Never leaves a transaction open, which
    would lock the file for every other process."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def way_out(error: sqlite3.Error) -> str | None:
    """What the error says of its file, to be put behind the file's name; None where it says nothing
    of the file, so that it is a fault of ours."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else WAYS_OUT.get(code & 0xFF)


def _write_ahead(db: sqlite3.Connection, deadline: float) -> None:
    """Two processes that make the same file at once get SQLITE_BUSY here without any wait."""
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(RETRY_S)
