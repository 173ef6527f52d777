"""The control plane while it is open: read without waiting, and written in whole transactions.

Requests read a snapshot in memory. With `control.db` every few milliseconds the next of them asks
SQLite, on a connection that never waits, whether somebody has committed since; if so it reads a new
snapshot. PostgreSQL may take long to say so, or not answer at all, so there a thread asks, and no
request ever does: what strangers send costs it nothing, and while it is away all goes on with what
was known. Whoever writes waits a little longer than the time between two looks before saying that
it is done. So a revoked key stops working everywhere, and nothing that holds a lock delays anybody.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from threadline import migrations
from threadline.control.address import is_postgres
from threadline.control.database import ControlStatements, Database
from threadline.control.errors import ControlError, log_line
from threadline.control.on_sqlite import FILE, SqliteDatabase
from threadline.control.pepper import pepper_hash, read_pepper, replace_pepper, settle_pepper
from threadline.control.snapshot import Snapshot, read_snapshot

if TYPE_CHECKING:
    from threadline.control.nodes import Nodes

PUBLISHED_S = 0.05
# An attempt to reach a server that is away costs more than a look.
LOOK_AGAIN_S = 0.5
ENDS_S = 2.0


def open_database(folder: Path, url: str = FILE, create: bool = True) -> Database:
    """`url`: as THREADLINE_CONTROL names it. Raises `ControlError` or `SchemaError`."""
    if not is_postgres(url):
        return SqliteDatabase(folder, create)
    with _installed():
        from threadline.control.on_postgres import PostgresDatabase
    return PostgresDatabase(url, create)


def postgres_schemas(url: str) -> tuple[int, int, list[migrations.Migration]]:
    """Which schema a PostgreSQL database has, the newest, and what is between. Changes nothing.
    Raises `ControlError`, `SchemaError`."""
    with _installed():
        from threadline.control.on_postgres import schemas
    return schemas(url)


@contextmanager
def open_nodes(url: str) -> Iterator["Nodes"]:
    """Those that share this control plane. Raises `ControlError`."""
    with _installed():
        from threadline.control.nodes import Nodes
    nodes = Nodes(url)
    try:
        yield nodes
    finally:
        nodes.close()


@contextmanager
def _installed() -> Iterator[None]:
    """What speaks to PostgreSQL is an extra, and takes its time to load."""
    try:
        yield
    except ImportError as error:
        raise ControlError(
            "THREADLINE_CONTROL names PostgreSQL, and what speaks to it is not installed: pip"
            f" install 'threadline[postgres]' ({error})."
        ) from error


class OpenControl:
    """Opened once by the server, or for a moment by the command line."""

    def __init__(
        self,
        folder: Path,
        create: bool,
        only_revoking: bool,
        clock: Callable[[], int],
        url: str,
    ) -> None:
        """As `Control`."""
        self.folder = folder
        self._now_ms = clock
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        self._looked_at = 0.0
        self._outdated = self._other_pepper = False
        self._closing, self._looking = threading.Event(), None
        self._db = open_database(folder, url, create)
        try:
            # A server may run on with a pepper that is gone, and a leaked key must stop there.
            self.pepper = b"" if only_revoking else settle_pepper(folder, self._db)
            self._version, self._snapshot = self._read(at_version=-1)
            self._db.never_wait()
        except BaseException:
            self._db.close()
            raise
        if self._db.is_shared:
            self._looking = threading.Thread(target=self._keep_looking, daemon=True)
            self._looking.start()

    def close(self) -> None:
        self._closing.set()
        if self._looking:
            self._looking.join(ENDS_S)
            if self._looking.is_alive():  # it waits for a server that does not answer
                return
        self._db.close()

    # -- reading ----------------------------------------------------------------------------

    @property
    def is_away(self) -> bool:
        """Whether the last look could not read it: what is known is of before that."""
        return self._outdated

    def look(self) -> Snapshot:
        """What is known now, no older than the time between two looks. Waits for nobody: where
        another thread is reading, or nothing can be read, the snapshot before is good enough."""
        due = time.monotonic() - self._looked_at > self._db.look_every_s
        if due and not self._looking and self._reading.acquire(False):
            try:
                self._look_again()
            finally:
                self._reading.release()
        return self._snapshot

    def look_once_more(self) -> Snapshot | None:
        """As `look`, for who is not known: what was committed a moment ago counts, too. None where
        nobody can say that now. Waits no longer than another thread takes to publish what it wrote;
        and never for PostgreSQL, as anybody can send keys that were made up: there whoever makes a
        key waits for us."""
        if not self._looking:
            if not self._reading.acquire(timeout=PUBLISHED_S):
                return None
            try:
                self._look_again()
            finally:
                self._reading.release()
        return None if self._outdated else self._snapshot

    def _keep_looking(self) -> None:
        """The thread that asks."""
        while not self._closing.wait(LOOK_AGAIN_S if self._outdated else self._db.look_every_s):
            with self._reading:
                self._look_again()

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
            if snapshot.pepper_hash != self._snapshot.pepper_hash or self._other_pepper:
                self._take_pepper(snapshot.pepper_hash)
        except (self._db.Error, ControlError) as error:
            if not self._outdated:
                log_line("control_not_read", control=self._db.name, error=str(error))
            self._outdated = True
            return None
        if self._outdated:
            log_line("control_read_again", control=self._db.name)
        self._outdated = False
        return version, snapshot

    def _publish(self, read: tuple[int, Snapshot] | None) -> None:
        if read:
            self._version, self._snapshot = read

    def _read(self, at_version: int) -> tuple[int, Snapshot]:
        """The version, and a new snapshot if it is another one."""
        version = self._db.version()
        if version == at_version:
            return version, self._snapshot
        with self._db.reading() as db:
            return version, read_snapshot(db)

    def _take_pepper(self, wanted: bytes) -> None:
        """Another one was made. On another machine it has to be copied from there: until it was,
        what is hashed with it is not known here, and all else goes on. Raises `ControlError`."""
        with suppress(ControlError) if self._db.is_shared else nullcontext():
            self.pepper = read_pepper(self.folder, self._db.pepper_way_out)
        other = self._db.is_shared and pepper_hash(self.pepper) != wanted
        if other and not self._other_pepper:
            log_line("pepper_is_another", folder=str(self.folder), what=self._db.pepper_way_out)
        self._other_pepper = other

    # -- writing ----------------------------------------------------------------------------

    @contextmanager
    def _write(self) -> Iterator[ControlStatements]:
        """One transaction. Raises `ControlError` if nothing can be written."""
        with self._writing, self._db.writing() as db:
            yield db

    @contextmanager
    def _write_and_tell(self) -> Iterator[ControlStatements]:
        """The same, and when it is left everybody knows: we do, and every other process has had
        the time to look."""
        with self._write() as db:
            yield db
        self._look_now()
        self._wait_for_others()

    def _wait_for_others(self) -> None:
        time.sleep(2 * self._db.look_every_s)


def new_pepper(folder: Path, url: str = FILE) -> int:
    """Replace a lost or damaged pepper. All keys stop working for good; how many that were.

    A running server takes the new one at once. Raises `ControlError` if the pepper is in order.
    """
    with closing(open_database(folder, url, create=False)) as db:
        return replace_pepper(folder, db)
