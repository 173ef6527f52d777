"""A control plane, all of it, from one database into another: into or out of PostgreSQL, and into a
file that a backup takes along."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from threadline.control.database import TABLES, ControlStatements, Database
from threadline.control.errors import ControlError
from threadline.control.on_sqlite import FILE, SqliteDatabase
from threadline.control.opened import open_database

Rows = Mapping[str, list[tuple[Any, ...]]]


def copy(source: Database, target: Database, event_id_key: int | None = None) -> dict[str, int]:
    """How many rows of each table are there now, each compared with what it was. All of it or
    nothing; where it was done before, nothing is left to do. `event_id_key`: what the event_ids
    that are known were hashed with.

    Raises `ControlError` where the target has something else, and changes nothing then.
    """
    with source.reading() as statements:
        columns = {table: _columns(statements, table) for table in TABLES}
        rows = _rows(statements, columns)
    with target.writing() as statements:
        there = _rows(statements, columns)
        if there == rows:
            return {table: len(there[table]) for table in TABLES}
        _check_empty(target, there)
        for table in TABLES:
            marks = ", ".join("?" * len(columns[table]))
            names = ", ".join(columns[table])
            statements.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows[table])
        if event_id_key is not None:
            target.set_event_id_key(statements, event_id_key)
        if _rows(statements, columns) != rows:
            raise ControlError(
                f"{target.name} does not give back what was written to it. Nothing was moved."
            )
    return {table: len(rows[table]) for table in TABLES}


def _check_empty(target: Database, there: Rows) -> None:
    for table in TABLES:
        if there[table]:
            raise ControlError(
                f"{target.name} is not empty ({table}: {len(there[table])} rows), and two control"
                " planes cannot be made one. Nothing was moved. Name another database."
            )


def _columns(db: ControlStatements, table: str) -> list[str]:
    """In an order that does not depend on how the table came to be."""
    described = db.execute(f"SELECT * FROM {table} LIMIT 0").description
    return sorted(column[0] for column in described or ())


def _rows(db: ControlStatements, columns: Mapping[str, list[str]]) -> Rows:
    """Of each table, in an order that does not depend on how they lie there."""
    return {
        table: sorted(
            map(tuple, db.execute(f"SELECT {', '.join(names)} FROM {table}").fetchall()), key=repr
        )
        for table, names in columns.items()
    }


def copy_to_file(folder: Path, url: str, into: Path) -> Path:
    """The control plane that `url` names as a `control.db` in another folder. Raises
    `ControlError`."""
    source = open_database(folder, url, create=False)
    try:
        target = SqliteDatabase(into, create=True, anew=True)
        try:
            copy(source, target)
        finally:
            target.close()
    finally:
        source.close()
    return into / FILE
