"""The same as `snapshots` where the events lie on a ClickHouse server or cluster: the server keeps
the tables, and the folder what else is of the moment."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from threadline.backup import rows, snapshot
from threadline.backup.manifest import SERVER, BackupError, Moment
from threadline.backup.packing import Piece, pieces
from threadline.contract.times import now_ms
from threadline.control import Control
from threadline.jobs import is_at_work
from threadline.jobs.locks import INSERTING, wait_for
from threadline.jobs.table import BACKUP
from threadline.private import make_folder
from threadline.runtime import events_store, moving
from threadline.runtime.folder import folder_lock
from threadline.runtime.sampling import sample
from threadline.runtime.services import Services
from threadline.runtime.snapshots import counted, moment_of, no_rebuild
from threadline.settings import Settings
from threadline.store import Store, StoreError, standing, store_url, tables

# In the data folder, as long as a backup is made.
FOLDER = ".backup"
# Deletions are carried out in seconds; the second wait is one while nothing is inserted.
DELETIONS_S = 600.0
DELETIONS_HELD_S = 20.0


def take(services: Services, name: str) -> Moment:
    """Raises `BackupError`, `StoreError`."""
    settings, store = services.settings, services.store
    folder = Path(settings.data)
    with no_rebuild(settings):
        standing.prepare(store, mark_of(folder, name))
        standing.await_deletions(store, DELETIONS_S)
        # A block that is half on its way is known to this server, and to no copy of it.
        with services.caught_up():
            return _hold(settings, store, services.control, name)


def take_stopped(settings: Settings, name: str) -> Moment:
    """The same where no server runs: what lies in the log is written first. Raises also
    `FolderInUse`, `ControlError`, `LogError`."""
    folder = Path(settings.data)
    if not (folder / "log.db").exists():
        raise BackupError(
            f"No event was ever stored here: there is no {folder / 'log.db'}. Start the server once"
            " (threadline serve), then back the folder up."
        )
    with folder_lock(folder, ""), no_rebuild(settings), _opened(settings) as store:
        remove_abandoned(store, folder)
        standing.prepare(store, mark_of(folder, name))
        if not moving.write_log(settings, store):
            raise BackupError(
                f"Events wait in the log ({folder / 'log.db'}), and the store does not take them."
                " No backup was made; threadline doctor says what is wrong."
            )
        standing.await_deletions(store, DELETIONS_S)
        with (
            wait_for(folder / INSERTING),
            Control.of(settings, create=False) as control,
        ):
            return _hold(settings, store, control, name)


def _hold(settings: Settings, store: Store, control: Control, name: str) -> Moment:
    """Nothing may get into the store or change there meanwhile."""
    folder = Path(settings.data)
    into = folder_of(folder, name)
    standing.await_deletions(store, DELETIONS_HELD_S)
    snapshot.take_files(folder, into)
    with snapshot.pinned(folder, settings.control) as dbs:
        at_ms = now_ms()
        standing.keep(store, mark_of(folder, name))
        answers = sample(settings, control, at_ms)
        moment = moment_of(dbs, SERVER, at_ms, counted(store), answers)
        snapshot.copy_databases(dbs, into)
    schemas = {**moment.schemas, "store": tables.read().baseline.number}
    return msgspec.structs.replace(moment, schemas=schemas)


@contextmanager
def pieces_of(settings: Settings, name: str, recipients: Sequence[str]) -> Iterator[list[Piece]]:
    """What was taken under this name: rows first. Raises `StoreError`."""
    folder = Path(settings.data)
    with _opened(settings) as store:
        found = rows.pieces(store, mark_of(folder, name), recipients)
        yield [*found, *pieces(folder_of(folder, name), recipients)]


def remove(settings: Settings, name: str) -> None:
    """What was taken under this name. A store that is away now has it until `remove_abandoned`."""
    folder = Path(settings.data)
    snapshot.remove(folder_of(folder, name))
    with suppress(StoreError), _opened(settings) as store:
        standing.drop(store, mark_of(folder, name))


def remove_abandoned(store: Store, folder: Path) -> list[str]:
    """What backups of this folder left that were killed: it keeps what the server would delete.
    The names of tables. Raises `StoreError`."""
    own = _own(folder)
    for path in (folder / FOLDER).glob(f"{snapshot.NAMED}*"):
        if not is_at_work(folder, snapshot.job_of(path.name)):
            snapshot.remove(path)
    left = [
        mark
        for mark in standing.marks(store, f"{own}[0-9a-f]{{16}}")
        if not is_at_work(folder, f"{BACKUP}-{mark[len(own) :][:8]}")
    ]
    return [table for mark in left for table in standing.drop(store, mark)]


def folder_of(folder: Path, name: str) -> Path:
    """Where the files of a snapshot are."""
    make_folder(folder / FOLDER)
    return folder / FOLDER / name


def mark_of(folder: Path, name: str) -> str:
    """What its tables on the server are told by: whose log it is, which job, and which try."""
    return _own(folder) + name.removeprefix(snapshot.NAMED).replace("_", "")


def _own(folder: Path) -> str:
    return events_store.written_by(folder).log_hash[:16]


@contextmanager
def _opened(settings: Settings) -> Iterator[Store]:
    folder = Path(settings.data)
    url = store_url(settings.store, folder)
    with moving.opened(url) as store:
        events_store.check(folder, url, store)
        yield store
