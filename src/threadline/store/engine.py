"""The one door to ClickHouse, through clickhouse-connect: the embedded engine, opened by path, or a
server, by URL.

A handle serves one query at a time, so reads take one from a small pool while the writer keeps its
own.
"""

import queue
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self, cast
from urllib.parse import unquote, urlsplit

import clickhouse_connect
import structlog
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from threadline import migrations
from threadline.contract.times import format_ms
from threadline.store.errors import UNKNOWN_DATABASE, StoreAway, StoreError, store_errors

READERS = 4
CONNECT_S = 5
# An insert or a mutation may take long; whoever waits longer finds out by trying again.
WRITE_S = 300
SERVER_SCHEMES = {"clickhouse": False, "clickhouses": True}

# Files are written as long as it takes, with times and addresses as people write them.
FILE_SETTINGS = {
    "max_execution_time": "0",
    "date_time_output_format": "iso",
    "format_csv_null_representation": "",
    "output_format_json_escape_forward_slashes": "0",
}

Params = Mapping[str, object]
Query = tuple[str, Params]
Row = dict[str, Any]

_logger = structlog.get_logger("threadline.store")


class Statements(Protocol):
    """What identity needs of a store, wherever that is open."""

    def query(self, sql: str, params: Params) -> list[Row]: ...

    def execute(self, sql: str, params: Params | None = None) -> None: ...

    def insert(
        self, table: str, columns: Sequence[str], format: str, body: bytes, token: str
    ) -> None: ...


class Store:
    """Events and identity states of all projects. Safe to use from several threads."""

    def __init__(self, url: str, query_seconds: int = 30) -> None:
        """Open and migrate. `url`: `chdb:///absolute/folder` or `clickhouse://…` (see `store_url`).

        A server that is away may come later: every use tries again. Raises `SchemaTooNew` for a
        store of a newer version, `StoreError` if it cannot be opened, for example because another
        process has the folder open or the password is wrong.
        """
        self._url = url
        self._query_seconds = query_seconds
        self._opening = threading.Lock()
        self._opened = ExitStack()
        self._writer: Client | None = None
        self._readers: queue.LifoQueue[Client] = queue.LifoQueue()
        self._beside = ThreadPoolExecutor(READERS, "threadline-query")
        try:
            self.open()
        except StoreAway as error:
            _logger.error("store_away", url=without_password(url), error=str(error))
        except StoreError as error:
            raise StoreError(
                f"The store at {without_password(url)} cannot be opened: {error}"
            ) from error

    def open(self) -> Client:
        """The writer's handle, after everything is open and migrated. Raises as the constructor,
        and `StoreAway`."""
        with self._opening:
            if self._writer is None:
                with ExitStack() as opened, store_errors():
                    # A block may bring months that were missing; the schema bounds how many exist.
                    writer = _connect(self._url, WRITE_S, {"max_partitions_per_insert_block": 0})
                    opened.callback(writer.close)
                    _migrate(writer)
                    reading = {
                        # The engine gives up first, and says why.
                        "max_execution_time": self._query_seconds,
                        # A longer list matches everywhere; looking each up first is in vain.
                        "use_index_for_in_with_subqueries_max_values": 1000,
                    }
                    for _ in range(READERS):
                        reader = _connect(self._url, self._query_seconds + CONNECT_S, reading)
                        opened.callback(reader.close)
                        self._readers.put(reader)
                    self._opened = opened.pop_all()
                self._writer = writer
            return self._writer

    @property
    def is_open(self) -> bool:
        """False as long as a server has never been reached."""
        return self._writer is not None

    def close(self) -> None:
        self._beside.shutdown()
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def query(self, sql: str, params: Params) -> list[Row]:
        """Rows as dictionaries; every value bound as `{name:Type}`, none formatted in.

        Raises `QueryTimeout` when the question takes longer than the configured limit.
        """
        with self._reader() as client:
            return list(client.query(sql, parameters=dict(params)).named_results())

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

    def save(self, sql: str, params: Params, format: str, path: Path) -> None:
        """Write an answer of any size to a file, in one of ClickHouse's formats. It may take as
        long as it takes."""
        with self._reader() as client:
            if self._url.startswith("chdb:"):
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

    def execute(self, sql: str, params: Params | None = None) -> None:
        """A statement without an answer, on the writer's handle."""
        writer = self.open()
        with store_errors():
            writer.command(sql, parameters=dict(params or {}))

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
        writer = self.open()
        with store_errors():
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

    @contextmanager
    def _reader(self) -> Iterator[Client]:
        self.open()
        client = self._readers.get()
        try:
            with store_errors():
                yield client
        finally:
            self._readers.put(client)


