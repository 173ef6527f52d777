"""Holding a data folder's moment fast, whether a server has the folder or not, and backing it up.

`backup/snapshot.py` has the steps; here is who has to wait for them, and what is written down of
the moment."""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path

from threadline import __version__
from threadline.backup import snapshot
from threadline.backup.manifest import EMBEDDED, BackupError, Moment
from threadline.contract.times import now_ms
from threadline.ingest.recovery import AtWork, alone
from threadline.runtime import events_store
from threadline.runtime.sampling import sample
from threadline.runtime.services import Services
from threadline.settings import Settings
from threadline.store import Store, store_url

# A rebuild or reclassify is waited for: half of one is nothing to keep.
LOOK_AGAIN_S = 0.2
LONGEST_WAIT_S = 3600.0
STATUS = "status"
# Tables whose rows are only added, and taken away where somebody is forgotten.
COUNTED = ("events", "unlinks", "account_unlinks", "alias_decisions", "aliases")
COUNT = "SELECT count() AS rows FROM {table:Identifier}"


def take(services: Services, name: str) -> Moment:
    """A snapshot of what these services have open, under this name. Raises `BackupError`,
    `StoreError`."""
    folder = Path(services.settings.data)
    store_at = _embedded(services.settings.store, folder)
    into = snapshot.snapshot_folder(store_at, name)
    with ExitStack() as held:
        held.enter_context(no_rebuild(services.settings))
        with ExitStack() as still:
            still.enter_context(services.writer.held())
            snapshot.take_files(folder, into)
            dbs = held.enter_context(snapshot.pinned(folder, services.settings.control))
            at_ms = now_ms()
            snapshot.freeze(services.store, store_at, into)
            rows = counted(services.store)
            answers = sample(services.settings, services.control, at_ms)
            moment = moment_of(dbs, EMBEDDED, at_ms, rows, answers)
        snapshot.copy_databases(dbs, into)
    return moment


def take_stopped(settings: Settings, name: str) -> Moment:
    """The same where no process has the folder open. Raises `BackupError`."""
    folder = Path(settings.data)
    store_at = _embedded(settings.store, folder)
    into = snapshot.snapshot_folder(store_at, name)
    if missing := [path for path in (store_at, folder / "log.db") if not path.exists()]:
        raise BackupError(
            f"No event was ever stored here: there is no {missing[0]}. Start the server once"
            " (threadline serve), then back the folder up."
        )
    with engine_stopped(store_at), snapshot.pinned(folder, settings.control) as dbs:
        snapshot.take_files(folder, into)
        snapshot.link_all(store_at, into)
        snapshot.copy_databases(dbs, into)
        return moment_of(dbs, EMBEDDED, now_ms(), {}, {})


def counted(store: Store) -> dict[str, int]:
    """Rows of the tables that a restored store has to have as many of."""
    return {table: int(store.look(COUNT, {"table": table})[0]["rows"]) for table in COUNTED}


@contextmanager
def engine_stopped(store_at: Path) -> Iterator[None]:
    """No process has the engine's folder open. Raises `BackupError`."""
    path = store_at / STATUS
    opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise BackupError(
            f"Another command has {store_at} open, such as an import; wait for it and try again."
        ) from None
    finally:
        os.close(opened)


def moment_of(
    dbs: dict[str, sqlite3.Connection],
    engine: str,
    at_ms: int,
    rows: dict[str, int],
    answers: dict[str, str],
) -> Moment:
    """What is written down of it. `dbs`: as they are then."""
    log, control = dbs["log.db"], dbs["control.db"]
    ((log_id, written),) = log.execute("SELECT log_id, written_seq FROM block").fetchall()
    ((last, waiting),) = log.execute("SELECT max(seq), total(events) FROM records").fetchall()
    return Moment(
        at_ms=at_ms,
        version=__version__,
        engine=engine,
        log=sha256(str(log_id).encode()).hexdigest(),
        written=int(written),
        acked=int(last or written),
        waiting=int(waiting),
        schemas={"log": _schema(log), "control": _schema(control)},
        rows=rows,
        answers=answers,
    )


def _schema(db: sqlite3.Connection) -> int:
    ((number,),) = db.execute("SELECT max(number) FROM schema_migrations").fetchall()
    return int(number or 0)


@contextmanager
def no_rebuild(settings: Settings) -> Iterator[None]:
    """As long as the block lasts. Raises `AtWork` where one takes an hour."""
    until = time.monotonic() + LONGEST_WAIT_S
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(alone(settings))
                break
            except AtWork:
                if time.monotonic() > until:
                    raise
                time.sleep(LOOK_AGAIN_S)
        yield


def _embedded(store: str, folder: Path) -> Path:
    url = store_url(store, folder)
    events_store.check_note(folder, url)
    return snapshot.store_folder(url)
