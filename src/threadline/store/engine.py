"""The one door to ClickHouse: the embedded engine or a server.

A handle serves one query at a time, so reads take one from a small pool, and what writes from
another.
"""

import shutil
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Self, cast

import structlog
from clickhouse_connect.driver.client import Client

from threadline.store import background, cluster
from threadline.store.address import (
    LOCAL,
    Address,
    cluster_address,
    is_embedded,
    without_password,
)
from threadline.store.connection import (
    CONNECT_S,
    READERS,
    READONLY,
    READS_ONCE,
    connect,
    sees_deletions,
    share_of_memory,
)
from threadline.store.errors import StoreAway, StoreError, store_errors
from threadline.store.journal import Written, journals
from threadline.store.migrating import migrate
from threadline.store.piped import piped
from threadline.store.pool import Pool
from threadline.store.statements import Deletion, Params, Query, Row

# The log's writer, and beside it what people decide and what forgets them.
WRITERS = 2
# Files are taken as slowly as who takes them is; questions must not wait for that.
SAVERS = 2
PING_S = 3
# An insert or a mutation may take long; whoever waits longer finds out by trying again.
WRITE_S = 300

# A block may bring months that were missing; the schema bounds how many exist.
ANY_PARTITIONS = {"max_partitions_per_insert_block": 0}

# Files are written as long as it takes.
UNLIMITED = {"max_execution_time": "0"}
# And with times and addresses as people write them.
FILE_SETTINGS = {
    **UNLIMITED,
    "date_time_output_format": "iso",
    "format_csv_null_representation": "",
    "output_format_json_escape_forward_slashes": "0",
    # Of large properties a block of the usual size, and several being written, take hundreds of
    # megabytes; these are as fast.
    "max_block_size": "4096",
    "output_format_parallel_formatting": "0",
}

UNFINISHED = """
    SELECT table, mutation_id, latest_fail_reason
    FROM system.mutations
    WHERE database = currentDatabase() AND NOT is_done"""

MASKED = """
    SELECT DISTINCT table FROM system.parts
    WHERE database = currentDatabase() AND active AND has_lightweight_delete"""

_logger = structlog.get_logger("threadline.store")


