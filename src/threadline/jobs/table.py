"""The one table of work that takes long: what was asked for, how far it is, and how it ended.

It lies in the log's file (`docs/decisions/0011-jobs.md` says why), so it can be read and written
whether a server runs or not, and whether the store answers or not. Requests to forget get their
rows from the log (`ingest/receipts.py`), all other jobs from whoever works on them
(`jobs/working.py`).
"""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from threadline.contract.times import now_ms

FORGET, IMPORT, REBUILD, RECLASSIFY = "forget", "import", "rebuild", "reclassify"
BACKUP, UNDO = "backup", "undo"
RETENTION, DELETE, ADD_SHARDS = "retention", "delete", "add-shards"

WAITING, RUNNING, ERASING = "waiting", "running", "erasing"
STOPPED, DONE, FAILED, CANCELLED = "stopped", "done", "failed", "cancelled"
# Never in the table: its row says that it runs, but nobody is at work on it.
INTERRUPTED = "interrupted"

# What is there to go on with.
ENDED_EARLY = (WAITING, RUNNING, STOPPED, FAILED)


class Job(NamedTuple):
    """One row. Times are milliseconds since 1970; None: not yet. `done` of `total` units, zero
    where it is not known; `step`: where it is. `about`: a file, a time; never whom. `cancel`:
    somebody asked for that. `events`: how many went; `hidden_ms`: of a request to forget."""

    job_id: str
    kind: str
    project_id: str
    about: str
    state: str
    step: str
    done: int
    total: int
    unit: str
    requested_ms: int
    started_ms: int | None
    finished_ms: int | None
    may_cancel: bool
    cancel: bool
    error: str
    events: int | None
    hidden_ms: int | None


COLUMNS = ", ".join(Job._fields)


def exists(db: sqlite3.Connection) -> bool:
    """Whether this file is of a version that has the table."""
    found = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'jobs'").fetchone()
    return found is not None


def listed(
    db: sqlite3.Connection, latest: int | None = None, project_id: str | None = None
) -> list[Job]:
    """All that are not over, and of the others so many of the latest (None: all); oldest first.
    `project_id`: only of this project, and those that are of none."""
    whose = "(?2 IS NULL OR project_id IN (?2, ''))"
    rows = db.execute(
        f"SELECT {COLUMNS} FROM jobs WHERE finished_ms IS NULL AND {whose}"
        f" UNION SELECT * FROM (SELECT {COLUMNS} FROM jobs WHERE finished_ms IS NOT NULL"
        f" AND {whose} ORDER BY requested_ms DESC LIMIT ?1)"
        " ORDER BY requested_ms, job_id",
        (-1 if latest is None else latest, project_id),
    )
    return [_job(row) for row in rows]


def find(db: sqlite3.Connection, job_id: str) -> Job | None:
    rows = db.execute(f"SELECT {COLUMNS} FROM jobs WHERE job_id = ?", (job_id,)).fetchall()
    return _job(rows[0]) if rows else None


def open_of_kind(db: sqlite3.Connection, *kinds: str) -> list[Job]:
    """Those of these kinds that are not over, oldest first."""
    marks = ", ".join("?" * len(kinds))
    rows = db.execute(
        f"SELECT {COLUMNS} FROM jobs WHERE finished_ms IS NULL AND kind IN ({marks})"
        " ORDER BY requested_ms, job_id",
        kinds,
    )
    return [_job(row) for row in rows]


def latest_alike(db: sqlite3.Connection, kind: str, project_id: str, about: str) -> Job | None:
    """The latest job with the same to do."""
    rows = db.execute(
        f"SELECT {COLUMNS} FROM jobs WHERE kind = ? AND project_id = ? AND about = ?"
        " ORDER BY requested_ms DESC LIMIT 1",
        (kind, project_id, about),
    ).fetchall()
    return _job(rows[0]) if rows else None


