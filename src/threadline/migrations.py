"""Numbered SQL files and the table that remembers which of them a database has seen."""

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files


class SchemaTooNew(Exception):
    """The database was written by a newer Threadline than this one."""


@dataclass(frozen=True)
class Migration:
    """One file `NNN_name.sql`: its number, its name, its statements in order."""

    number: int
    name: str
    statements: tuple[str, ...]


def read(package: str) -> list[Migration]:
    """The migrations in a package's `schema` folder, by number."""
    folder = files(package) / "schema"
    found = [file for file in folder.iterdir() if file.name.endswith(".sql")]
    return sorted((_parse(file.name, file.read_text()) for file in found), key=lambda m: m.number)


def _parse(file_name: str, text: str) -> Migration:
    number, _, name = file_name.removesuffix(".sql").partition("_")
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    statements = tuple(part.strip() for part in code.split(";\n") if part.strip(" \n;"))
    return Migration(int(number), name, tuple(s.rstrip("; \n") for s in statements))


def migrate(
    what: str,
    known: list[Migration],
    applied: set[int],
    run: Callable[[str], object],
    record: Callable[[Migration], object],
) -> list[Migration]:
    """Run what is missing, in order, and return it.

    `record` is called after the last statement of each migration; a crash before it runs the
    whole migration again, so every statement has to bear being repeated.
    Raises `SchemaTooNew` if the database knows a number that this version does not.
    """
    newest = known[-1].number if known else 0
    if applied and max(applied) > newest:
        raise SchemaTooNew(
            f"{what} has schema {max(applied)}, but this Threadline knows only up to {newest}. "
            "Start the newer version again, or restore an older copy of the data folder."
        )
    missing = [migration for migration in known if migration.number not in applied]
    for migration in missing:
        for statement in migration.statements:
            run(statement)
        record(migration)
    return missing


def migrate_sqlite(what: str, db: sqlite3.Connection, package: str) -> None:
    """The same for a SQLite file and the migrations of one package. Raises `SchemaTooNew`."""
    db.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations"
        " (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_ms INTEGER NOT NULL) STRICT"
    )
    migrate(
        what,
        read(package),
        {number for (number,) in db.execute("SELECT number FROM schema_migrations")},
        db.execute,
        lambda migration: db.execute(
            "INSERT OR IGNORE INTO schema_migrations VALUES (?, ?, ?)",
            (migration.number, migration.name, time.time_ns() // 1_000_000),
        ),
    )