class Store:
    """Events and identity states of all projects. Safe to use from several threads."""

    def __init__(
        self,
        url: str,
        query_seconds: int = 30,
        query_bytes: int | None = None,
        log_sql: bool = False,
    ) -> None:
        """Open and migrate. `url`: `chdb:///absolute/folder` or `clickhouse://…` (see `store_url`).
        `query_bytes`: memory that one question may take; None: its share of the machine's, or
        whatever a server has configured. `log_sql`: each query, with how long it took.

        A server that is away may come later: every use tries again. Raises `SchemaError` for
        a store of another version, `StoreError` if it cannot be opened, for example because another
        process has the folder open or the password is wrong.
        """
        self.url = url
        # Of a node of a cluster: SQL, which visitors are its own.
        self.owns = ""
        self._cluster = cluster_address(url)
        self._nodes = tuple(
            Store(node, query_seconds, query_bytes, log_sql)
            for node in (self._cluster.nodes if self._cluster else ())
        )
        self._journal = journals[url]
        self._query_seconds = query_seconds
        self._log_sql = log_sql
        self._opening = threading.Lock()
        self._migrated = False
        self._reads_once = False
        self._sees_deletions = False
        # The engine gives up first, and says why.
        limits = {
            "max_execution_time": query_seconds,
            "max_memory_usage": query_bytes or share_of_memory(url),
            # A longer list matches everywhere; looking each up first is in vain.
            "use_index_for_in_with_subqueries_max_values": 1000,
        }
        self._readers = self._pool(READERS, query_seconds + CONNECT_S, limits)
        self._savers = self._pool(SAVERS, query_seconds + CONNECT_S, limits)
        self._writers = self._pool(WRITERS, WRITE_S, ANY_PARTITIONS)
        self._pings = self._pool(1, PING_S, {"max_execution_time": PING_S})
        self._beside = ThreadPoolExecutor(READERS, "threadline-query")
        try:
            self.open()
        except StoreAway as error:
            _logger.error("store_away", url=without_password(url), error=str(error))
        except StoreError as error:
            raise StoreError(
                f"The store at {without_password(url)} cannot be opened: {error}"
            ) from error

    def _pool(self, size: int, timeout_s: int, settings: Mapping[str, object]) -> Pool:
        return Pool(lambda: connect(self.url, timeout_s, settings), size)

    def open(self) -> None:
        """Migrate, unless that was done. Raises as the constructor, and `StoreAway`."""
        if self._migrated:
            return
        with self._opening:
            if not self._migrated:
                if self._cluster:
                    self._open_nodes(self._cluster)
                else:
                    with store_errors(), self._writers.handle() as writer:
                        migrate(self.url, writer)
                        self._sees_deletions = sees_deletions(writer)
                if is_embedded(self.url):
                    background.give_way()
                self._migrated = True

    def _open_nodes(self, address: Address) -> None:
        """Migrate each, then make what is asked of all of them. Raises `StoreError` naming one."""
        found: dict[str, tuple[cluster.Place, list[cluster.Place]]] = {}
        by_url = {node.url: node for node in self._nodes}
        for url, node in by_url.items():
            with _naming(node):
                node.open()
                with store_errors(), node._writers.handle() as client:
                    found[url] = cluster.places(client, address.cluster)
        self._nodes = tuple(by_url[url] for url in cluster.in_order(address.cluster, found))
        shards = len({place.shard for place, _ in found.values()})
        for node in self._nodes:
            place, _ = found[node.url]
            node.owns = cluster.own_visitors(place, shards)
            with _naming(node), store_errors(), node._writers.handle() as client:
                cluster.distribute(client, address, place, shards)
        with store_errors(), self._writers.handle() as client:
            self._reads_once = all(name in client.server_settings for name in READS_ONCE)

    @property
    def reads_once(self) -> bool:
        """Whether it takes statements with relations AS MATERIALIZED (see `compose`). Raises as
        `open`."""
        self.open()
        return self._reads_once

    @property
    def nodes(self) -> "tuple[Store, ...]":
        """Those of a cluster, each with the tables that it has itself; else this one. What follows
        from one visitor's events is made on the node that has them."""
        self.open()
        return self._nodes or (self,)

    @property
    def cluster(self) -> tuple[str, str] | None:
        """The name of the cluster that tables are divided between, and the database in which each
        node has its own; None where they are not divided."""
        address = self._cluster
        return (address.cluster, f"{address.database}{LOCAL}") if address else None

    @property
    def home(self) -> "Store":
        """Where the tables are that are not divided between nodes."""
        return self.nodes[0]

    @property
    def is_embedded(self) -> bool:
        """Whether the engine runs in this process, and nobody else writes to it."""
        return is_embedded(self.url)

    @property
    def changes(self) -> int:
        """Another number than before: this process may have changed what questions read."""
        return self._journal.changes

    def written_since(self, change: int, until: int) -> list[Written] | None:
        """Where the events were that came after one number of `changes` and until another; None if
        anything else may have changed."""
        return self._journal.since(change, until)

    @property
    def is_open(self) -> bool:
        """False as long as a server has never been reached."""
        return self._migrated

    def ping(self) -> None:
        """Raises `StoreError` if the store does not answer soon. Waits for no question."""
        self.open()
        if self._cluster:
            for node in self._nodes:
                with _naming(node):
                    node.ping()
            return
        with store_errors(), self._pings.handle(PING_S) as client:
            client.query("SELECT 1")

    def close(self) -> None:
        for node in self._nodes:
            node.close()
        self._beside.shutdown()
        for pool in (self._readers, self._savers, self._writers, self._pings):
            pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

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
        with self._reader() as client:
            return bytes(client.raw_query(sql, parameters=dict(params), fmt=format))

    def query_read_only(
        self, sql: str, params: Params, format: str, settings: Mapping[str, object]
    ) -> bytes:
        """As `query_bytes`, for a statement that somebody else wrote: on a handle of its own, which
        can change neither data nor these settings of the engine, and is closed afterwards."""
        self.open()
        with store_errors():
            # The engine gives up first; where it does not, a server's answer is not waited for.
            limit_s = int(str(settings.get("max_execution_time", self._query_seconds)))
            client = connect(self.url, limit_s + CONNECT_S, {**settings, READONLY: 1})
            try:
                return bytes(client.raw_query(sql, parameters=dict(params), fmt=format))
            finally:
                client.close()

    def stream(self, sql: str, params: Params) -> Generator[list[Row]]:
        """The rows of an answer of any size, some at a time, as `query` gives them. It may take as
        long as it takes; who stops in the middle closes the iterator. Raises `StoreBusy` while
        `SAVERS` others are being written."""
        self.open()
        with store_errors(), self._savers.handle(self._query_seconds) as client:
            if self._log_sql:
                _logger.info("sql", sql=sql.strip(), params=dict(params))
            asked = dict(params)
            with client.query_row_block_stream(sql, parameters=asked, settings=UNLIMITED) as blocks:
                names = blocks.source.column_names
                for block in blocks:
                    yield [dict(zip(names, row, strict=True)) for row in block]

    def save(self, sql: str, params: Params, format: str, path: Path) -> None:
        """Write an answer of any size to a file, in one of ClickHouse's formats. It may take as
        long as it takes. Raises `StoreBusy` while `SAVERS` others are being written."""
        self.open()
        with store_errors(), self._savers.handle(self._query_seconds) as client:
            if self._log_sql:
                _logger.info("sql", sql=sql.strip(), params=dict(params))
            if is_embedded(self.url):
                # Streams past memory, which the client's own streams do not for every format.
                settings = ", ".join(f"{name} = '{value}'" for name, value in FILE_SETTINGS.items())
                target = str(path).replace("\\", "\\\\").replace("'", "\\'")
                client.command(
                    f"{sql} INTO OUTFILE '{target}' TRUNCATE FORMAT {format} SETTINGS {settings}",
                    parameters=dict(params),
                )
                return
            with path.open("wb") as file:
                answer = client.raw_stream(sql, dict(params), FILE_SETTINGS, format)
                shutil.copyfileobj(cast(BinaryIO, answer), file)

    @contextmanager
    def reading(self, sql: str, params: Params, format: str) -> Iterator[BinaryIO]:
        """An answer of any size in one of ClickHouse's formats, to be read as it comes. Raises
        `StoreBusy` while `SAVERS` others are being written."""
        self.open()
        with store_errors(), self._savers.handle(self._query_seconds) as client:
            # The driver reads all of it into memory where settings are not in the statement.
            limits = ", ".join(f"{name} = {value}" for name, value in UNLIMITED.items())
            asked = f"{sql} SETTINGS {limits}"
            answer = cast(BinaryIO, client.raw_stream(asked, dict(params), None, format))
            try:
                yield answer
            finally:
                answer.close()

    def insert_stream(
        self,
        table: str,
        columns: Sequence[str],
        format: str,
        chunks: Generator[bytes],
        selected: str = "",
    ) -> None:
        """Insert what comes in pieces, of any size. If it fails, some of it may be in the table.
        `selected`: of a server, SQL that makes rows for the table of those that come."""
        if is_embedded(self.url):
            with self._change() as writer, piped(chunks) as path:
                writer.command(
                    f"INSERT INTO {table} ({', '.join(columns)})"
                    f" FROM INFILE '{path}' COMPRESSION 'none' FORMAT {format}"
                )
            return
        self.open()
        into = f"{table} ({', '.join(columns)}) {selected}"
        with store_errors():
            # While it writes what came, a server may accept no more for a while.
            client = connect(self.url, WRITE_S, ANY_PARTITIONS, send_s=WRITE_S)
            try:
                client.raw_insert(into, None, chunks, fmt=format)
            finally:
                client.close()
                self._journal.note(None)

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
        """Those that parts are still rewritten for, with what last stood in the way of each. All
        others are struck from the engine's notes, which tell what was deleted."""
        if self._cluster:
            return {
                each._replace(node=number): failed
                for number, node in enumerate(self.nodes)
                for each, failed in node.deletions().items()
            }
        self.arrange("KILL MUTATION WHERE database = currentDatabase() AND is_done")
        return {
            Deletion(row["table"], row["mutation_id"]): row["latest_fail_reason"]
            for row in self.query(UNFINISHED, {})
        }

    def insert(
        self,
        table: str,
        columns: Sequence[str],
        format: str,
        body: bytes,
        token: str,
        written: Sequence[Written] | None = None,
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

    @contextmanager
    def _reader(self, wait_s: float | None = None) -> Iterator[Client]:
        """A handle for a question, which waits for its turn no longer than it may run."""
        self.open()
        wait_s = self._query_seconds if wait_s is None else wait_s
        with store_errors(), self._readers.handle(wait_s) as client:
            yield client

    @contextmanager
    def _change(self, written: Sequence[Written] | None = None) -> Iterator[Client]:
        """A handle for what others see from then on."""
        try:
            with self._writer() as client:
                yield client
        finally:
            self._journal.note(written)

    @contextmanager
    def _writer(self) -> Iterator[Client]:
        self.open()
        with store_errors(), self._writers.handle() as client:
            yield client


@contextmanager
def _naming(node: Store) -> Iterator[None]:
    """An error says of which node it is."""
    try:
        yield
    except StoreError as error:
        raise type(error)(f"The node at {without_password(node.url)}: {error}") from error


def _rows_read(client: Client, sql: str, params: Params) -> int:
    """Rows of tables in the ranges that a query has to read; the embedded engine counts no others.

    The plan says it, so it is asked for again."""
    parts = client.query(f"EXPLAIN ESTIMATE {sql}", parameters=dict(params)).named_results()
    return sum(int(part["rows"]) for part in parts)


def free_bytes(folder: Path) -> int:
    """Free space on the disk that holds the folder."""
    return shutil.disk_usage(folder).free
