"""A moment of a data folder, held fast as long as it is backed up: by links where the engine is
embedded, else by a ClickHouse server."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from threadline.backup import snapshot
from threadline.backup.manifest import EMBEDDED, SERVER, BackupError, Moment
from threadline.backup.packing import Piece, pieces
from threadline.runtime import server_snapshots, snapshots
from threadline.runtime.folder import running_server
from threadline.runtime.socket_store import SocketStore
from threadline.settings import Settings
from threadline.store import store_url, without_password
from threadline.store.address import is_embedded


def of(settings: Settings, name: str) -> "KeptMoment":
    """What is to be held under this name."""
    embedded = is_embedded(store_url(settings.store, Path(settings.data)))
    return (Linked if embedded else OnServer)(settings, name)


class KeptMoment(ABC):
    """A moment of a data folder, held fast under a name as long as it is backed up. `engine`: as of
    a `Moment`."""

    engine: str

    def __init__(self, settings: Settings, name: str) -> None:
        self.settings = settings
        self.name = name
        self.folder = Path(settings.data)

    def take(self, name: str) -> Moment:
        """By the server that has the folder, else by this process."""
        if running_server(self.folder):
            return SocketStore(self.folder).take_snapshot(name)
        return self.take_stopped()

    def check(self, moment: Moment) -> None:
        """Raises `BackupError` where the running server has another store than this process."""
        if moment.engine != self.engine:
            raise BackupError(
                f"The server of {self.folder} has its events in another store than"
                f" THREADLINE_STORE={without_password(self.settings.store)}, which this command was"
                " given. Set it as the server has it; a settings file says it to both."
            )

    @abstractmethod
    def take_stopped(self) -> Moment:
        """By this process, where no server runs."""

    @abstractmethod
    def pieces(self, recipients: Sequence[str]) -> AbstractContextManager[Sequence[Piece]]:
        """What it is made of, to be read as long as the block lasts."""

    @abstractmethod
    def remove(self) -> None:
        """It is not needed any more."""


class Linked(KeptMoment):
    """Files of the embedded engine."""

    engine = EMBEDDED

    @property
    def _into(self) -> Path:
        store_at = snapshot.store_folder(store_url(self.settings.store, self.folder))
        return snapshot.snapshot_folder(store_at, self.name)

    def take_stopped(self) -> Moment:
        return snapshots.take_stopped(self.settings, self.name)

    def pieces(self, recipients: Sequence[str]) -> AbstractContextManager[Sequence[Piece]]:
        return nullcontext(pieces(self._into, recipients))

    def remove(self) -> None:
        snapshot.remove(self._into)


class OnServer(KeptMoment):
    """Tables of a ClickHouse server."""

    engine = SERVER

    def take_stopped(self) -> Moment:
        return server_snapshots.take_stopped(self.settings, self.name)

    def pieces(self, recipients: Sequence[str]) -> AbstractContextManager[Sequence[Piece]]:
        return server_snapshots.pieces_of(self.settings, self.name, recipients)

    def remove(self) -> None:
        server_snapshots.remove(self.settings, self.name)
