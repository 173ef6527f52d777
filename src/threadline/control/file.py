"""The file `control.db`: opened, read without waiting, and written in whole transactions.

Requests read a snapshot in memory. Every few milliseconds the next of them asks SQLite, on a
connection that never waits, whether somebody has committed since; if so it reads a new snapshot.
Whoever writes waits a little longer than that before saying that it is done. So a revoked key stops
working with the next request, and nothing that holds the file's write lock delays anybody.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from threadline import migrations
from threadline.control.errors import ControlError, log_line, said_plainly
from threadline.control.pepper import FILE as PEPPER
from threadline.control.pepper import read_pepper, replace_pepper, settle_pepper
from threadline.control.snapshot import Snapshot, read_snapshot
from threadline.private import make_folder
from threadline.sqlite import connect, transaction

FILE = "control.db"
# Asking at every request would cost a sixth of it.
LOOK_EVERY_S = 0.005
PUBLISHED_S = 0.05


class ControlFile:
    """Opened once by the server, or for a moment by the command line."""

    def __init__(
        self, folder: Path, create: bool, only_revoking: bool, clock: Callable[[], int]
    ) -> None:
        """As `Control`."""
        self.folder, self.path = folder, folder / FILE
        self._now_ms = clock
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        self._looked_at = 0.0
        self._outdated = False
        with said_plainly(self.path):
            self._db = open_file(folder, create)
            try:
                # A server may run on with a pepper that is gone, and a leaked key must stop there.
                self.pepper = b"" if only_revoking else settle_pepper(folder, self._db)
                # The first look waits, as whoever closes the file last locks it for a moment.
                self._read_db = connect(self.path)
                self._version, self._snapshot = self._read(at_version=-1)
                self._read_db.execute("PRAGMA busy_timeout = 0")
            except BaseException:
                self._db.close()
                raise

    def close(self) -> None:
        self._read_db.close()
        self._db.close()

    # -- reading ----------------------------------------------------------------------------

    def look(self) -> Snapshot:
        """What is known now, no older than `LOOK_EVERY_S`. Waits for nobody: where another thread
        is reading, or the file cannot be read, the snapshot before it is good enough."""
        if time.monotonic() - self._looked_at > LOOK_EVERY_S and self._reading.acquire(False):
            try:
                self._look_again()
            finally:
                self._reading.release()
        return self._snapshot

    def look_once_more(self) -> Snapshot:
        """As `look`, for who is not known: what was committed a moment ago counts, too. Waits no
        longer than another thread takes to publish what it wrote."""
        if self._reading.acquire(timeout=PUBLISHED_S):
            try:
                self._look_again()
            finally:
                self._reading.release()
        return self._snapshot

    def _look_now(self) -> Snapshot:
        """What is known now, whatever was committed before this call included."""
        with self._reading:
            self._look_again()
        return self._snapshot

    def _look_again(self) -> None:
        """Holding `_reading`."""
        self._publish(self._read_if_changed())

    def _read_if_changed(self) -> tuple[int, Snapshot] | None:
        """Holding `_reading`. None if it cannot be read now."""
        self._looked_at = time.monotonic()
        try:
            version, snapshot = self._read(self._version)
            if snapshot.pepper_hash != self._snapshot.pepper_hash:
                self.pepper = read_pepper(self.folder)
        except (sqlite3.Error, ControlError) as error:
            if not self._outdated:
                log_line("control_not_read", file=str(self.path), error=str(error))
            self._outdated = True
            return None
        self._outdated = False
        return version, snapshot

    def _publish(self, read: tuple[int, Snapshot] | None) -> None:
        if read:
            self._version, self._snapshot = read

    def _read(self, at_version: int) -> tuple[int, Snapshot]:
        """The file's version for this connection; a new snapshot if it is another one."""
        (version,) = self._read_db.execute("PRAGMA data_version").fetchone()
        if version == at_version:
            return version, self._snapshot
        return version, read_snapshot(self._read_db)

    # -- writing ----------------------------------------------------------------------------

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """One transaction. Raises `ControlError` if the file cannot be written."""
        with self._writing, said_plainly(self.path), transaction(self._db):
            yield self._db

    @contextmanager
    def _write_and_tell(self) -> Iterator[sqlite3.Connection]:
        """The same, and when it is left everybody knows: we do, and every other process has had
        the time to look."""
        with self._write() as db:
            yield db
        self._look_now()
        time.sleep(2 * LOOK_EVERY_S)


def open_file(folder: Path, create: bool) -> sqlite3.Connection:
    """The database with its newest schema. Raises `ControlError`, `SchemaError` or
    `sqlite3.Error`."""
    path = folder / FILE
    if not _holds_something(path):
        if (folder / PEPPER).exists() and (folder / PEPPER).stat().st_size:
            raise ControlError(
                f"{path} is missing or empty, though {PEPPER} shows that this folder had projects "
                f"and keys. Restore {FILE} from a copy. To begin anew without them, remove "
                f"{PEPPER}, too."
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
    """A new file may still be all in the write-ahead file beside it."""
    files = (path, path.with_name(f"{path.name}-wal"))
    return any(file.exists() and file.stat().st_size for file in files)


def new_pepper(folder: Path) -> int:
    """Replace a lost or damaged pepper. All keys stop working for good; how many that were.

    A running server takes the new one at once. Raises `ControlError` if the pepper is in order.
    """
    with said_plainly(folder / FILE), closing(open_file(folder, create=False)) as db:
        return replace_pepper(folder, db)
