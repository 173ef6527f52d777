"""Who takes part. Each engine has the log, gets the late events one by one, and is asked."""

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, Self

from benchmarks.race import postgres, sql
from benchmarks.race.log import Late, Log
from benchmarks.race.postgres import Cluster
from benchmarks.race.processes import bytes_below
from benchmarks.race.questions import Asked, everything
from benchmarks.race.rows import Row


class Engine(Protocol):
    """`title`: how tables call it. `pids`: of the processes whose CPU and memory it takes."""

    title: str

    @property
    def pids(self) -> list[int]: ...

    def load(self, log: Log) -> None:
        """All but what is late, and ready to be asked."""

    def insert(self, late: Late) -> None:
        """One more event, which the next question counts."""

    def rows(self, asked: Asked, user: str) -> list[Row]:
        """The answer, to compare."""

    def took_s(self, asked: Sequence[Asked], user: str) -> float:
        """How long all of these take until their answers are there as JSON, asked at once."""

    def bytes_on_disk(self) -> int: ...


class Database:
    """An engine that a worker speaks SQL to. Starts when it is made, and is ready when entered, so
    that several may start at once."""

    def __init__(self, kind: str, title: str, folder: Path, pids: list[int]) -> None:
        """`pids`: of its own processes, besides the worker."""
        self.kind, self.title, self.folder = kind, title, folder
        self._worker = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.race.worker", kind, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pids = [self._worker.pid, *pids]

    def __enter__(self) -> Self:
        self._hear()
        return self

    def __exit__(self, *exc: object) -> None:
        self._worker.communicate()

    def load(self, log: Log) -> None:
        self._tell("load", schema=sql.schema(self.kind), table=str(log.table))
        for name, asked in {asked.sql_name: asked for asked in everything()}.items():
            self._tell("prepare", name=name, sql=sql.question(self.kind, asked))

    def insert(self, late: Late) -> None:
        self._tell("insert", row=late.row)

    def rows(self, asked: Asked, user: str) -> list[Row]:
        found = self._tell("answer", name=asked.sql_name, user=_user(asked, user))
        return [tuple(row) for row in found]

    def took_s(self, asked: Sequence[Asked], user: str) -> float:
        names = [each.sql_name for each in asked]
        took: float = self._tell("ask", names=names, user=_user(asked[0], user))
        return took

    def bytes_on_disk(self) -> int:
        return bytes_below(self.folder)

    def _tell(self, do: str, **what: object) -> Any:
        assert self._worker.stdin
        self._worker.stdin.write(f"{json.dumps({'do': do, **what})}\n")
        self._worker.stdin.flush()
        return self._hear()

    def _hear(self) -> Any:
        assert self._worker.stdout
        line = self._worker.stdout.readline()
        if not line:
            raise SystemExit(f"{self.title} ended.")
        heard = json.loads(line)
        if "error" in heard:
            raise SystemExit(f"{self.title}: {heard['error']}")
        return heard["said"]


class PostgreSQL(Database):
    def __init__(self, cluster: Cluster) -> None:
        super().__init__("postgres", "PostgreSQL", cluster.folder, [cluster.pid])
        self._cluster = cluster

    def bytes_on_disk(self) -> int:
        return self._cluster.bytes_on_disk()


def _user(asked: Asked, user: str) -> str | None:
    return user if asked.question.is_about_one else None


EMBEDDED = {"duckdb": "DuckDB", "clickhouse": "plain ClickHouse"}


def databases(folder: Path, opened: ExitStack) -> list[Database]:
    """Those that are here; who is not is said. They live as long as `opened`."""
    started: list[Database] = []
    for kind, title in EMBEDDED.items():
        (folder / kind).mkdir()
        started.append(Database(kind, title, folder / kind, []))
    if todo := postgres.missing():
        print(f"PostgreSQL takes no part: {todo}, and run this again.")
    else:
        started.append(PostgreSQL(opened.enter_context(Cluster())))
    return [opened.enter_context(database) for database in started]
