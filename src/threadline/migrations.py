"""The schema of a database: one file says all of it, others how an older one gets there.

In a package's folder `schema`, `013_baseline.sql` is schema 13 as a whole, for a database that
holds nothing. `013_from_012.sql` makes it of schema 12. Who changes the schema changes the
baseline, gives it the next number, and adds the step; both have to lead to the same tables.
"""

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from threadline import upgrade_copies
from threadline.sqlite import transaction

# The last code that brings all schemas before to what the steps begin with.
MIGRATES_OLDER = "commit 7090645"
BASELINE = "baseline"


class SchemaError(Exception):
    """This Threadline cannot work with the schema of a database; another version can."""


class SchemaTooNew(SchemaError):
    """The database was written by a newer Threadline than this one."""


class SchemaTooOld(SchemaError):
    """The database was written by an older Threadline than this one can migrate from."""


@dataclass(frozen=True)
class Migration:
    """One file: the number it leads to, the one it begins with (0: nothing), its statements."""

    number: int
    begins_with: int
    name: str
    statements: tuple[str, ...]


@dataclass(frozen=True)
class Schema:
    """`baseline`: all of the newest. `steps`: towards it, oldest first."""

    baseline: Migration
    steps: tuple[Migration, ...]

    def missing(self, what: str, applied: int) -> list[Migration]:
        """What a database with this schema (0: it is empty) has to go through, in order.

        Raises `SchemaTooNew` and `SchemaTooOld`; `what`: the database, for their sentences.
        """
        newest = self.baseline.number
        if applied > newest:
            raise SchemaTooNew(
                f"{what} has schema {applied}, but this Threadline knows only up to {newest}. "
                "Start the newer version again, or restore an older copy of the data folder."
            )
        if not applied:
            return [self.baseline]
        found: list[Migration] = []
        for step in self.steps:
            if step.begins_with == (found[-1].number if found else applied):
                found.append(step)
        if applied < newest and not found:
            raise too_old(what, applied, self)
        return found


def too_old(what: str, applied: int, schema: Schema) -> SchemaTooOld:
    """The error for a database of a schema that no step begins with. `applied`: 0 where it was
    begun and never finished."""
    oldest = min((step.begins_with for step in schema.steps), default=schema.baseline.number)
    has = f"has schema {applied}" if applied else "was begun by an older Threadline"
    return SchemaTooOld(
        f"{what} {has}; this Threadline migrates schema {oldest} and newer. Start Threadline "
        f"at {MIGRATES_OLDER} on this data once and stop it, which migrates it to schema {oldest}; "
        "then start this version again."
    )


def read(package: str, values: Mapping[str, str] | None = None) -> Schema:
    """The schema of a package. `values`: of the `$name`s in its files."""
    folder = files(package) / "schema"
    found = [
        _parse(file.name, file.read_text(), values or {})
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    ]
    (baseline,) = (migration for migration in found if migration.name == BASELINE)
    steps = sorted((m for m in found if m is not baseline), key=lambda m: m.number)
    return Schema(baseline, tuple(steps))


def _parse(file_name: str, text: str, values: Mapping[str, str]) -> Migration:
    number, _, name = file_name.removesuffix(".sql").partition("_")
    begins_with = 0 if name == BASELINE else int(name.removeprefix("from_"))
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    code = Template(code).substitute(values)
    statements = tuple(part.strip(" \n;") for part in code.split(";\n"))
    return Migration(int(number), begins_with, name, tuple(filter(None, statements)))


class Progress:
    """Says in the log what a migration does and how long each statement takes."""

    def __init__(self, what: str, migration: Migration) -> None:
        self._about = {"database": what, "schema": migration.number, "name": migration.name}
        # An empty database is no news, and its baseline takes no time.
        self._aloud = migration.begins_with > 0
        self._since = time.monotonic()
        self._say("migration_started", statements=len(migration.statements))

    def run(self, number: int, statement: str, run: Callable[[str], object]) -> None:
        """Run the statement, the `number`th of the migration."""
        since = time.monotonic()
        text = " ".join(statement.split())
        self._say("migration_statement", number=number, sql=text[:120])
        run(statement)
        self._say("migration_statement_done", number=number, seconds=_seconds(since))

    def end(self) -> None:
        self._say("migration_finished", seconds=_seconds(self._since))

    def _say(self, event: str, **fields: object) -> None:
        if self._aloud:
            _log(event, **self._about, **fields)


def _seconds(since: float) -> float:
    return round(time.monotonic() - since, 3)


def migrate_sqlite(what: str, db: sqlite3.Connection, package: str) -> None:
    """Bring a SQLite file to the schema of a package: all of it in one transaction, which is also
    the lock, so that a kill leaves what was there before. Raises `SchemaError`."""
    schema = read(package)
    applied = _applied(what, db, schema)
    if applied == schema.baseline.number:
        return
    if schema.missing(what, applied)[0].begins_with:
        _keep_copy(db)
    with transaction(db):
        # Another process may have done it in the meantime.
        carry_out(what, schema.missing(what, _applied(what, db, schema)), db.execute)


def carry_out(what: str, missing: Iterable[Migration], execute: Callable[..., object]) -> None:
    """Do it and write it down, inside a transaction. `execute`: a statement in SQLite's words, and
    its values."""
    for migration in missing:
        progress = Progress(what, migration)
        for number, statement in enumerate(migration.statements, start=1):
            progress.run(number, statement, execute)
        execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations"
            " (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_ms INTEGER NOT NULL)"
            " STRICT"
        )
        execute(
            "INSERT INTO schema_migrations VALUES (?, ?, ?)",
            (migration.number, migration.name, time.time_ns() // 1_000_000),
        )
        progress.end()


def waiting(what: str, path: Path, package: str) -> tuple[int, list[Migration]]:
    """The schema of a SQLite file, and what it still has to go through. Changes nothing. Raises
    `SchemaError`."""
    schema = read(package)
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
        applied = _applied(what, db, schema)
    return applied, schema.missing(what, applied)


def _keep_copy(db: sqlite3.Connection) -> None:
    """Of the data folder that the file lies in, before it is changed."""
    (path,) = (file for _, name, file in db.execute("PRAGMA database_list") if name == "main")
    if path and Path(path).name in upgrade_copies.FILES:
        say_copied(upgrade_copies.keep(Path(path).parent))


def say_copied(copy: Path) -> None:
    """In the log."""
    _log("before_upgrade_copied", copy=str(copy))


def _log(event: str, **fields: object) -> None:
    import structlog  # takes as long as the rest of a command that makes a key

    if structlog.is_configured():  # else it is a command that has no log
        structlog.get_logger("threadline.migrations").info(event, **fields)


def _applied(what: str, db: sqlite3.Connection, schema: Schema) -> int:
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master")]
    (applied,) = (
        db.execute("SELECT coalesce(max(number), 0) FROM schema_migrations").fetchone()
        if "schema_migrations" in tables
        else (0,)
    )
    if not applied and _tables(tables):
        raise too_old(what, 0, schema)
    return int(applied)


def _tables(names: Iterable[str]) -> list[str]:
    return [name for name in names if name != "schema_migrations" and name[:7] != "sqlite_"]
