"""The store, for commands, wherever that is open."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from threadline.runtime import events_store
from threadline.runtime.folder import running_server
from threadline.runtime.socket_store import SocketStore
from threadline.settings import Settings
from threadline.store import Store, store_url


@contextmanager
def open_store(chosen: Settings) -> Iterator[Store | SocketStore]:
    """The store, or where a server has it open, the admin socket to it."""
    folder = Path(chosen.data)
    if chosen.store.startswith("chdb") and running_server(folder):
        yield SocketStore(folder)
        return
    url = store_url(chosen.store, folder)
    with Store(url, query_seconds=3600) as store:
        events_store.check(folder, url, store)
        yield store
