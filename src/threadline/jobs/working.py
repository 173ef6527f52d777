"""Being at work on a job: its row says so, how far it is, and how it ended."""

import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from threadline import migrations
from threadline.jobs import locks, table
from threadline.jobs.table import CANCELLED, DONE, ENDED_EARLY, FAILED, STOPPED, Job

# How often the row is written while little changes.
NOTE_EVERY_S = 0.5
# How long to wait for whoever writes the log's file.
BUSY_S = 10.0


class JobError(Exception):
    """What was asked of a job cannot be done; the message says why."""


class Cancelled(JobError):
    """Somebody asked for the end of the job."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"Cancelled by threadline jobs cancel {job_id}.")


class Work:
    """The job that this process is at work on."""

    def __init__(self, db: sqlite3.Connection | None, job_id: str) -> None:
        """`db`: None where there is no table to write to."""
        self._db = db
        self.job_id = job_id
        self._noted_at = -NOTE_EVERY_S
        self._kept = False

    def progress(self, done: int, total: int = 0, step: str = "", now: bool = False) -> None:
        """So much is done of so much (0: not known). Written a few times a second, or `now`.

        Raises `Cancelled` if somebody asked for that: call it where stopping is safe.
        """
        if self._db is None or not (now or time.monotonic() - self._noted_at > NOTE_EVERY_S):
            return
        self._noted_at = time.monotonic()
        with suppress(sqlite3.OperationalError):  # the file is locked: the next time it is written
            if table.note(self._db, self.job_id, step, done, total) and not self._kept:
                raise Cancelled(self.job_id)

    def count(self, events: int) -> None:
        """So many events it took."""
        if self._db is not None:
            table.count(self._db, self.job_id, events)

    def keep(self) -> None:
        """From here on it has to be finished, so it cannot be cancelled any more."""
        self._kept = True
        if self._db is not None:
            table.keep(self._db, self.job_id)


@contextmanager
def jobs_db(folder: Path) -> Iterator[sqlite3.Connection | None]:
    """The log's file, for what is done with jobs; None where there is none. What is written here
    may get lost in a power cut: then a job is taken for interrupted, and is done again. So it need
    not be waited for."""
    if not (folder / "log.db").exists():
        yield None
        return
    uri = f"{(folder / 'log.db').resolve().as_uri()}?mode=rw"
    db = sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_S
    )
    with closing(db):
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA secure_delete = FAST")
        yield db if table.exists(db) or _migrated(db) else None


def _migrated(db: sqlite3.Connection) -> bool:
    """A command may come before the first start of a new version."""
    try:
        db.execute("SELECT 1 FROM schema_migrations")
    except sqlite3.OperationalError:
        return False
    migrations.migrate_sqlite("The log (log.db)", db, "threadline.ingest")
    return True


@contextmanager
def work(
    folder: Path,
    kind: str,
    project_id: str = "",
    about: str = "",
    unit: str = "",
    may_cancel: bool = True,
    left_by: tuple[type[BaseException], ...] = (),
) -> Iterator[Work]:
    """Be at work on this as long as the block lasts. A job with the same to do that ended early is
    gone on with.

    `left_by`: what ends the block while the job has still to be done, so that it counts as
    interrupted. Raises `JobError` if another process is at work on the same.
    """
    with ExitStack() as opened:
        db = opened.enter_context(jobs_db(folder))
        job_id = _id(db, kind, project_id, about)
        try:
            opened.enter_context(locks.at_work(folder, job_id))
        except locks.JobHeld:
            raise JobError(
                f"Another process is at work on this: job {job_id}. `threadline jobs` shows how far"
                " it is."
            ) from None
        if db is not None:
            table.start(db, job_id, kind, project_id, about, unit, may_cancel)
        working = Work(db, job_id)
        state, error = FAILED, ""
        try:
            yield working
            state = DONE
        except left_by:
            state = ""
            raise
        except Cancelled:
            state = CANCELLED
            raise
        except KeyboardInterrupt:
            state = STOPPED
            raise
        except BaseException as failure:
            error = str(failure)
            raise
        finally:
            if db is not None and state:
                table.end(db, [job_id], state, error)


def _id(db: sqlite3.Connection | None, kind: str, project_id: str, about: str) -> str:
    """That of the job to go on with, or a new one."""
    before = table.latest_alike(db, kind, project_id, about) if db is not None else None
    if before is not None and before.state in ENDED_EARLY:
        return before.job_id
    return f"{kind}-{secrets.token_hex(4)}"


def interrupted(db: sqlite3.Connection, folder: Path, *kinds: str) -> list[Job]:
    """Jobs of these kinds whose rows say that they run, while nobody is at work on them."""
    return [
        job
        for job in table.open_of_kind(db, *kinds)
        if job.state == table.RUNNING and not locks.is_at_work(folder, job.job_id)
    ]
