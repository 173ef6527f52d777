"""Tables as they are at one moment, kept beside those that go on.

A kept table has the parts that the table had, by hard links of the server's own: that takes
milliseconds whatever they hold, and no room until the table's parts are merged. It needs nothing of
a server's configuration, and its rows are read as those of any table.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from threadline.store import moving
from threadline.store.engine import Store
from threadline.store.errors import StoreError
from threadline.store.moving import Digest, MovedTable
from threadline.store.pouring import PARTITIONS

# Of their names, before the table's; 32 hexadecimal digits come after it, as of all tables that
# stand beside others (`cluster.TO_MAKE`).
KEPT = "backup_"
LOOK_AGAIN_S = 0.05
# Parts that are smaller go together.
SMALL_BYTES = 64 * 1024

PARTS = """
    SELECT name, rows, data_uncompressed_bytes AS size, bytes_on_disk AS on_disk,
        hash_of_all_files AS digest
    FROM system.parts
    WHERE database = currentDatabase() AND table = {table:String} AND active AND rows > 0
    ORDER BY name"""
LEFT = """
    SELECT name FROM system.tables
    WHERE database = currentDatabase() AND match(name, {pattern:String})"""
IN_PARTS = "WHERE _part IN {parts:Array(String)}"


class Group(NamedTuple):
    """Parts of a kept table whose rows go together: a large one alone. `digests`: of what is in
    each, the same wherever it lies; `size`: bytes, unpacked."""

    node: int
    table: str
    parts: list[str]
    digests: list[str]
    size: int


def await_deletions(store: Store, longest_s: float) -> None:
    """Wait until no part has rows that are deleted and still to be masked: a kept table would have
    them again. Raises `StoreError` where that takes too long."""
    until = time.monotonic() + longest_s
    while left := store.deletions():
        if time.monotonic() > until:
            failed = next((said for said in left.values() if said), "they take too long")
            raise StoreError(f"The store does not carry out deletions: {failed}")
        time.sleep(LOOK_AGAIN_S)


def prepare(store: Store, mark: str) -> None:
    """Make the tables, which are empty. `mark`: 32 hexadecimal digits that no others have."""
    for node, table in _everywhere(store):
        node.execute(f"CREATE TABLE {_kept(table.name, mark)} AS {table.name}")


def keep(store: Store, mark: str) -> None:
    """Have them be what the tables are now. Nothing may be inserted or deleted meanwhile."""

    def of_node(number: int) -> None:
        for node, table in _everywhere(store):
            if node is not store.nodes[number]:
                continue
            for row in node.look(PARTITIONS, {"table": table.name}):
                node.execute(
                    f"ALTER TABLE {_kept(table.name, mark)}"
                    f" REPLACE PARTITION ID '{row['partition']}' FROM {table.name}"
                )

    with ThreadPoolExecutor(len(store.nodes), "threadline-keep") as beside:
        list(beside.map(of_node, range(len(store.nodes))))


def groups(store: Store, mark: str) -> list[Group]:
    """All that was kept. Raises `StoreError`, also where that is not there: a store that somebody
    else writes to would look like one without rows."""
    found = []
    for node, table in _everywhere(store):
        there = [row["name"] for row in node.query(LEFT, {"pattern": f"^{KEPT}.*_{mark}$"})]
        kept = _kept(table.name, mark)
        if kept not in there:
            raise StoreError(f"The store has no {kept}, which it was told to keep.")
        number = store.nodes.index(node)
        small = Group(number, table.name, [], [], 0)
        for row in node.query(PARTS, {"table": kept}):
            size = int(row["size"])
            if int(row["on_disk"]) < SMALL_BYTES:
                small.parts.append(row["name"])
                small.digests.append(row["digest"])
                small = small._replace(size=small.size + size)
            else:
                found.append(Group(number, table.name, [row["name"]], [row["digest"]], size))
        if small.parts:
            found.append(small)
    return found


def rows_of(table: MovedTable, mark: str, parts: Sequence[str]) -> tuple[str, dict[str, object]]:
    """The statement that reads them, with what is bound in it."""
    sql = f"SELECT {table.poured.list} FROM {_kept(table.name, mark)} {IN_PARTS}"
    return sql, {"parts": list(parts)}


def digest(node: Store, table: MovedTable, mark: str, parts: Sequence[str]) -> Digest:
    """Of a table whose rows do not merge: sums up over parts. Raises `StoreError`."""
    sql = moving.DIGEST.substitute(
        columns=table.poured.list, table=_kept(table.name, mark), where=IN_PARTS
    )
    (found,) = node.query(sql, {"parts": list(parts)})
    return Digest(int(found["rows"]), int(found["hash"]))


def drop(store: Store, pattern: str) -> list[str]:
    """Tables that were kept, by what their marks look like; their names."""
    dropped = []
    for node in store.nodes:
        for row in node.query(LEFT, {"pattern": f"^{KEPT}.*_{pattern}$"}):
            node.execute(f"DROP TABLE IF EXISTS {row['name']} SYNC")
            dropped.append(str(row["name"]))
    return dropped


def marks(store: Store, pattern: str) -> set[str]:
    """Of tables that were kept and are still there."""
    return {
        str(row["name"])[-32:]
        for node in store.nodes
        for row in node.query(LEFT, {"pattern": f"^{KEPT}.*_{pattern}$"})
    }


def _everywhere(store: Store) -> Iterator[tuple[Store, MovedTable]]:
    """Each table on each node that has rows of it."""
    for table in moving.described(store).values():
        for node in table.nodes(store):
            yield node, table


def _kept(table: str, mark: str) -> str:
    return f"{KEPT}{table}_{mark}"
