"""The control plane in PostgreSQL, for folders of several machines.

A table of one row counts the transactions that wrote. Whoever writes counts first: that locks the
row, so that one writes at a time, as with SQLite, and what it reads meanwhile stays true. Whoever
reads looks at the number, and reads the rest only where it is another one.
"""

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

import psycopg

from threadline import migrations
from threadline.control.address import WHAT
from threadline.control.database import Conflict, ControlStatements, Result
from threadline.control.errors import ControlError
from threadline.control.postgres_connections import Connections

LOOK_EVERY_S = 0.1
# Any number, so that it is ours.
MIGRATING = 7_236_118_402

# What the files in `schema` say in SQLite's words. Texts are in the order of their bytes there.
TYPES = (
    (re.compile(r"\bINTEGER\b"), "BIGINT"),
    (re.compile(r"\bBLOB\b"), "BYTEA"),
    (re.compile(r"\bTEXT\b"), 'TEXT COLLATE "C"'),
    (re.compile(r"\) STRICT(, WITHOUT ROWID)?$"), ")"),
)
# Not to_regclass, which does not know yet what another has committed a moment ago.
JOURNAL = "SELECT 1 FROM pg_class WHERE relname = 'schema_migrations' AND pg_table_is_visible(oid)"
OWN = (
    "CREATE TABLE IF NOT EXISTS changes"
    " (only_row BIGINT PRIMARY KEY CHECK (only_row = 1), number BIGINT NOT NULL)",
    "INSERT INTO changes VALUES (1, 0) ON CONFLICT DO NOTHING",
    "CREATE TABLE IF NOT EXISTS event_id_key"
    " (only_row BIGINT PRIMARY KEY CHECK (only_row = 1), key BYTEA NOT NULL)",
)
KEY_BYTES = 8
SET_KEY = "INSERT INTO event_id_key VALUES (1, ?) ON CONFLICT DO NOTHING"


class PostgresDatabase:
    """As `Database`: one connection that reads, and one that writes, made anew where they broke."""

    Error: type[Exception] = psycopg.Error
    look_every_s = LOOK_EVERY_S
    is_shared = True
    pepper_way_out = (
        "Copy the file `pepper` from the data folder of a node that works, or from a copy of one, "
        "into this folder. If there is none, `threadline key replace-pepper` makes a new one; all "
        "keys and share links stop working for good then, on every node."
    )

    def __init__(self, url: str, create: bool) -> None:
        """Raises `ControlError` or `SchemaError`."""
        self._connections = Connections(url)
        self.name = self._connections.name
        self._reader, self._writer = self._connections.another(), self._connections.another()
        try:
            with self._connections.asked(self._writer):
                _migrate(self._writer.opened(), self.name, create)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._connections.close()

    def version(self) -> int:
        with self._connections.asked(self._reader):
            found = self._reader.first("SELECT number FROM changes").fetchone()
        if found is None:
            raise ControlError(f"{self.name} is empty in part; restore it from a copy.")
        return int(found[0])

    @contextmanager
    def reading(self) -> Iterator[ControlStatements]:
        with self._connections.asked(self._reader):
            db = self._reader.opened()
            db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                yield _Statements(db)
            finally:
                with suppress(psycopg.Error):  # what broke is said already, and is made anew
                    db.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[ControlStatements]:
        with self._connections.asked(self._writer):
            self._writer.first("BEGIN")
            db = self._writer.opened()
            try:
                db.execute("UPDATE changes SET number = number + 1")
                yield _Statements(db)
                db.execute("COMMIT")
            except BaseException:
                with suppress(psycopg.Error):
                    db.execute("ROLLBACK")
                raise

    def write_at_once(self, step: Callable[[ControlStatements], None]) -> bool:
        """Never: it may take any time to answer."""
        return False

    def never_wait(self) -> None:
        """There is no lock that whoever reads would wait for."""

    def erase_deleted(self) -> bool:
        """Nothing: its files, its log and its copies are PostgreSQL's (docs/scaling.md)."""
        return False

    def event_id_key(self) -> int | None:
        """Made once, and kept here: logs of several nodes have to recognise each other's ids, and
        one that is lost takes its key with it."""
        with self.reading() as db:
            found = db.execute("SELECT key FROM event_id_key").fetchone()
        return int.from_bytes(found[0], "big")

    def set_event_id_key(self, db: ControlStatements, key: int) -> None:
        """In place of the one that was made, with which nothing was hashed yet."""
        db.execute("UPDATE event_id_key SET key = ?", (key.to_bytes(KEY_BYTES, "big"),))


class _Statements:
    """SQL as it is written for both, inside a transaction."""

    def __init__(self, db: "psycopg.Connection[Any]") -> None:
        self._db = db

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Result:
        try:
            return self._db.execute(_translated(sql), values)
        except psycopg.IntegrityError as error:
            raise Conflict(str(error)) from error

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> None:
        try:
            self._db.cursor().executemany(_translated(sql), rows)
        except psycopg.IntegrityError as error:
            raise Conflict(str(error)) from error


@lru_cache(maxsize=512)
def _translated(sql: str) -> bytes:
    """With psycopg's marks in place of SQLite's."""
    return sql.replace("%", "%%").replace("?", "%s").encode()


def _typed(sql: str) -> str:
    for pattern, words in TYPES:
        sql = pattern.sub(words, sql)
    return sql


def _migrate(db: "psycopg.Connection[Any]", name: str, create: bool) -> None:
    """To the newest schema: all of it in one transaction, one process at a time."""
    schema = migrations.read("threadline.control")
    applied = _applied(db)
    if applied == schema.baseline.number:
        return
    if not applied and not create:
        raise ControlError(
            f"There is no Threadline in {name} yet. `threadline project create NAME` begins one;"
            " `threadline migrate-control` moves there what a data folder has."
        )
    db.execute("BEGIN")
    try:
        db.execute(f"SELECT pg_advisory_xact_lock({MIGRATING})".encode())
        statements = _Statements(db)
        # Another process may have done it in the meantime.
        migrations.carry_out(
            WHAT,
            schema.missing(WHAT, _applied(db)),
            lambda sql, values=(): statements.execute(_typed(sql), values),
        )
        for sql in OWN:
            statements.execute(sql)
        statements.execute(SET_KEY, (secrets.token_bytes(KEY_BYTES),))
        db.execute("COMMIT")
    except BaseException:
        with suppress(psycopg.Error):
            db.execute("ROLLBACK")
        raise


def schemas(url: str) -> tuple[int, int, list[migrations.Migration]]:
    """As `opened.postgres_schemas`."""
    schema = migrations.read("threadline.control")
    connections = Connections(url)
    try:
        connection = connections.another()
        with connections.asked(connection):
            applied = _applied(connection.opened())
    finally:
        connections.close()
    return applied, schema.baseline.number, schema.missing(WHAT, applied)


def _applied(db: "psycopg.Connection[Any]") -> int:
    if not db.execute(JOURNAL).fetchone():
        return 0
    row = db.execute("SELECT coalesce(max(number), 0) FROM schema_migrations").fetchone()
    return int(row[0]) if row else 0
