"""A process that is killed before any statement, and whether all is well after that."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from tests.support import row_values
from threadline.identity import states
from threadline.ingest import row
from threadline.jobs.locks import INSERTING, is_held
from threadline.store import REBUILD, Params, Row, Statements, Store, store_url, unfinished

TABLES = [state.table for state in states.STATES]
LOADED_STATEMENTS = 4
_loaded = count()


@contextmanager
def unsynced_store(folder: Path) -> Iterator[Store]:
    """No power is cut in these tests, and syncing takes most of their time."""
    with Store(store_url("chdb", folder)) as store:
        for table in ("events", "unfinished_work", *TABLES):
            store.execute(f"ALTER TABLE {table} MODIFY SETTING fsync_after_insert = 0")
        yield store


class Killed(Exception):
    """The process is no more."""


class Dying:
    """A store whose process is killed before the nth statement from here on. Before each of the
    last, events of a new user on a new device come, from a server whose clock is where it likes;
    unless it sees to it that nobody inserts."""

    def __init__(
        self,
        store: Store,
        statements: int,
        folder: Path,
        come: "Callable[[Store], None] | None" = None,
    ) -> None:
        """`come`: what comes instead of these events."""
        self._store = store
        self._come = come or load
        self._inserting = folder / INSERTING
        self.left = statements

    @property
    def nodes(self) -> "tuple[Dying]":
        return (self,)

    def look(self, sql: str, params: Params) -> list[Row]:
        self._next()
        return self._store.look(sql, params)

    def query(self, sql: str, params: Params) -> list[Row]:
        self._next()
        return self._store.query(sql, params)

    def execute(self, sql: str, params: Params | None = None) -> None:
        self._next()
        self._store.execute(sql, params)

    def insert(
        self, table: str, columns: Sequence[str], format: str, body: bytes, token: str
    ) -> None:
        self._next()
        self._store.insert(table, columns, format, body, token)

    def _next(self) -> None:
        if not self.left:
            raise Killed
        self.left -= 1
        if self.left < LOADED_STATEMENTS and not is_held(self._inserting):
            self._come(self._store)


def load(store: Statements) -> None:
    """Somebody is seen on a device and becomes known, in a place of their own."""
    number = next(_loaded)
    received_ms = [978_307_200_000, 1_777_644_000_000, 4_070_908_800_000][number % 3]
    fields: dict[str, row.Value] = {
        "anonymous_id": f"a{number}",
        "source": f"s{number}",
        "timestamp": 1_777_644_000_000 + number,
        "received_at": received_ms,
    }
    rows = [
        row_values(event_id=f"e{number}", **fields),
        row_values(event_id=f"i{number}", user_id=f"u{number}", **fields),
    ]
    store.insert("events", row.COLUMNS, "MsgPack", b"".join(map(row.encode, rows)), f"{number}")


def wrong(store: Statements, *of: str) -> set[str]:
    """The states, or of some the ones, that are not what the events say."""
    found = states.verify(store, tables=of)
    return {table.table for table in found if table.beyond or table.missing or table.wrong}


def listed(store: Statements) -> set[str]:
    return {work.subject for work in unfinished(store) if work.name == REBUILD}


def made(store: Statements) -> list[str]:
    """Tables on their way to be states."""
    sql = "SELECT name FROM system.tables WHERE database = currentDatabase()"
    return [row["name"] for row in store.query(sql, {}) if "_new" in row["name"]]
