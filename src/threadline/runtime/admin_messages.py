"""What commands on this machine ask of the server that has the store open, and where.

A Unix socket in the data folder. Whoever may open it may read the folder anyway; the network has
no way to it. One request a connection: a line of JSON, answered with a line, `ok` or the kind of
error, and then bytes to the end. `admin_socket` answers, `socket_store` asks.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from threadline.backup.manifest import BackupError
from threadline.ingest.recovery import AtWork
from threadline.store import QueryTimeout, StoreAway, StoreBusy, StoreError
from threadline.store.versions import Version

SOCKET = "admin.sock"
OK = "ok"
ERRORS: dict[str, type[Exception]] = {
    kind.__name__: kind
    for kind in (StoreError, StoreAway, StoreBusy, QueryTimeout, BackupError, AtWork)
}


class StoreStatement(msgspec.Struct, tag=True):
    """SQL with its values. `format`: of the answer; none where there is no answer. `fresh`: it has
    to know all that was acknowledged before."""

    sql: str
    params: dict[str, object]
    format: str | None
    fresh: bool = True


class ReadOnlyQuery(msgspec.Struct, tag=True):
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


class LookAround(msgspec.Struct, tag=True):
    """There is something to do for `upkeep`. Nobody waits for it."""


class AppendRows(msgspec.Struct, tag=True):
    """Rows for the log, as `ingest.row.Rows` has them. Answered when they are on disk."""

    body: bytes
    lengths: bytes
    hashes: bytes


Message = (
    StoreStatement | Insert | ReadOnlyQuery | TakeSnapshot | AddShards | LookAround | AppendRows
)


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
