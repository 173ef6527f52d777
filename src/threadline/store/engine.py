"""The one way to ClickHouse: the embedded engine or a server."""

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog
from clickhouse_connect.driver.client import Client

from threadline.store.connection import CONNECT_S, READONLY, connect
from threadline.store.errors import store_errors
from threadline.store.journal import WrittenEvent
from threadline.store.statements import Deletion, Params, Query, Row
from threadline.store.streaming import Streaming

_logger = structlog.get_logger("threadline.store")

UNFINISHED = """
    SELECT table, mutation_id, latest_fail_reason
    FROM system.mutations
    WHERE database = currentDatabase() AND NOT is_done"""
CARRIED_OUT = """
    SELECT table, mutation_id FROM system.mutations
    WHERE database = currentDatabase() AND is_done"""

MASKED = """
    SELECT DISTINCT table FROM system.parts
    WHERE database = currentDatabase() AND active AND has_lightweight_delete"""


class Store(Streaming):
    """Events and identity states of all projects. Safe to use from several threads."""

    def query(self, sql: str, params: Params) -> list[Row]:
        """Rows as dictionaries; every value bound as `{name:Type}`, none formatted in.

        Raises `QueryTimeout` when the question takes longer than the configured limit,
        `QueryTooLarge` when it takes more memory, `StoreBusy` when its turn did not come.
        """
        self.open()
        with self._reader() as client:
            started = time.perf_counter()
            rows = list(client.query(sql, parameters=dict(params)).named_results())
            if self._log_sql:
                took_ms = round((time.perf_counter() - started) * 1000, 1)
                rows_read = _rows_read(client, sql, params)
                _logger.info(
                    "sql", ms=took_ms, rows_read=rows_read, sql=sql.strip(), params=dict(params)
                )
            return rows

    def look(self, sql: str, params: Params) -> list[Row]:
        """As `query`: the store itself waits for nobody."""
        return self.query(sql, params)

    def query_all(self, *queries: Query) -> list[list[Row]]:
        """The answers of several queries, asked side by side: of a short one half is planning, for
        which the engine uses one core."""
        first, *others = queries
        asked = [self._beside.submit(self.query, *query) for query in others]
        return [self.query(*first), *(answer.result() for answer in asked)]

    def query_bytes(self, sql: str, params: Params, format: str = "RowBinary") -> bytes:
        """The answer in one of ClickHouse's formats, by default its plain binary one: values one
        after the other, little-endian."""
        with self.asking(), self._reader() as client:
            return bytes(client.raw_query(sql, parameters=dict(params), fmt=format))

    def query_read_only(
        self, sql: str, params: Params, format: str, settings: Mapping[str, object]
    ) -> bytes:
        """As `query_bytes`, for a statement that somebody else wrote: on a handle of its own, which
        can change neither data nor these settings of the engine, and is closed afterwards."""
        self.open()
        with self.asking(), store_errors():
            # The engine gives up first; where it does not, a server's answer is not waited for.
            limit_s = int(str(settings.get("max_execution_time", self._query_seconds)))
            client = connect(self.url, limit_s + CONNECT_S, {**settings, READONLY: 1})
            try:
                return bytes(client.raw_query(sql, parameters=dict(params), fmt=format))
            finally:
                client.close()

    def execute(self, sql: str, params: Params | None = None) -> None:
        """A statement without an answer. Of a cluster, an INSERT: what else changes tables is for
        each of the `nodes`."""
        assert not self._cluster or sql.split(maxsplit=1)[0] == "INSERT", sql
        with self._change() as writer:
            writer.command(sql, parameters=dict(params or {}))

    def arrange(self, sql: str, params: Params | None = None) -> None:
        """As `execute`, of something that no answer depends on."""
        with self._writer() as writer:
            writer.command(sql, parameters=dict(params or {}))

    def delete(self, table: str, condition: str, params: Params) -> None:
        """Delete such rows of those that are there now. Nothing sees them from here on; the parts
        that hold them get a mask in the background, also after a restart (`deletions`), and keep
        the rows until `erase_deleted`."""
        if self._cluster:
            for node in self.nodes:
                node.delete(table, condition, params)
            return
        wait = 0 if self._sees_deletions else 2
        self.execute(
            f"DELETE FROM {table} WHERE {condition} SETTINGS lightweight_deletes_sync = {wait}",
            params,
        )

    def erase_deleted(self) -> None:
        """Have every part rewritten that has a mask, in the background (`deletions`). Once for all
        that was deleted by now: rewriting costs ten times what a mask does."""
        if self._cluster:
            for node in self.nodes:
                node.erase_deleted()
            return
        for row in self.query(MASKED, {}):
            self.arrange(
                f"ALTER TABLE {row['table']} APPLY DELETED MASK SETTINGS mutations_sync = 0"
            )

    def deletions(self) -> dict[Deletion, str]:
        """Those that parts are still rewritten for, with what last stood in the way of each."""
        if self._cluster:
            return {
                each._replace(node=number): failed
                for number, node in enumerate(self.nodes)
                for each, failed in node.deletions().items()
            }
        return {
            Deletion(row["table"], row["mutation_id"]): row["latest_fail_reason"]
            for row in self.query(UNFINISHED, {})
        }

    def carried_out(self) -> list[Deletion]:
        """Those of this node that are done, and still in the engine's notes, which tell what was
        deleted."""
        return [Deletion(row["table"], row["mutation_id"]) for row in self.query(CARRIED_OUT, {})]

    def strike_off(self, deletions: Sequence[Deletion]) -> None:
        """Strike what was carried out a moment ago off the engine's notes. Not at once: a question
        takes the parts, then what is noted of them. Where a note is struck off in between, it has
        the parts as they were, and answers with the rows that were deleted."""
        if deletions:
            named = ", ".join(f"('{each.table}', '{each.mutation_id}')" for each in deletions)
            self.arrange(
                "KILL MUTATION WHERE database = currentDatabase() AND is_done"
                f" AND (table, mutation_id) IN ({named})"
            )

    def insert(
        self,
        table: str,
        columns: Sequence[str],
        format: str,
        body: bytes,
        token: str,
        written: Sequence[WrittenEvent] | None = None,
    ) -> None:
        """Insert a block that is encoded already, in one of ClickHouse's formats. `written`: it is
        these events and nothing else; None: anything.

        The same token again inserts nothing. Raises `StoreRefused` if the rows cannot be stored
        whenever they come, `StoreError` if they could not be stored now.
        """
        with self._change(written) as writer:
            writer.raw_insert(
                table,
                columns,
                body,
                fmt=format,
                settings={
                    "insert_deduplication_token": token,
                    # Replaying a block must not leave the states ahead of, or behind, the events.
                    "deduplicate_blocks_in_dependent_materialized_views": 1,
                    # An acknowledgement from memory would not be one.
                    "async_insert": 0,
                },
            )

    def insert_by(self, statement: str, body: bytes) -> None:
        """An INSERT that says itself what becomes of the body, and in which format that is. Of a
        server, and of something that no answer depends on."""
        with self._writer() as writer:
            writer.command(statement, data=body)


def _rows_read(client: Client, sql: str, params: Params) -> int:
    """Rows of tables in the ranges that a query has to read; the embedded engine counts no others.

    The plan says it, so it is asked for again."""
    parts = client.query(f"EXPLAIN ESTIMATE {sql}", parameters=dict(params)).named_results()
    return sum(int(part["rows"]) for part in parts)


def free_bytes(folder: Path) -> int:
    """Free space on the disk that holds the folder."""
    return shutil.disk_usage(folder).free
