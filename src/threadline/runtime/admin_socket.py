"""The admin socket: how commands on this machine reach the store that the server has open
(`admin_messages`)."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingUnixStreamServer

import msgspec

from threadline.backup.manifest import BackupError
from threadline.contract.errors import Unavailable
from threadline.control import ControlError
from threadline.ingest.row import Rows
from threadline.runtime import adding_shards, taking
from threadline.runtime.admin_messages import (
    ERRORS,
    OK,
    SOCKET,
    AddShards,
    AppendRows,
    Insert,
    LookAround,
    Message,
    ReadOnlyQuery,
    StoreStatement,
    TakeSnapshot,
    address,
)
from threadline.runtime.services import CATCH_UP_S, Services
from threadline.store import Store, StoreBusy, StoreError, store_url

# The log may be this far ahead of the store.
AHEAD_EVENTS = 500_000
# Questions that people write, at the same time: each may take as much memory as it may.
ASKING = 2
# Rebuilding everything from a billion events takes its time.
STATEMENT_S = 24 * 3600


def append(services: Services, rows: Rows) -> None:
    """Have rows in the log; returns when they are on disk, and waits while the store is far behind.
    Raises `StoreError`."""
    while services.log.depth_events > AHEAD_EVENTS:
        services.writer.catch_up(timeout_s=0.1)
    on_disk: Future[None] = Future()
    services.log.append(rows, on_disk)
    try:
        on_disk.result()
    except Unavailable as error:
        raise StoreError(str(error)) from None


class AdminSocket(ThreadingUnixStreamServer):
    """Answers one command after the other on handles of their own, so that events and questions
    go on meanwhile. These are opened for the first, and kept: a rebuild is many statements."""

    daemon_threads = True

    def __init__(self, services: Services) -> None:
        self._services = services
        self._folder = Path(services.settings.data)
        self._lock = threading.Lock()
        self._snapshots = threading.Lock()
        self._asking = threading.Semaphore(ASKING)
        self._store: Store | None = None
        (self._folder / SOCKET).unlink(missing_ok=True)
        with address(self._folder) as short:
            super().__init__(short, _Answer)

    def server_bind(self) -> None:
        os.fchmod(self.socket.fileno(), 0o600)
        super().server_bind()

    def carry_out(self, asked: Message, gone: Callable[[], bool]) -> bytes:
        """`gone`: whether who asked does not wait any more. Raises `StoreError`, `BackupError`."""
        match asked:
            case AppendRows(body, lengths, hashes):
                append(self._services, Rows(body, lengths, hashes))
            case LookAround():
                self._services.upkeep_asked.set()
            case AddShards(url, known):
                adding_shards.switch(self._services, url, known, gone)
            case TakeSnapshot(name):
                with self._snapshots:
                    if not gone():
                        return msgspec.json.encode(taking.take(self._services, name))
            case ReadOnlyQuery():
                self._services.writer.catch_up(CATCH_UP_S)
                return self._answer(asked)
            case StoreStatement() | Insert():
                return self._one_by_one(asked, gone)
        return b""

    def _one_by_one(self, asked: StoreStatement | Insert, gone: Callable[[], bool]) -> bytes:
        # Who only gives orders sees nothing; waiting before each would double a rebuild under load.
        if isinstance(asked, StoreStatement) and asked.format and asked.fresh:
            self._services.writer.catch_up(CATCH_UP_S)
        with self._lock:
            if gone():  # others may be at work now, who do not expect it
                return b""
            store = self._own_store()
            if isinstance(asked, Insert):
                store.insert(*msgspec.structs.astuple(asked))
            elif asked.format is None:
                store.execute(asked.sql, asked.params)
            else:
                return store.query_bytes(asked.sql, asked.params, asked.format)
        return b""

    def _answer(self, asked: ReadOnlyQuery) -> bytes:
        """Beside all else: it must not keep a rebuild waiting."""
        if not self._asking.acquire(blocking=False):
            raise StoreBusy(
                f"{ASKING} SQL queries are running already; try again when one is done."
            )
        try:
            return self._services.store.query_read_only(*msgspec.structs.astuple(asked))
        finally:
            self._asking.release()

    def _own_store(self) -> Store:
        if self._store is None:
            url = store_url(self._services.settings.store, self._folder)
            self._store = Store(url, query_seconds=STATEMENT_S)
        return self._store

    def server_close(self) -> None:
        super().server_close()
        # A statement that still runs ends with the process.
        if self._store is not None and self._lock.acquire(blocking=False):
            self._store.close()
        (self._folder / SOCKET).unlink(missing_ok=True)


class _Answer(StreamRequestHandler):
    server: AdminSocket

    def handle(self) -> None:
        asked = msgspec.json.decode(self.rfile.readline(), type=Message)
        try:
            answer = f"{OK}\n".encode() + self.server.carry_out(asked, self._gone)
        except (StoreError, BackupError, ControlError) as error:
            kind = type(error).__name__ if type(error).__name__ in ERRORS else "StoreError"
            answer = f"{kind}\n{error}".encode()
        with suppress(BrokenPipeError):
            self.wfile.write(answer)

    def _gone(self) -> bool:
        try:
            return not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True


@contextmanager
def admin_socket(services: Services) -> Iterator[None]:
    """Open as long as the block lasts."""
    with AdminSocket(services) as listening:
        thread = threading.Thread(target=listening.serve_forever, name="threadline-admin")
        thread.start()
        try:
            yield
        finally:
            # Else it looks only twice a second whether it is to stop, which is soon enough where a
            # system shuts nothing down that only listens.
            with suppress(OSError):
                listening.socket.shutdown(socket.SHUT_RDWR)
            listening.shutdown()
            thread.join()
