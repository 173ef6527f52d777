"""The admin socket: how commands on this machine reach the store that the server has open.

A Unix socket in the data folder. Whoever may open it may read the folder anyway; the network has
no way to it. One request a connection: a line of JSON, answered with a line, `ok` or the kind of
error, and then bytes to the end.
"""

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingUnixStreamServer

import msgspec

from threadline.backup.manifest import BackupError, Moment
from threadline.contract.errors import Unavailable
from threadline.control import ControlError
from threadline.ingest.recovery import AtWork
from threadline.ingest.row import Rows
from threadline.runtime import adding_shards, taking
from threadline.runtime.folder import ServerStarting
from threadline.runtime.services import Services
from threadline.store import (
    Params,
    QueryTimeout,
    Row,
    Store,
    StoreAway,
    StoreBusy,
    StoreError,
    store_url,
)
from threadline.store.versions import Version

SOCKET = "admin.sock"
CATCH_UP_S = 60.0
# The log may be this far ahead of the store.
AHEAD_EVENTS = 500_000
# Questions that people write, at the same time: each may take as much memory as it may.
ASKING = 2
# Rebuilding everything from a billion events takes its time.
STATEMENT_S = 24 * 3600
ERRORS: dict[str, type[Exception]] = {
    kind.__name__: kind
    for kind in (StoreError, StoreAway, StoreBusy, QueryTimeout, BackupError, AtWork)
}


class Statement(msgspec.Struct, tag=True):
    """SQL with its values. `format`: of the answer; none where there is no answer. `fresh`: it has
    to know all that was acknowledged before."""

    sql: str
    params: dict[str, object]
    format: str | None
    fresh: bool = True


class Asked(msgspec.Struct, tag=True):
    """The arguments of `Store.query_read_only`."""

    sql: str
    params: dict[str, object]
    format: str
    settings: dict[str, object]


class Insert(msgspec.Struct, tag=True):
    """The arguments of `Store.insert`."""

    table: str
    columns: list[str]
    format: str
    body: bytes
    token: str


class TakeSnapshot(msgspec.Struct, tag=True):
    """Hold this moment fast for a backup, under this name. The answer: a `Moment`."""

    name: str


class AddShards(msgspec.Struct, tag=True):
    """The arguments of `adding_shards.switch`."""

    url: str
    known: list[Version]


class AppendRows(msgspec.Struct, tag=True):
    """Rows for the log, as `ingest.row.Rows` has them. Answered when they are on disk."""

    body: bytes
    lengths: bytes
    hashes: bytes


Message = Statement | Insert | Asked | TakeSnapshot | AddShards | AppendRows


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
        if isinstance(asked, AppendRows):
            append(self._services, Rows(asked.body, asked.lengths, asked.hashes))
            return b""
        if isinstance(asked, TakeSnapshot):
            with self._snapshots:
                if gone():
                    return b""
                return msgspec.json.encode(taking.take(self._services, asked.name))
        if isinstance(asked, AddShards):
            adding_shards.switch(self._services, asked.url, asked.known, gone)
            return b""
        # Who only gives orders sees nothing; waiting before each would double a rebuild under load.
        if isinstance(asked, Asked) or (
            isinstance(asked, Statement) and asked.format and asked.fresh
        ):
            self._services.writer.catch_up(CATCH_UP_S)
        if isinstance(asked, Asked):
            return self._answer(asked)
        with self._lock:
            if gone():  # others may be at work now, who do not expect it
                return b""
            store = self._own_store()
            if isinstance(asked, Insert):
                store.insert(*msgspec.structs.astuple(asked))
                return b""
            if asked.format is None:
                store.execute(asked.sql, asked.params)
                return b""
            return store.query_bytes(asked.sql, asked.params, asked.format)

    def _answer(self, asked: Asked) -> bytes:
        """Beside all else: it must not keep a rebuild waiting."""
        if not self._asking.acquire(blocking=False):
            raise StoreBusy(f"{ASKING} questions in SQL run already; ask again when one is done.")
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
            answer = b"ok\n" + self.server.carry_out(asked, self._gone)
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
            listening.shutdown()
            thread.join()


class SocketStore:
    """The store behind the socket, with the part of `Store` that commands need."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def nodes(self) -> "tuple[SocketStore]":
        """This one: a cluster's nodes are reached by themselves."""
        return (self,)

    def query(self, sql: str, params: Params) -> list[Row]:
        """As `Store.query`, but times come as text."""
        return self._rows(sql, params, fresh=True)

    def look(self, sql: str, params: Params) -> list[Row]:
        """As `query`, of what is there now: it may be asked while the writer is kept waiting."""
        return self._rows(sql, params, fresh=False)

    def _rows(self, sql: str, params: Params, fresh: bool) -> list[Row]:
        answer = self._send(Statement(sql, dict(params), "JSONEachRow", fresh))
        return [json.loads(line) for line in answer.splitlines()]

    def query_bytes(self, sql: str, params: Params, format: str = "RowBinary") -> bytes:
        return self._send(Statement(sql, dict(params), format))

    def query_read_only(
        self, sql: str, params: Params, format: str, settings: Mapping[str, object]
    ) -> bytes:
        return self._send(Asked(sql, dict(params), format, dict(settings)))

    def execute(self, sql: str, params: Params | None = None) -> None:
        self._send(Statement(sql, dict(params or {}), None))

    def insert(
        self, table: str, columns: Sequence[str], format: str, body: bytes, token: str
    ) -> None:
        self._send(Insert(table, list(columns), format, body, token))

    def take_snapshot(self, name: str) -> Moment:
        """As `taking.take`."""
        return msgspec.json.decode(self._send(TakeSnapshot(name)), type=Moment)

    def add_shards(self, url: str, known: Sequence[Version]) -> None:
        """As `adding_shards.switch`."""
        self._send(AddShards(url, list(known)))

    def append(self, rows: Rows) -> None:
        """As `append`."""
        self._send(AppendRows(*rows))

    def _send(self, asked: Message) -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                with address(self._folder) as short:
                    connection.connect(short)
            except (FileNotFoundError, ConnectionRefusedError):
                # It has taken the folder, and opens its socket last.
                raise ServerStarting(self._folder) from None
            connection.sendall(msgspec.json.encode(asked) + b"\n")
            with connection.makefile("rb") as answer:
                kind, body = answer.readline().decode().strip(), answer.read()
        if kind != "ok":
            raise ERRORS.get(kind, StoreError)(body.decode() or "The server stopped meanwhile.")
        return body


@contextmanager
def address(folder: Path) -> Iterator[str]:
    """The socket's address. Those have to be short, and folders may be deep: by way of an open
    folder it is short on Linux."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        short = Path(f"/proc/self/fd/{opened}")
        yield str((short if short.exists() else folder) / SOCKET)
    finally:
        os.close(opened)
