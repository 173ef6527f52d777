"""The one door to ClickHouse: the embedded engine, opened by path, through clickhouse-connect.

Handles are cheap and each serves one query at a time, so reads take one from a small pool while
the writer keeps its own.
"""

import queue
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from threadline import migrations
from threadline.contract.errors import Unavailable

READERS = 4
TIMEOUT_EXCEEDED = 159  # ClickHouse's number for a query over max_execution_time

Params = Mapping[str, object]
Row = dict[str, Any]


class StoreError(Exception):
    """The store refused a statement; the message is the engine's."""


class Store:
    """Events and identity states of all projects. Safe to use from several threads."""

    def __init__(self, url: str, query_seconds: int = 30) -> None:
        """Open and migrate. `url`: `chdb:///absolute/folder`.

        Raises `SchemaTooNew` for a folder of a newer version, `StoreError` if it cannot be opened,
        for example because another process has it open.
        """
        self._query_seconds = query_seconds
        try:
            self._writer = _connect(url, {})
            self._migrate()
            read_only = {"max_execution_time": query_seconds}
            self._readers: queue.LifoQueue[Client] = queue.LifoQueue()
            for _ in range(READERS):
                self._readers.put(_connect(url, read_only))
        except ClickHouseError as error:
            raise StoreError(f"The store at {url} cannot be opened: {error}") from error

    def close(self) -> None:
        self._writer.close()
        for _ in range(READERS):
            self._readers.get().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def query(self, sql: str, params: Params) -> list[Row]:
        """Rows as dictionaries; every value bound as `{name:Type}`, none formatted in.

        Raises `Unavailable` when the question takes longer than the configured limit.
        """
        with self._reader() as client:
            try:
                return list(client.query(sql, parameters=dict(params)).named_results())
            except ClickHouseError as error:
                if isinstance(error, DatabaseError) and error.code == TIMEOUT_EXCEEDED:
                    raise Unavailable(
                        f"The question took longer than {self._query_seconds} s; narrow it with "
                        "from and to, or raise THREADLINE_QUERY_SECONDS."
                    ) from error
                raise StoreError(str(error)) from error

    def execute(self, sql: str, params: Params | None = None) -> None:
        """A statement without an answer, on the writer's handle."""
        try:
            self._writer.command(sql, parameters=dict(params or {}))
        except ClickHouseError as error:
            raise StoreError(str(error)) from error

    def insert(
        self, table: str, names: Sequence[str], columns: Sequence[Sequence[object]], token: str
    ) -> None:
        """Insert a block, column by column. The same token again inserts nothing."""
        try:
            self._writer.insert(
                table,
                columns,
                column_names=names,
                column_oriented=True,
                settings={
                    "insert_deduplication_token": token,
                    # Replaying a block must not leave the states ahead of, or behind, the events.
                    "deduplicate_blocks_in_dependent_materialized_views": 1,
                    # A block may bring months that were missing; the schema bounds how many exist.
                    "max_partitions_per_insert_block": 0,
                },
            )
        except ClickHouseError as error:
            raise StoreError(str(error)) from error

    @contextmanager
    def _reader(self) -> Iterator[Client]:
        client = self._readers.get()
        try:
            yield client
        finally:
            self._readers.put(client)

    def _migrate(self) -> None:
        self._writer.command(
            "CREATE TABLE IF NOT EXISTS schema_migrations"
            " (number UInt32, name String, applied_at DateTime DEFAULT now())"
            " ENGINE = MergeTree ORDER BY number"
        )
        applied = self._writer.query("SELECT number FROM schema_migrations").result_rows
        migrations.migrate(
            "The event store",
            migrations.read("threadline.store"),
            {int(number) for (number,) in applied},
            self._writer.command,
            lambda migration: self._writer.command(
                "INSERT INTO schema_migrations (number, name) VALUES"
                f" ({migration.number}, '{migration.name}')"
            ),
        )


def store_url(setting: str, folder: Path) -> str:
    """The setting's URL; `chdb` alone means the folder `store` beside the other data."""
    if setting == "chdb":
        return f"chdb://{(folder / 'store').resolve()}"
    if setting.startswith("chdb:///"):
        return setting
    raise StoreError(
        f"THREADLINE_STORE={setting} is not supported: write chdb, or chdb:///absolute/folder."
    )


def free_bytes(folder: Path) -> int:
    """Free space on the disk that holds the folder."""
    return shutil.disk_usage(folder).free


def _connect(url: str, settings: Mapping[str, object]) -> Client:
    path = Path(url.removeprefix("chdb://"))
    path.mkdir(parents=True, exist_ok=True)
    return clickhouse_connect.get_client(interface="chdb", path=str(path), settings=dict(settings))