def start(
    db: sqlite3.Connection,
    job_id: str,
    kind: str,
    project_id: str,
    about: str,
    unit: str,
    may_cancel: bool,
) -> None:
    """Somebody is at work on it from now on; a job of this id that ended early is gone on with."""
    at = now_ms()
    db.execute(
        "INSERT INTO jobs (job_id, kind, project_id, about, state, unit, requested_ms, started_ms,"
        " may_cancel) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET state ="
        " excluded.state, step = '', done = 0, total = 0, unit = excluded.unit,"
        " started_ms = coalesce(started_ms, excluded.started_ms), finished_ms = NULL,"
        " may_cancel = excluded.may_cancel, cancel = 0, error = ''",
        (job_id, kind, project_id, about, RUNNING, unit, at, at, may_cancel),
    )


def ask(db: sqlite3.Connection, job_id: str, kind: str, project_id: str, about: str) -> None:
    """The server is to do it."""
    db.execute(
        "INSERT INTO jobs (job_id, kind, project_id, about, state, requested_ms, may_cancel)"
        " VALUES (?, ?, ?, ?, ?, ?, 1)",
        (job_id, kind, project_id, about, WAITING, now_ms()),
    )


def count(db: sqlite3.Connection, job_id: str, events: int) -> None:
    """So many events it took."""
    db.execute("UPDATE jobs SET events = ? WHERE job_id = ?", (events, job_id))


def keep_last_day(db: sqlite3.Connection, kind: str, project_id: str) -> None:
    """Of what is done every day, and is about it, the last day is enough to know."""
    db.execute(
        "DELETE FROM jobs WHERE kind = ?1 AND project_id = ?2 AND finished_ms IS NOT NULL"
        " AND about != (SELECT about FROM jobs WHERE kind = ?1 AND project_id = ?2"
        " ORDER BY requested_ms DESC, job_id LIMIT 1)",
        (kind, project_id),
    )


def events_of(db: sqlite3.Connection, kind: str, project_id: str, about: str) -> int:
    """How many events all that was done of this took."""
    (events,) = db.execute(
        "SELECT coalesce(sum(events), 0) FROM jobs"
        " WHERE kind = ? AND project_id = ? AND about = ? AND state = ?",
        (kind, project_id, about, DONE),
    ).fetchone()
    return int(events)


def latest(db: sqlite3.Connection, kind: str, project_id: str) -> Job | None:
    """The latest job of this kind that is done."""
    rows = db.execute(
        f"SELECT {COLUMNS} FROM jobs WHERE kind = ? AND project_id = ? AND state = ?"
        " ORDER BY finished_ms DESC LIMIT 1",
        (kind, project_id, DONE),
    ).fetchall()
    return _job(rows[0]) if rows else None


def drop_of_project(db: sqlite3.Connection, project_id: str) -> None:
    """The project is deleted, and all that was ever done for it goes, too."""
    db.execute("DELETE FROM jobs WHERE project_id = ?", (project_id,))


def note(db: sqlite3.Connection, job_id: str, step: str, done: int, total: int) -> bool:
    """How far it is; whether somebody asked for its end."""
    (cancel,) = db.execute(
        "UPDATE jobs SET step = ?, done = ?, total = ? WHERE job_id = ? RETURNING cancel",
        (step, done, total, job_id),
    ).fetchone()
    return bool(cancel)


def keep(db: sqlite3.Connection, job_id: str) -> None:
    """It cannot be cancelled any more: what it has begun has to be finished."""
    db.execute("UPDATE jobs SET may_cancel = 0 WHERE job_id = ?", (job_id,))


def end(db: sqlite3.Connection, job_ids: Sequence[str], state: str, error: str = "") -> None:
    """Nobody is at work on them any more."""
    db.executemany(
        "UPDATE jobs SET state = ?1, error = ?2, finished_ms = ?3,"
        " step = CASE WHEN ?1 = 'done' THEN '' ELSE step END,"
        " done = CASE WHEN ?1 = 'done' THEN total ELSE done END"
        " WHERE job_id = ?4",
        [(state, error, now_ms(), job_id) for job_id in job_ids],
    )


def ask_cancel(db: sqlite3.Connection, job_id: str) -> None:
    """Whoever is at work on it finds this at its next step."""
    db.execute("UPDATE jobs SET cancel = 1 WHERE job_id = ?", (job_id,))


def _job(row: Sequence[object]) -> Job:
    job = Job(*row)  # type: ignore[arg-type]
    return job._replace(may_cancel=bool(job.may_cancel), cancel=bool(job.cancel))
