"""What a partition of a table is, so that somebody can tell whether it is what it was."""

from collections.abc import Sequence
from typing import NamedTuple

from threadline.store.engine import Store
from threadline.store.statements import Row

VERSIONS = """
    SELECT table, partition_id, max(max_block_number) AS block,
        max(toUInt64OrZero(splitByChar('_', name)[5])) AS mutation, sum(rows) AS rows,
        groupArrayIf(name, has_lightweight_delete) AS masked
    FROM system.parts
    WHERE database = currentDatabase() AND active AND table IN {tables:Array(String)}
    GROUP BY table, partition_id
    ORDER BY table, partition_id"""
# Of parts that have a mask, rows that are deleted; and how many of these parts are still there.
DELETED = """
    SELECT countIf(NOT _row_exists) AS rows, uniqExact(_part) AS parts FROM {table:Identifier}
    WHERE _part IN {masked:Array(String)}
    SETTINGS apply_deleted_mask = 0"""


class Version(NamedTuple):
    """Of a partition of a table on a node. `block`: the newest in it. `mutation`: the newest, of
    which each counts for all partitions, and changes few. `rows`: those that are not deleted; of a
    table whose rows merge they become fewer by that, too."""

    node: int
    table: str
    partition: str
    block: int
    mutation: int
    rows: int

    @property
    def place(self) -> tuple[int, str, str]:
        return self.node, self.table, self.partition

    def lost_rows(self, before: "Version") -> bool:
        """Whether some were deleted since then."""
        return self.mutation != before.mutation and self.rows != before.rows


def versions(node: Store, number: int, tables: Sequence[str]) -> list[Version]:
    """Of all partitions of these tables on a node, of this number, now. Raises `StoreError`."""
    while True:
        found = [_version(node, number, row) for row in node.look(VERSIONS, {"tables": tables})]
        there = [each for each in found if each]
        if len(there) == len(found):
            return there


def _version(node: Store, number: int, row: Row) -> Version | None:
    """None where parts were merged meanwhile: rows that are deleted would count."""
    deleted = 0
    if masked := row["masked"]:
        (counted,) = node.look(DELETED, {"table": row["table"], "masked": masked})
        if int(counted["parts"]) < len(masked):
            return None
        deleted = counted["rows"]
    rows = int(row["rows"]) - int(deleted)
    return Version(
        number, row["table"], row["partition_id"], int(row["block"]), int(row["mutation"]), rows
    )
