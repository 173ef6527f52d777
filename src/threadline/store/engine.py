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

# ClickHouse's numbers for values that it cannot take; whatever else goes wrong may pass.
REFUSALS = {
    6: "CANNOT_PARSE_TEXT",
    27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
    32: "ATTEMPT_TO_READ_AFTER_EOF",
    33: "CANNOT_READ_ALL_DATA",
    38: "CANNOT_PARSE_DATE",
    41: "CANNOT_PARSE_DATETIME",
    53: "TYPE_MISMATCH",
    69: "ARGUMENT_OUT_OF_BOUND",
    70: "CANNOT_CONVERT_TYPE",
    72: "CANNOT_PARSE_NUMBER",
    117: "INCORRECT_DATA",
    131: "TOO_LARGE_STRING_SIZE",
    321: "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    349: "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN",
    469: "VIOLATED_CONSTRAINT",
}

Params = Mapping[str, object]
Row = dict[str, Any]


class StoreError(Exception):
    """The store did not carry out a statement; the message is the engine's."""


class StoreRefused(StoreError):
    """And never will: what it was given cannot be stored."""


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
        with _errors():
            self._writer.command(sql, parameters=dict(params or {}))

    def query_bytes(self, sql: str, params: Params) -> bytes:
        """The answer as the engine's RowBinary: values one after the other, little-endian."""
        with self._reader() as client, _errors():
            return bytes(client.raw_query(sql, parameters=dict(params), fmt="RowBinary"))

    def delete(self, table: str, condition: str, params: Params) -> None:
        """Rewrite the parts that hold such rows, and wait for it: afterwards they are nowhere."""
        self.execute(
            f"ALTER TABLE {table} DELETE WHERE {condition} SETTINGS mutations_sync = 2", params
        )

    def insert(
        self, table: str, columns: Sequence[str], format: str, body: bytes, token: str
    ) -> None:
        """Insert a block that is encoded already, in one of ClickHouse's formats.

        The same token again inserts nothing. Raises `StoreRefused` if the rows cannot be stored
        whenever they come, `StoreError` if they could not be stored now.
        """
        with _errors():
            self._writer.raw_insert(
                table,
                columns,
                body,
                fmt=format,
                settings={
                    "insert_deduplication_token": token,
                    # Replaying a block must not leave the states ahead of, or behind, the events.
                    "deduplicate_blocks_in_dependent_materialized_views": 1,
                    # A block may bring months that were missing; the schema bounds how many exist.
                    "max_partitions_per_insert_block": 0,
                },
            )

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


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except ClickHouseError as error:
        code = error.code if isinstance(error, DatabaseError) else None
        kind = StoreRefused if code in REFUSALS else StoreError
        raise kind(str(error)) from error


def _connect(url: str, settings: Mapping[str, object]) -> Client:
    path = Path(url.removeprefix("chdb://"))
    path.mkdir(parents=True, exist_ok=True)
    return clickhouse_connect.get_client(interface="chdb", path=str(path), settings=dict(settings))
