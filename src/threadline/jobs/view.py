"""Jobs as people and programs see them."""

import sqlite3
from pathlib import Path
from typing import NamedTuple

from threadline.contract.times import format_ms, now_ms
from threadline.jobs import locks, table
from threadline.jobs.table import Job
from threadline.jobs.working import JobError

LATEST = 20

# What each state means to who reads it.
MEANINGS = {
    table.WAITING: "waits for the server to carry it out",
    table.RUNNING: "is being worked on",
    table.ERASING: "in no answer any more; the disk is being cleaned",
    table.STOPPED: "was stopped by hand; the same command continues it",
    table.INTERRUPTED: "the process that worked on it was killed",
    table.DONE: "done",
    table.FAILED: "failed",
    table.CANCELLED: "was cancelled",
}
OVER = (table.DONE, table.FAILED, table.CANCELLED, table.STOPPED)


class Shown(NamedTuple):
    """One job. `progress`: from 0 to 1, None where it is not known. Times: ISO 8601, None: not yet;
    `took_s`: so far, where it is not over."""

    job_id: str
    kind: str
    project: str
    about: str
    state: str
    meaning: str
    step: str
    done: int
    total: int
    unit: str
    progress: float | None
    requested: str
    started: str | None
    finished: str | None
    took_s: float | None
    cancelling: bool
    error: str
    events: int | None


def shown(
    db: sqlite3.Connection,
    folder: Path,
    latest: int | None = LATEST,
    project_id: str | None = None,
) -> list[Shown]:
    """All that are not over, and of the others the latest; oldest first. `project_id`: only of
    this project, and those that are of none."""
    return [_shown(job, folder) for job in table.listed(db, latest, project_id)]


def state_of(job: Job, folder: Path) -> str:
    """Its state, `interrupted` where nobody is at work on what its row says is running."""
    by_server = job.kind == table.FORGET
    if job.state == table.RUNNING and not by_server and not locks.is_at_work(folder, job.job_id):
        return table.INTERRUPTED
    return job.state


def cancel(db: sqlite3.Connection, folder: Path, job_id: str) -> str:
    """Ask for a job's end; a sentence that says what happens. Raises `JobError` if it cannot."""
    job = table.find(db, job_id)
    if job is None:
        raise JobError(f"There is no job {job_id}; `threadline jobs --all` lists all.")
    state = state_of(job, folder)
    if job.kind == table.FORGET:
        raise JobError("A request to forget somebody cannot be taken back.")
    if state in (table.DONE, table.FAILED, table.CANCELLED):
        raise JobError(f"{job_id} is over: {MEANINGS[state]}.")
    if not job.may_cancel:
        raise JobError(
            f"{job_id} cannot be cancelled: the tables that it writes would be left wrong."
        )
    if state == table.RUNNING:
        table.ask_cancel(db, job_id)
        return f"{job_id} stops at its next step; `threadline jobs` shows when it has."
    table.end(db, [job_id], table.CANCELLED)
    return f"{job_id} is cancelled and will not be continued."


def _shown(job: Job, folder: Path) -> Shown:
    state = state_of(job, folder)
    until_ms = job.finished_ms or now_ms()
    began_ms = job.started_ms
    return Shown(
        job_id=job.job_id,
        kind=job.kind,
        project=job.project_id,
        about=job.about,
        state=state,
        meaning=MEANINGS[state],
        step=job.step,
        done=job.done,
        total=job.total,
        unit=job.unit,
        progress=1.0 if state == table.DONE else _share(job),
        requested=format_ms(job.requested_ms),
        started=format_ms(began_ms) if began_ms else None,
        finished=format_ms(job.finished_ms) if job.finished_ms else None,
        took_s=round(max(0, until_ms - began_ms) / 1000, 1) if began_ms else None,
        cancelling=job.cancel and state == table.RUNNING,
        error=job.error,
        events=job.events,
    )


def _share(job: Job) -> float | None:
    return round(min(1.0, job.done / job.total), 3) if job.total else None
