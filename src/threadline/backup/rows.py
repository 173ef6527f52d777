"""The tables of a ClickHouse server as blobs of rows, and out of them again, into whatever store.

A blob has the rows of a large part, or of several small ones, as the server streams them. As parts
never change, its name says what is in it: what a target has is not read again.
"""

import hashlib
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from threadline.backup.manifest import BLOBS, BackupError, Blob, Manifest
from threadline.backup.packing import CHUNK, PACKED, Piece, blob_name, fetched
from threadline.backup.targets import Target
from threadline.store import Store, moving, pouring, standing
from threadline.store.moving import MovedTable
from threadline.store.standing import Group

ROWS = "rows-"
Poured = Callable[[int], None]


def pieces(store: Store, mark: str, recipients: Sequence[str]) -> list[Piece]:
    """All that is kept under this mark. Raises `StoreError`."""
    described = moving.described(store)
    return [
        _piece(store, described[group.table], mark, group, recipients)
        for group in standing.groups(store, mark)
    ]


def _piece(
    store: Store, table: MovedTable, mark: str, group: Group, recipients: Sequence[str]
) -> Piece:
    node = store.nodes[group.node]
    told = [*sorted(recipients), table.name, table.poured.list, *table.types, *group.digests]
    key = hashlib.sha256("\0".join(told).encode()).hexdigest()
    name = blob_name(f"{ROWS}{table.name}", key, f".native{PACKED}", recipients)

    def opened() -> AbstractContextManager[BinaryIO]:
        sql, bound = standing.rows_of(table, mark, group.parts)
        return node.reading(sql, bound, pouring.FORMAT)

    def counted() -> tuple[int, int]:
        return (0, 0) if table.merges else standing.digest(node, table, mark, group.parts)

    return Piece(name, group.size, opened, counted)


def table_of(name: str) -> str:
    """Whose rows a blob has; empty for one that has files."""
    last = name.removeprefix(BLOBS).partition("/")[2]
    return last.removeprefix(ROWS).partition("-")[0] if last.startswith(ROWS) else ""


def by_table(manifest: Manifest) -> Mapping[str, dict[str, Blob]]:
    """Its blobs of rows."""
    found: dict[str, dict[str, Blob]] = {}
    for name, blob in manifest.blobs.items():
        if table := table_of(name):
            found.setdefault(table, {})[name] = blob
    return found


def pour(
    source: Target,
    blobs: Mapping[str, Blob],
    identities: Sequence[Any],
    store: Store,
    table: MovedTable,
    beside: Path,
    poured: Poured,
) -> None:
    """Make the store's table what is in these blobs, each node's own part of it. `beside`: a folder
    for what is fetched. Raises `BackupError`, `StoreError`."""
    nodes = store.nodes if table.is_divided else (store.home,)
    with ExitStack() as opened:
        made = {
            node: opened.enter_context(pouring.beside(node, table.name, table.poured))
            for node in nodes
            if blobs
        }
        for name, blob in blobs.items():
            with fetched(source, name, blob, identities, beside) as packed:
                for node, into in made.items():
                    packed.seek(0)
                    into.pour(_chunks(name, packed), node.owns if table.is_divided else "")
            poured(blob.unpacked)
        for node in nodes:
            brought = made[node].partitions() if blobs else []
            for partition in brought:
                made[node].take_place(partition)
            for partition in pouring.partitions(node, table.name):
                if partition not in brought:  # what was noted here meanwhile
                    moving.drop(node, table.name, partition)


def check(store: Store, table: MovedTable, blobs: Mapping[str, Blob]) -> None:
    """Raises `BackupError` where the table's rows are not those that were backed up. Says nothing
    of those that merge, which follow from the others."""
    if table.merges:
        return
    rows = sum(blob.rows for blob in blobs.values())
    expected = sum(blob.hash for blob in blobs.values()) % 2**64
    partitions = {
        partition
        for node in table.nodes(store)
        for partition in pouring.partitions(node, table.name)
    }
    found = [moving.digest(store, table, partition) for partition in partitions]
    there = sum(each.rows for each in found)
    if (there, sum(each.hash for each in found) % 2**64) != (rows, expected):
        raise BackupError(
            f"{table.name} has {there:,} rows, and {rows:,} were backed up, or their values "
            "differ. Take another backup with --at."
        )


def _chunks(name: str, packed: BinaryIO) -> Generator[bytes]:
    unpacked = zstandard.ZstdDecompressor().stream_reader(packed, closefd=False)
    try:
        while chunk := unpacked.read(CHUNK):
            yield chunk
    except zstandard.ZstdError as error:
        raise BackupError(f"{name} cannot be unpacked: {error}.") from None
