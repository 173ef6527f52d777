"""The rows of a backup, put into a store again: the one in the restored folder, or a ClickHouse
server or cluster."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from threadline.backup import rows
from threadline.backup.manifest import BackupError, Manifest
from threadline.backup.mark import MARK
from threadline.backup.restoring import BACKUP_ID
from threadline.backup.targets import Target
from threadline.identity import states
from threadline.ingest.recovery import outliving
from threadline.private import write_durably
from threadline.runtime import events_store
from threadline.runtime.events_store import Note
from threadline.runtime.moving import check_empty, opened
from threadline.settings import Settings
from threadline.store import Store, moving, store_url, tables
from threadline.store.address import is_embedded, without_password

# Making states anew writes into it, so it comes last.
WORK = "unfinished_work"
# In the folder, as long as it is not restored: the store whose rows are being poured.
INTO = "into"


def check(manifest: Manifest, url: str, folder: Path) -> None:
    """Raises `BackupError` for what cannot be restored into this store, before anything is done,
    and `StoreError` where it is not empty."""
    if not manifest.is_of_rows:
        if url != store_url("chdb", folder):
            raise BackupError(
                f"{manifest.backup_id} was made where the events lay in the folder, and is restored"
                " into one. Leave --store out, then give `threadline migrate-store chdb"
                f" {without_password(url)} --data FOLDER`."
            )
        return
    schema, ours = manifest.moment.schemas.get("store"), tables.read().baseline.number
    if schema != ours:
        raise BackupError(
            f"{manifest.backup_id} was made by Threadline {manifest.moment.version}, whose events"
            f" have schema {schema}, and this one's have {ours}. Restore it with that version, then"
            " upgrade."
        )
    if not is_embedded(url):
        with opened(url) as store:
            if _was_under_way(folder, manifest, url):
                moving.begin(store, manifest.moment.log, _origin(manifest))
            _claim(store, manifest, url)


def note_in_folder(folder: Path, fetched: Path, poured: Callable[[int], None]) -> None:
    """In the place of `pour` for a backup of files: the store is in the folder already."""
    events_store.write(folder, Note(events_store.name_of(store_url("chdb", folder), folder)))


def pour(
    target: Target,
    manifest: Manifest,
    identities: Sequence[Any],
    url: str,
    folder: Path,
    fetched: Path,
    poured: Callable[[int], None],
    makes: Callable[[str], None] = lambda state: None,
) -> None:
    """Make the store what was backed up; the folder has all else by now. `fetched`: a folder for
    what is read. `makes`: as of `moving.move`. Killed at any moment, the same does it again, and
    until then no server starts on the store. Raises `BackupError`, `StoreError`."""
    with opened(url) as store:
        _claim(store, manifest, url)
        moving.begin(store, manifest.moment.log, _origin(manifest))
        write_durably(fetched / INTO, events_store.name_of(url, folder))
        moving.clear(store)
        found, described = rows.by_table(manifest), moving.described(store)

        def bring(name: str) -> None:
            blobs = found.get(name, {})
            rows.pour(target, blobs, identities, store, described[name], fetched, poured)
            rows.check(store, described[name], blobs)

        for name in described:
            if name != WORK:
                bring(name)
        if store.cluster:
            kept = outliving(Settings(data=str(folder)))
            states.rebuild(store, moving.FOLLOW, progressed=makes, outliving=kept)
        bring(WORK)
        moving.end(store)
    events_store.write(folder, Note(events_store.name_of(url, folder)))


def _claim(store: Store, manifest: Manifest, url: str) -> None:
    """Raises `StoreError` where the store has events already, but for those that the same restore
    has brought."""
    unfinished = moving.origins(store)
    if unfinished == {manifest.moment.log: _origin(manifest)}:
        return
    if unfinished:
        raise BackupError(
            f"A move or restore from {', '.join(unfinished.values())} into"
            f" {without_password(url)} is not finished. Finish that one, or name another store."
        )
    check_empty(store, without_password(url), [])


def _was_under_way(folder: Path, manifest: Manifest, url: str) -> bool:
    """Whether the same restore was killed when it had poured all, or was about to."""
    try:
        found = [(folder / MARK / name).read_text() for name in (BACKUP_ID, INTO)]
    except FileNotFoundError:
        return False
    return found == [manifest.backup_id, events_store.name_of(url, folder)]


def _origin(manifest: Manifest) -> str:
    return f"backup {manifest.backup_id}"