def store_url(setting: str, folder: Path) -> str:
    """The setting's URL; `chdb` alone means the folder `store` beside the other data.

    Raises `StoreError` for anything that is no store.
    """
    if setting == "chdb":
        return f"chdb://{(folder / 'store').resolve()}"
    if setting.startswith("chdb:///") or _is_server(setting):
        return setting
    raise StoreError(
        f"THREADLINE_STORE={without_password(setting)} is not supported: write chdb, "
        "chdb:///absolute/folder, or clickhouse://user:password@host:8123/database "
        "(clickhouses:// for TLS)."
    )


def _is_server(setting: str) -> bool:
    try:
        address = urlsplit(setting)
        return address.scheme in SERVER_SCHEMES and bool(address.hostname) and address.port != 0
    except ValueError:  # a port that is none, a bracket that is not closed
        return False


def without_password(url: str) -> str:
    """The same URL to show around."""
    try:
        address = urlsplit(url)
    except ValueError:
        return f"{url.partition('://')[0]}://***"
    if address.password is None:
        return url
    return url.replace(f":{address.password}@", ":***@", 1)


def bound_ms(ms: int) -> str:
    """Milliseconds since 1970 as the text that a `DateTime64(3, 'UTC')` parameter takes."""
    return format_ms(ms).replace("T", " ").removesuffix("Z")


def free_bytes(folder: Path) -> int:
    """Free space on the disk that holds the folder."""
    return shutil.disk_usage(folder).free


def _connect(url: str, timeout_s: int, settings: Mapping[str, object]) -> Client:
    address = urlsplit(url)
    if address.scheme == "chdb":
        path = Path(address.path)
        path.mkdir(parents=True, exist_ok=True)
        return clickhouse_connect.get_client(
            interface="chdb", path=str(path), settings=dict(settings)
        )

    def client(database: str | None) -> Client:
        return clickhouse_connect.get_client(
            host=address.hostname,
            port=address.port or 0,
            username=unquote(address.username or "default"),
            password=unquote(address.password or ""),
            secure=SERVER_SCHEMES[address.scheme],
            database=database,
            settings=dict(settings),
            connect_timeout=CONNECT_S,
            send_receive_timeout=timeout_s,
            # A session outlives a connection that broke, and would lock the next one out.
            autogenerate_session_id=False,
        )

    database = unquote(address.path.strip("/")) or "default"
    try:
        return client(database)
    except DatabaseError as error:
        if error.code != UNKNOWN_DATABASE:
            raise
    first = client(None)
    first.command("CREATE DATABASE IF NOT EXISTS {name:Identifier}", parameters={"name": database})
    first.close()
    return client(database)


def _migrate(client: Client) -> None:
    client.command(
        "CREATE TABLE IF NOT EXISTS schema_migrations"
        " (number UInt32, name String, applied_at DateTime DEFAULT now())"
        " ENGINE = MergeTree ORDER BY number"
    )
    applied = client.query("SELECT number FROM schema_migrations").result_rows
    migrations.migrate(
        "The event store",
        migrations.read("threadline.store"),
        {int(number) for (number,) in applied},
        client.command,
        lambda migration: client.command(
            "INSERT INTO schema_migrations (number, name) VALUES"
            f" ({migration.number}, '{migration.name}')"
        ),
    )
