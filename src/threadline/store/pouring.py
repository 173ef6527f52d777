"""Rows that come as a stream, put into a table without any view seeing them: into a table beside,
whose partitions then take the place of the table's."""

import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from threadline.store.engine import Store

# Tables that rows are poured into first.
BESIDE = "moving_"
FORMAT = "Native"

PARTITIONS = """
    SELECT DISTINCT partition_id AS partition FROM system.parts
    WHERE database = currentDatabase() AND table = {table:String} AND active AND rows > 0
    ORDER BY partition"""


@dataclass(frozen=True)
class TableColumns:
    """Of a table. `made`: those that the engine fills from others."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    made: tuple[str, ...]

    @property
    def list(self) -> str:
        return ", ".join(self.names)


class Beside:
    """A table beside one of these, on one node. `table`: its name."""

    def __init__(self, store: Store, of: str, columns: TableColumns) -> None:
        self.table = f"{BESIDE}{of}_{uuid.uuid4().hex}"
        self._store = store
        self._of = of
        self._columns = columns

    def pour(self, chunks: Generator[bytes], only: str = "") -> None:
        """Rows in `FORMAT`, of all columns. `only`: SQL, of which rows; all where it is empty."""
        names = self._columns.list
        selected = f"SELECT {names} FROM input('{self._structure}') WHERE {only}" if only else ""
        self._store.insert_stream(self.table, self._columns.names, FORMAT, chunks, selected)

    def partitions(self) -> list[str]:
        """Those that got rows."""
        return partitions(self._store, self.table)

    def take_place(self, partition: str) -> None:
        """Of the table's own."""
        self._store.execute(
            f"ALTER TABLE {self._of} REPLACE PARTITION ID '{partition}' FROM {self.table}"
        )

    @property
    def _structure(self) -> str:
        """As text within quotes."""
        pairs = zip(self._columns.names, self._columns.types, strict=True)
        text = ", ".join(f"{name} {kind}" for name, kind in pairs)
        return text.replace("\\", "\\\\").replace("'", "\\'")


def partitions(node: Store, table: str) -> list[str]:
    """Those of a table that have rows, on one node."""
    return [str(row["partition"]) for row in node.query(PARTITIONS, {"table": table})]


@contextmanager
def beside(store: Store, of: str, columns: TableColumns) -> Iterator[Beside]:
    """One that is empty, as long as the block lasts. After an error it is left to `clear`."""
    made = Beside(store, of, columns)
    store.execute(f"CREATE TABLE {made.table} AS {of}")
    # What was made of other columns comes as it stands, whatever made it.
    for name in columns.made:
        store.execute(f"ALTER TABLE {made.table} MODIFY COLUMN {name} REMOVE MATERIALIZED")
    yield made
    store.execute(f"DROP TABLE {made.table} SYNC")
