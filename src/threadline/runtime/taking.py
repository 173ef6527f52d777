"""Snapshots of what a server has open, wherever its events lie."""

from contextlib import suppress
from pathlib import Path

from threadline.backup import snapshot
from threadline.backup.manifest import Moment
from threadline.runtime import server_snapshots, snapshots
from threadline.runtime.services import Services
from threadline.store import StoreAway


def take(services: Services, name: str) -> Moment:
    """Hold this moment of what these services have open fast, under this name. Raises
    `BackupError`, `StoreError`."""
    if services.store.is_embedded:
        return snapshots.take(services, name)
    return server_snapshots.take(services, name)


def clear_up(services: Services) -> None:
    """Remove what backups left that were killed."""
    folder, store = Path(services.settings.data), services.store
    if store.is_embedded:
        snapshot.remove_abandoned(folder, snapshot.store_folder(store.url))
        return
    with suppress(StoreAway):  # the writer says so; in a minute it is tried again
        server_snapshots.remove_abandoned(store, folder)
