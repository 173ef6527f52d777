"""The store of a server that runs, as commands on the same machine have it: by way of the admin
socket (`admin_messages`)."""

import json
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from threadline.backup.manifest import Moment
from threadline.ingest.row import Rows
from threadline.runtime.admin_messages import (
    ERRORS,
    OK,
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
from threadline.runtime.folder import ServerStarting
from threadline.store import Params, Row, StoreError
from threadline.store.versions import Version


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
        answer = self._send(StoreStatement(sql, dict(params), "JSONEachRow", fresh))
        return [json.loads(line) for line in answer.splitlines()]

    def query_bytes(self, sql: str, params: Params, format: str = "RowBinary") -> bytes:
        return self._send(StoreStatement(sql, dict(params), format))

    def query_read_only(
        self, sql: str, params: Params, format: str, settings: Mapping[str, object]
    ) -> bytes:
        return self._send(ReadOnlyQuery(sql, dict(params), format, dict(settings)))

    def execute(self, sql: str, params: Params | None = None) -> None:
        self._send(StoreStatement(sql, dict(params or {}), None))

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

    def look_around(self) -> None:
        """Have the server do now what it does by itself. It only saves time: one that is starting,
        stopping or of an older version looks, or is gone, by itself, and who waits for it sees."""
        with suppress(ServerStarting, StoreError, OSError):
            self._send(LookAround())

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
        if kind != OK:
            raise ERRORS.get(kind, StoreError)(body.decode() or "The server stopped meanwhile.")
        return body
