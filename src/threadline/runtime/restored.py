"""Whether a restored folder is what was backed up: its files, its rows, its states, and what it
answers."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from threadline.backup.manifest import Manifest
from threadline.backup.snapshot import DATABASES
from threadline.control import Control
from threadline.identity.states import verify
from threadline.ingest.recovery import outliving
from threadline.runtime.sampling import digest
from threadline.runtime.snapshots import counted
from threadline.settings import Settings
from threadline.store import Store

QUESTION_S = 600


class RestoredCheck(msgspec.Struct):
    """One thing that was looked at. `problem`: a sentence, or nothing."""

    what: str
    problem: str = ""


def compare(
    folder: Path,
    url: str,
    manifest: Manifest,
    progressed: Callable[[str], None] = lambda what: None,
) -> list[RestoredCheck]:
    """Everything there is to compare. `url`: of the store that has the events. To be called before
    anything else opens the folder: what lies in the log is not in the store yet. Raises
    `StoreError`, `SchemaError`."""
    found = []
    for each in _all(folder, url, manifest):
        progressed(each.what)
        found.append(each)
    return found


def _all(folder: Path, url: str, manifest: Manifest) -> Iterator[RestoredCheck]:
    moment = manifest.moment
    for name in DATABASES:
        yield RestoredCheck(name, _integrity(folder / name))
    settings = Settings(data=str(folder))
    with Store(url, query_seconds=QUESTION_S) as store:
        rows = counted(store)
        for table, expected in moment.rows.items():
            there = rows.get(table, 0)
            wrong = f"has {there:,} rows, and had {expected:,}" if there != expected else ""
            yield RestoredCheck(f"{table}: {there:,} rows", wrong)
        for state in verify(store, outliving=outliving(settings)):
            many = state.beyond + state.missing + state.wrong
            problem = f"{many:,} rows are not what the events say" if many else ""
            yield RestoredCheck(
                f"{state.table}: {state.compared:,} rows against the events", problem
            )
        with Control.of(settings, create=False) as control:
            names = {project.project_id: project.name for project in control.projects()}
            for key, expected_digest in moment.answers.items():
                project_id, _, asked = key.partition("/")
                same = digest(store, control, key, moment.at_ms) == expected_digest
                yield RestoredCheck(
                    f"{names.get(project_id, project_id)}: {asked}",
                    "" if same else "is not what was answered then",
                )


def _integrity(path: Path) -> str:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            (said,) = db.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.Error as error:
        said = str(error)
    return "" if said == "ok" else f"is damaged: {said}"
