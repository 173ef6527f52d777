"""Moving all that a store holds into another one, partition by partition, and comparing the two.

A partition is poured into a table beside, which then takes the partition's place in one step: so no
view sees the rows, and doing it once more changes nothing. What is there already is told by
comparing. Nothing has to be remembered, so nothing of what is remembered can be wrong after a kill.

Each node of a cluster gets the rows of its own visitors, and the first one those of tables that are
not divided. States that say nothing of a visitor (`FOLLOW`) are partial on each node, of its own
events: whoever moves into a cluster makes them anew there.
"""

import re
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from string import Template
from typing import BinaryIO, NamedTuple

from threadline.store import tables
from threadline.store.cluster import ON_FIRST_SHARD, UNFINISHED
from threadline.store.engine import Store
from threadline.store.errors import StoreError
from threadline.store.pouring import BESIDE, FORMAT, TableColumns, beside
from threadline.store.states import STATES

CHUNK_BYTES = 1024**2
# In the store that is moved into, as long as the move is not done.
BEGIN = f"""
    CREATE TABLE IF NOT EXISTS {UNFINISHED} (origin String, shown String)
    ENGINE = MergeTree ORDER BY origin
    SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"""
ORIGINS = f"SELECT DISTINCT origin, shown FROM {UNFINISHED}"

NAMES = "SELECT name FROM system.tables WHERE database = currentDatabase()"
COLUMNS = """
    SELECT table, name, type, default_kind FROM system.columns
    WHERE database = currentDatabase() AND table IN {tables:Array(String)}
    ORDER BY table, position"""
PARTITIONS = """
    SELECT table, partition_id, sum(data_uncompressed_bytes) AS bytes FROM system.parts
    WHERE database = currentDatabase() AND active AND rows > 0 AND table IN {tables:Array(String)}
    GROUP BY table, partition_id
    ORDER BY table, partition_id"""
IN_PARTITION = "WHERE _partition_id = {partition:String}"
VISITOR = "visitor"
FOLLOW = tuple(
    state.table for state in STATES if VISITOR not in (column.name for column in state.key)
)
# Neither value may depend on how rows are spread over parts.
DIGEST = Template(
    "SELECT count() AS rows, sum(cityHash64(tuple($columns))) AS hash FROM $table $where"
)
# What stands in these columns is one of several values, all of them right.
ANY_OF_SEVERAL = {
    (state.table, value.name) for state in STATES for value in state.values if not value.compared
}
ANY_ROW = "SELECT 1 AS one FROM {table:Identifier} LIMIT 1"
MADE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)")


class Partition(NamedTuple):
    """One of a table, mostly a month, or all of it. `size`: bytes, unpacked."""

    table: str
    partition: str
    size: int


class Digest(NamedTuple):
    """What is in a partition: equal of the same rows."""

    rows: int
    hash: int


@dataclass(frozen=True)
class MovedTable:
    """`merges`: rows of a key become one, at a moment that the engine chooses. `made`: columns that
    the engine fills from others."""

    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    made: tuple[str, ...]
    merges: bool

    @property
    def poured(self) -> TableColumns:
        """As `pouring` takes it."""
        return TableColumns(self.columns, self.types, self.made)

    @property
    def is_divided(self) -> bool:
        """Whether each node of a cluster has the rows of its own visitors."""
        return VISITOR in self.columns and self.name not in ON_FIRST_SHARD

    def nodes(self, store: Store) -> tuple[Store, ...]:
        """Those that have rows of it."""
        return store.nodes if self.is_divided or self.name in FOLLOW else (store.home,)


def table_names() -> list[str]:
    """All tables of the schema that have rows of ours."""
    statements = tables.read().baseline.statements
    return [found[1] for statement in statements if (found := MADE.match(statement.strip()))]


def described(store: Store) -> dict[str, MovedTable]:
    """The schema's tables as they are in this store. Raises `StoreError`."""
    names = table_names()
    rows = store.home.query(COLUMNS, {"tables": names})
    merging = {state.table for state in STATES} | {"exchange_rates", "fences"}
    found = {}
    for name in names:
        own = [row for row in rows if row["table"] == name]
        found[name] = MovedTable(
            name,
            tuple(row["name"] for row in own),
            tuple(row["type"] for row in own),
            tuple(row["name"] for row in own if row["default_kind"] == "MATERIALIZED"),
            name in merging,
        )
    return found


