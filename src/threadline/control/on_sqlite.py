"""The control plane in `control.db`, a SQLite file of the data folder."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from threadline import migrations
from threadline.control.database import Conflict, ControlStatements
from threadline.control.errors import ControlError, said_plainly
from threadline.control.pepper import FILE as PEPPER
from threadline.control.pepper import WAY_OUT
from threadline.private import make_folder
from threadline.sqlite import connect, transaction

FILE = "control.db"
# What it is called once everything in it was moved to PostgreSQL.
MOVED = f"{FILE}.moved"
MOVED_BACK = f"To go back to what it was before that, rename {MOVED} to {FILE}."
# Asking at every request would cost a sixth of it.
LOOK_EVERY_S = 0.005


class SqliteDatabase:
    """As `Database`: one connection that reads, and one that writes."""

    Error: type[Exception] = sqlite3.Error
    look_every_s = LOOK_EVERY_S
    is_shared = False
    pepper_way_out = WAY_OUT

    def __init__(self, folder: Path, create: bool, anew: bool = False) -> None:
        """`anew`: also where the folder shows that it had another. Raises `ControlError` or
        `SchemaError`."""
        self.path = folder / FILE
        self.name = str(self.path)
        with said_plainly(self.path):
            self._db = _open(folder, create, anew)
            try:
                # The first look waits, as whoever closes the file last locks it for a moment.
                self._reader = connect(self.path)
            except BaseException:
                self._db.close()
                raise

    def close(self) -> None:
        self._reader.close()
        self._db.close()

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> sqlite3.Cursor:
        """On the connection that writes."""
        try:
            return self._db.execute(sql, values)
        except sqlite3.IntegrityError as error:
            raise Conflict(str(error)) from error

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> sqlite3.Cursor:
        try:
            return self._db.executemany(sql, rows)
        except sqlite3.IntegrityError as error:
            raise Conflict(str(error)) from error

    def version(self) -> int:
        with said_plainly(self.path):
            (version,) = self._reader.execute("PRAGMA data_version").fetchone()
        return int(version)

    @contextmanager
    def reading(self) -> Iterator[ControlStatements]:
        with said_plainly(self.path):
            self._reader.execute("BEGIN")
            try:
                yield self._reader
            finally:
                # Not a single statement stays open: that would keep salts from being erased.
                self._reader.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[ControlStatements]:
        with said_plainly(self.path), transaction(self._db):
            yield self

    def write_at_once(self, step: Callable[[ControlStatements], None]) -> bool:
        try:
            with (
                closing(sqlite3.connect(self.path, isolation_level=None, timeout=0)) as db,
                transaction(db),
            ):
                step(db)
        except sqlite3.Error:
            return False
        return True

    def never_wait(self) -> None:
        self._reader.execute("PRAGMA busy_timeout = 0")

    def erase_deleted(self) -> bool:
        """Busy while another process reads."""
        with said_plainly(self.path):
            (busy, *_) = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return bool(busy)

    def event_id_key(self) -> int | None:
        """None: ids that are known were hashed with the log's own key, and have to stay known."""
        return None

    def set_event_id_key(self, db: ControlStatements, key: int) -> None:
        """Each log has its own."""


def moved_from(folder: Path) -> str:
    """Where `MOVED` is, and nothing else."""
    return (
        f"The control plane of {folder} was moved to PostgreSQL: set THREADLINE_CONTROL to its URL"
    )


def _open(folder: Path, create: bool, anew: bool) -> sqlite3.Connection:
    """Raises `ControlError`, `SchemaError` or `sqlite3.Error`."""
    path = folder / FILE
    # Looked for before the database, after which it is made: another process may be making both.
    was_used = _has_content(folder / PEPPER)
    if not anew and not _holds_something(path):
        if (folder / MOVED).exists():
            raise ControlError(f"{moved_from(folder)}. {MOVED_BACK}")
        if was_used:
            raise ControlError(
                f"{path} is missing or empty, though {PEPPER} shows that this folder had projects "
                f"and keys. Restore {FILE} from a copy; where they are in PostgreSQL, set "
                f"THREADLINE_CONTROL. To begin anew without them, remove {PEPPER}, too."
            )
        if not create:
            raise ControlError(
                f"There is no Threadline data in {folder}. Name the folder with --data or "
                "THREADLINE_DATA; `threadline project create NAME` starts a new one."
            )
    make_folder(folder)
    db = connect(path)
    try:
        db.execute("PRAGMA foreign_keys = ON")
        # A salt that is deleted has to be gone from the file, too.
        db.execute("PRAGMA secure_delete = ON")
        migrations.migrate_sqlite("The control plane (control.db)", db, "threadline.control")
    except BaseException:
        db.close()
        raise
    return db


def _holds_something(path: Path) -> bool:
    """A new file may still be all in the write-ahead file beside it, which goes away once it is in
    the file: so that is looked for first."""
    return _has_content(path.with_name(f"{path.name}-wal")) or _has_content(path)


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
