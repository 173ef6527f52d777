"""The log's file: how it is opened, what an older version left in it, and what is damaged."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

from threadline import migrations
from threadline.enrich import time_ordered_id
from threadline.ingest import dead_letters
from threadline.ingest.row import COLUMNS, Rows
from threadline.private import make_file
from threadline.sqlite import transaction

# How long to wait for another process that has the file.
BUSY_S = 10
ERASE_BUSY_MS = 50


class LogError(Exception):
    """The log cannot be opened; the message says what to do."""


def open_db(folder: Path) -> sqlite3.Connection:
    """The log's file, as every process that looks into it has to open it."""
    make_file(folder / "log.db")
    db = sqlite3.connect(
        folder / "log.db", isolation_level=None, check_same_thread=False, timeout=BUSY_S
    )
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    # Overwrites what is deleted where that costs nothing; `erase_free_pages` does the rest.
    db.execute("PRAGMA secure_delete = FAST")
    return db


def prepare(db: sqlite3.Connection) -> None:
    """Bring the file to this version. Raises `LogError`, or `SchemaTooNew`."""
    _refuse_old_entries(db)
    migrations.migrate_sqlite("The log (log.db)", db, "threadline.ingest")
    with transaction(db):
        _migrate_old_rows(db)
    first = "INSERT OR IGNORE INTO block VALUES (1, ?, 0, 0, x'', 0, 0, 0)"
    db.execute(first, (time_ordered_id(),))
    db.execute("INSERT OR IGNORE INTO progress VALUES (1, '', 0)")


def checksum(rows: Rows) -> int:
    """Of a record, as it is kept beside it."""
    return crc32(rows.hashes, crc32(rows.lengths, crc32(rows.body)))


def erase_free_pages(db: sqlite3.Connection) -> None:
    """Deleted records stay readable in the file's free pages, and in the write-ahead file.

    Rewriting all that lies in the log takes its time. Raises `sqlite3.Error`."""
    db.execute(f"PRAGMA busy_timeout = {ERASE_BUSY_MS}")
    try:
        db.execute("VACUUM")
        (busy, *_) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        db.execute(f"PRAGMA busy_timeout = {BUSY_S * 1000}")
    if busy:
        raise sqlite3.OperationalError("Another process reads the log.")


@contextmanager
def damage_explained(folder: Path) -> Iterator[None]:
    """Raises `LogError` where the file is no database, or a broken one."""
    try:
        yield
    except sqlite3.OperationalError:
        raise  # the disk is full, the file locked: nothing is wrong with it
    except sqlite3.DatabaseError as error:
        raise LogError(
            f"{folder / 'log.db'} is damaged ({error}). Put a copy of it in its place, together "
            "with log.db-wal; or move both away: then acknowledged events that are not in the "
            "store yet are lost, and event_ids from before count again."
        ) from error


def _refuse_old_entries(db: sqlite3.Connection) -> None:
    """Schema 1 kept events in another form. After a clean stop it holds none."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'").fetchone():
        return
    if db.execute("SELECT 1 FROM entries").fetchone():
        raise LogError(
            "The log holds events that an older Threadline acknowledged and could not write before "
            "it stopped. Start that version once more and stop it with Ctrl-C; then start this one."
        )


def _migrate_old_rows(db: sqlite3.Connection) -> None:
    """What an older version left here gets the columns that this one knows besides."""
    (columns,) = db.execute("SELECT columns FROM row_columns").fetchone()
    if columns == len(COLUMNS):
        return
    seqs = db.execute("SELECT seq FROM records WHERE kind = 'rows'").fetchall()
    for seq in seqs:
        kept, *parts = db.execute(
            "SELECT checksum, body, lengths, hashes FROM records WHERE seq = ?", seq
        ).fetchone()
        if checksum(Rows(*parts)) == kept:  # else it is set aside when its turn comes
            rows = Rows(*parts).migrated(columns)
            db.execute(
                "UPDATE records SET body = ?, lengths = ?, hashes = ?, checksum = ? WHERE seq = ?",
                (*rows, checksum(rows), *seq),
            )
    dead_letters.migrate(db, columns)
    db.execute("UPDATE row_columns SET columns = ?", (len(COLUMNS),))