def partitions(store: Store) -> list[Partition]:
    """All that have rows. Raises `StoreError`."""
    sizes: Counter[tuple[str, str]] = Counter()
    for node in store.nodes:
        for row in node.query(PARTITIONS, {"tables": table_names()}):
            sizes[row["table"], row["partition_id"]] += int(row["bytes"])
    return [Partition(*key, size) for key, size in sorted(sizes.items())]


def digest(store: Store, table: MovedTable, partition: str) -> Digest:
    """Reads all of it, in little memory. Raises `StoreError`."""
    return digest_of(table.nodes(store), table, partition)


def digest_of(
    nodes: Sequence[Store], table: MovedTable, partition: str, only: str = "TRUE"
) -> Digest:
    """As `digest`, of what these nodes have. `only`: SQL, of which rows."""
    compared = [name for name in table.columns if (table.name, name) not in ANY_OF_SEVERAL]
    from_ = f"{table.name} FINAL" if table.merges else table.name
    sql = DIGEST.substitute(
        columns=", ".join(compared), table=from_, where=f"{IN_PARTITION} AND {only}"
    )
    found = [node.query(sql, {"partition": partition})[0] for node in nodes]
    return Digest(
        sum(int(row["rows"]) for row in found), sum(int(row["hash"]) for row in found) % 2**64
    )


def origins(store: Store) -> Mapping[str, str]:
    """Whose move into this store is not finished, with the name to show. Raises `StoreError`."""
    if UNFINISHED not in _names(store.home):
        return {}
    return {row["origin"]: row["shown"] for row in store.home.query(ORIGINS, {})}


def begin(store: Store, origin: str, shown: str) -> None:
    """Note that a move into this store is under way. Raises `StoreError`."""
    store.home.execute(BEGIN)
    if origin not in origins(store):
        bound = {"origin": origin, "shown": shown}
        store.home.execute(
            f"INSERT INTO {UNFINISHED} SELECT {{origin:String}}, {{shown:String}}", bound
        )


def end(store: Store) -> None:
    """It is done."""
    store.home.execute(f"DROP TABLE IF EXISTS {UNFINISHED} SYNC")


def clear(store: Store) -> None:
    """Take away what a killed move left beside the tables."""
    for node in store.nodes:
        for name in _names(node):
            if name.startswith(BESIDE):
                node.execute(f"DROP TABLE IF EXISTS {name} SYNC")


def drop(store: Store, table: str, partition: str) -> None:
    """A partition that an earlier try has brought, and which the source has no more."""
    for node in store.nodes:
        node.execute(f"ALTER TABLE {table} DROP PARTITION ID '{partition}'")


def check_alike(source: Mapping[str, MovedTable], target: Mapping[str, MovedTable]) -> None:
    """Raises `StoreError` where a table has other columns in the one store than in the other."""
    for name, table in source.items():
        there = dict(zip(target[name].columns, target[name].types, strict=True))
        if dict(zip(table.columns, table.types, strict=True)) != there:
            raise StoreError(
                f"The table {name} has other columns in one store than in the other, so nothing was"
                " moved. Run threadline upgrade on the store's data folder, and threadline doctor."
            )


def move(
    source: Store,
    target: Store,
    table: MovedTable,
    partition: str,
    read: Callable[[int], None] = lambda size: None,
) -> None:
    """Make the partition of the target what it is in the source. `read` is called with how many
    bytes came. Raises `StoreError` if one of the stores does."""
    for node in target.nodes if table.is_divided else (target.home,):
        pour(table.nodes(source), node, table, partition, read)


def pour(
    sources: Sequence[Store],
    target: Store,
    table: MovedTable,
    partition: str,
    read: Callable[[int], None],
) -> None:
    """Make the partition of one node what these have that is its own."""
    own = target.owns if table.is_divided else ""
    sql = f"SELECT {table.poured.list} FROM {table.name} {IN_PARTITION} AND {own or 'TRUE'}"
    with beside(target, table.name, table.poured) as made:
        for source in sources:
            with source.reading(sql, {"partition": partition}, FORMAT) as body:

                def chunks(body: BinaryIO = body) -> Generator[bytes]:
                    while chunk := body.read(CHUNK_BYTES):
                        read(len(chunk))
                        yield chunk

                made.pour(chunks())
        if target.query(ANY_ROW, {"table": made.table}):
            made.take_place(partition)
        else:  # all of it was deleted, and lies in the parts still; or it is of others
            drop(target, table.name, partition)


def _names(store: Store) -> Sequence[str]:
    return [row["name"] for row in store.query(NAMES, {})]
