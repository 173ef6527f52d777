"""What is wrong with the control plane of a folder, for `threadline doctor`. Changes nothing."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from threadline.contract.times import format_day
from threadline.control.address import is_postgres, without_password
from threadline.control.database import ControlStatements
from threadline.control.errors import ControlError
from threadline.control.on_sqlite import FILE, MOVED, MOVED_BACK, moved_from
from threadline.control.opened import open_database, postgres_schemas
from threadline.control.origins import normalise_origin
from threadline.control.pepper import FILE as PEPPER
from threadline.control.pepper import WAY_OUT, pepper_problem
from threadline.migrations import SchemaError
from threadline.sqlite import way_out

PRIVATE = (FILE, f"{FILE}-wal", f"{FILE}-shm", PEPPER)
OTHERS = 0o077


class Problem(NamedTuple):
    """`mend`: what to do about it."""

    found: str
    mend: str


def check(folder: Path, url: str = FILE) -> list[Problem]:
    """All problems of the control plane, of the pepper, and of who may read them; none: all is
    well. `url`: as THREADLINE_CONTROL names it.

    Waits for no lock of a file, and works while the server runs. Never raises for what it finds.
    """
    try:
        return _postgres(folder, url) if is_postgres(url) else _file(folder)
    except (ControlError, SchemaError) as error:
        return [_sentences(str(error))]


def _postgres(folder: Path, url: str) -> list[Problem]:
    schema, newest, missing = postgres_schemas(url)
    if schema and missing:
        older = f"{without_password(url)} has schema {schema}, and this version {newest}"
        return [Problem(older, "threadline upgrade brings it up to date; so does the next start.")]
    with closing(open_database(folder, url, create=False)) as db, db.reading() as statements:
        found = [*_content(folder, statements, db.pepper_way_out), *_modes(folder)]
    if (folder / FILE).exists():
        found.append(
            Problem(
                f"{folder / FILE} is not used, as THREADLINE_CONTROL names {db.name}",
                f"threadline migrate-control {FILE} URL moves what is in it; else remove it.",
            )
        )
    return found


def _file(folder: Path) -> list[Problem]:
    path = folder / FILE
    modes = [*_modes(folder)]  # before SQLite makes files beside it
    if not path.exists() or not path.stat().st_size:
        return [_missing(folder), *modes]
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            found = [*_content_of_file(folder, db)]
    except sqlite3.Error as error:
        way = way_out(error) or f"cannot be read: {error}. Restore it from a copy."
        what, _, mend = way.partition(". ")
        found = [Problem(f"{path} {what}", mend)]
    except OSError as error:
        mend = "Run the command as the owner of the data folder."
        found = [Problem(f"{error.filename}: {error.strerror}", mend)]
    return found + modes


def _missing(folder: Path) -> Problem:
    if (folder / MOVED).exists():
        return Problem(moved_from(folder), MOVED_BACK)
    if (folder / PEPPER).exists():
        return Problem(
            f"{folder / FILE} is missing or empty, though {PEPPER} shows that there was one",
            f"Restore {FILE} from a copy; to begin anew without projects, remove {PEPPER}, too.",
        )
    return Problem(f"{folder} has no {FILE}", "threadline project create NAME makes it.")


def _content(folder: Path, db: ControlStatements, way_out: str) -> Iterator[Problem]:
    yield from _pepper(folder, db, way_out)
    yield from _clock(db)
    yield from _origins(db)


def _content_of_file(folder: Path, db: sqlite3.Connection) -> Iterator[Problem]:
    (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        yield Problem(
            f"{folder / FILE} is damaged: {' '.join(str(verdict).split())}",
            "Stop the server and restore the file from a copy.",
        )
        return
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    if "pepper" in tables:
        yield from _pepper(folder, db, WAY_OUT)
    if "clock" in tables:
        yield from _clock(db)
    if "origins" in tables:
        yield from _origins(db)


def _pepper(folder: Path, db: ControlStatements, way_out: str) -> Iterator[Problem]:
    problem = pepper_problem(folder, db, way_out)
    if problem:
        yield _sentences(problem)


def _sentences(problem: str) -> Problem:
    """The first says what there is, the others what to do."""
    found, _, mend = problem.partition(". ")
    return Problem(found, mend)


def _clock(db: ControlStatements) -> Iterator[Problem]:
    for day, doubted, looks in db.execute("SELECT day, doubted_day, looks FROM clock"):
        if looks:
            yield Problem(
                f"the clock jumped from {format_day(day)} to {format_day(doubted)}; salts stay as"
                " they are until it has said so for an hour",
                "Set the clock if it is wrong (timedatectl set-ntp true).",
            )


def _origins(db: ControlStatements) -> Iterator[Problem]:
    """Older versions took more for an origin."""
    for name, origin in db.execute(
        "SELECT name, origin FROM origins JOIN projects USING (project_id) ORDER BY name, origin"
    ):
        try:
            right = normalise_origin(origin)
        except ValueError as error:
            mend = f"threadline project set {name} --remove-origin '{origin}'"
            yield Problem(f"project {name}: {str(error).rstrip('.')}", mend)
            continue
        if right != origin:
            mend = (
                f"threadline project set {name} --add-origin '{right}' --remove-origin '{origin}'"
            )
            yield Problem(f"project {name}: browsers send {origin} as {right}", mend)


def _modes(folder: Path) -> Iterator[Problem]:
    """Salts let anybody find the addresses behind today's hashes."""
    if os.name != "posix" or not folder.exists():
        return
    if folder.stat().st_mode & OTHERS:
        yield Problem(f"other users may look into {folder}", f"chmod 700 {folder}")
    for path in (folder / name for name in PRIVATE):
        if path.exists() and path.stat().st_mode & OTHERS:
            yield Problem(f"other users may read {path}", f"chmod 600 {path}")
