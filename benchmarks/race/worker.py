"""A database in a process of its own, so that its memory and CPU are its own, too.

    python -m benchmarks.race.worker duckdb FOLDER

Reads one JSON object a line and answers each with one. It speaks to DuckDB and ClickHouse (chDB)
inside this process, and to a PostgreSQL whose socket lies in the folder.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

import msgspec

from benchmarks.race.log import COLUMNS, NULL, values

# As many as Threadline has readers.
HANDLES = 4
COPY_BYTES = 1 << 20
# Sums and averages of PostgreSQL are decimals.
ENCODER = msgspec.json.Encoder(decimal_format="number")


class Handle(Protocol):
    """A connection, for one question at a time."""

    def load(self, schema: str, table: Path) -> None:
        """Make the table of events, fill it from this CSV file, and let the engine tidy up."""

    def insert(self, row: str) -> None:
        """One more event, a line of CSV."""

    def prepare(self, name: str, sql: str) -> None:
        """Know a question by this name."""

    def ask(self, name: str, user: str | None) -> bytes:
        """The answer as JSON. `user`: whom it is about, if it is about one."""

    def rows(self, answer: bytes) -> list[list[Any]]:
        """What such an answer says."""


class DuckDB:
    def __init__(self, folder: Path, of: "DuckDB | None" = None) -> None:
        duckdb = importlib.import_module("duckdb")
        path = str(folder / "events.duckdb")
        self._db: Any = of._db.cursor() if of else duckdb.connect(path)

    def load(self, schema: str, table: Path) -> None:
        self._db.execute(schema)
        self._db.execute(f"COPY events FROM '{table}' (HEADER, NULLSTR '{NULL}')")
        self._db.execute("CHECKPOINT")

    def insert(self, row: str) -> None:
        marks = ", ".join("?" * len(COLUMNS))
        self._db.execute(f"INSERT INTO events VALUES ({marks})", values(row))

    def prepare(self, name: str, sql: str) -> None:
        self._db.execute(f"PREPARE {name} AS {sql}")

    def ask(self, name: str, user: str | None) -> bytes:
        given = f"(user := '{user}')" if user else ""
        return ENCODER.encode(self._db.execute(f"EXECUTE {name}{given}").fetchall())

    def rows(self, answer: bytes) -> list[list[Any]]:
        return msgspec.json.decode(answer, type=list[list[Any]])


class ClickHouse:
    def __init__(self, folder: Path, of: "ClickHouse | None" = None) -> None:
        session = importlib.import_module("chdb.session")
        self._session = session.Session(str(folder))
        self._sql: dict[str, str] = {}

    def load(self, schema: str, table: Path) -> None:
        self._session.query(schema)
        self._session.query(
            f"INSERT INTO events FROM INFILE '{table}'"
            " SETTINGS date_time_input_format = 'best_effort' FORMAT CSVWithNames"
        )
        self._session.query("OPTIMIZE TABLE events FINAL")

    def insert(self, row: str) -> None:
        self._session.query(
            f"INSERT INTO events SETTINGS date_time_input_format = 'best_effort' FORMAT CSV\n{row}"
        )

    def prepare(self, name: str, sql: str) -> None:
        self._sql[name] = sql

    def ask(self, name: str, user: str | None) -> bytes:
        given = {"user": user} if user else None
        sql = self._sql[name]
        answer: bytes = self._session.query(sql, "JSONCompactEachRow", params=given).bytes()
        return answer

    def rows(self, answer: bytes) -> list[list[Any]]:
        return [json.loads(line) for line in answer.splitlines()]


class PostgreSQL:
    def __init__(self, folder: Path, of: "PostgreSQL | None" = None) -> None:
        psycopg = importlib.import_module("psycopg")
        self._db = psycopg.connect(
            host=str(folder), user="race", dbname="postgres", autocommit=True
        )
        self._sql: dict[str, str] = {}

    def load(self, schema: str, table: Path) -> None:
        self._db.execute(schema)
        with (
            self._db.cursor() as cursor,
            cursor.copy(f"COPY events FROM STDIN (FORMAT csv, HEADER, NULL '{NULL}')") as copy,
            table.open("rb") as file,
        ):
            while part := file.read(COPY_BYTES):
                copy.write(part)
        self._db.execute("VACUUM ANALYZE events")
        self._db.execute("CHECKPOINT")

    def insert(self, row: str) -> None:
        marks = ", ".join(["%s"] * len(COLUMNS))
        self._db.execute(f"INSERT INTO events VALUES ({marks})", values(row))

    def prepare(self, name: str, sql: str) -> None:
        self._sql[name] = sql

    def ask(self, name: str, user: str | None) -> bytes:
        given = {"user": user} if user else None
        rows = self._db.execute(self._sql[name], given, prepare=True).fetchall()
        return ENCODER.encode(rows)

    def rows(self, answer: bytes) -> list[list[Any]]:
        return msgspec.json.decode(answer, type=list[list[Any]])


KINDS: dict[str, Callable[..., Handle]] = {
    "duckdb": DuckDB,
    "clickhouse": ClickHouse,
    "postgres": PostgreSQL,
}


class Worker:
    """What it is told, by name."""

    def __init__(self, kind: str, folder: Path) -> None:
        self._first = KINDS[kind](folder)
        self._handles = [self._first]
        self._handles += [KINDS[kind](folder, self._first) for _ in range(HANDLES - 1)]
        self._free: SimpleQueue[Handle] = SimpleQueue()
        for handle in self._handles:
            self._free.put(handle)
        self._threads = ThreadPoolExecutor(HANDLES)

    def load(self, schema: str, table: str) -> None:
        self._first.load(schema, Path(table))

    def insert(self, row: str) -> None:
        self._first.insert(row)

    def prepare(self, name: str, sql: str) -> None:
        for handle in self._handles:
            handle.prepare(name, sql)

    def answer(self, name: str, user: str | None) -> list[list[Any]]:
        return self._first.rows(self._first.ask(name, user))

    def ask(self, names: list[str], user: str | None) -> float:
        """Seconds until all of these have their answers; one alone is asked on this thread."""
        started = time.perf_counter()
        if len(names) == 1:
            self._first.ask(names[0], user)
        else:
            list(self._threads.map(lambda name: self._ask_one(name, user), names))
        return time.perf_counter() - started

    def _ask_one(self, name: str, user: str | None) -> None:
        handle = self._free.get()
        try:
            handle.ask(name, user)
        finally:
            self._free.put(handle)


def main() -> None:
    worker = Worker(sys.argv[1], Path(sys.argv[2]))
    _say({"said": None})
    for line in sys.stdin:
        told = json.loads(line)
        try:
            _say({"said": getattr(worker, told.pop("do"))(**told)})
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            _say({"error": f"{type(error).__name__}: {error}"})


def _say(what: dict[str, object]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
