"""The server finishes what was interrupted: what a killed command or server left."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import structlog

from threadline.classify import Site
from threadline.contract.times import parse_ms
from threadline.control import ControlError
from threadline.ingest.reclassify import outdated, reclassify
from threadline.ingest.recovery import (
    AtWork,
    alone,
    end_alike,
    finish_rebuilds,
    rebuild_states,
)
from threadline.jobs import Cancelled, Job, Work, jobs_db, table, work
from threadline.jobs.working import interrupted
from threadline.runtime.admin_socket import STATEMENT_S
from threadline.runtime.housekeeping import persistent
from threadline.runtime.services import Services, site_of
from threadline.runtime.socket_store import SocketStore
from threadline.settings import Settings
from threadline.store import (
    REBUILD,
    Params,
    Row,
    Statements,
    Store,
    StoreBusy,
    StoreError,
    unfinished,
)

LOOK_EVERY_S = 5.0
# A statement that still runs ends with the process, and is done again after the next start.
STOP_S = 2.0

_logger = structlog.get_logger("threadline.recovery")


def interrupted_work_finished(services: Services) -> AbstractContextManager[None]:
    """Look for it now and again and again, on a thread of its own, as long as the block lasts.

    What a command is at work on has its lock, and is left to it.
    """

    def look(stopping: threading.Event) -> None:
        if services.store.is_open:
            _look_and_finish(services, stopping)

    later = (_Stopping, StoreBusy)
    return persistent(look, LOOK_EVERY_S, "recovery", "interrupted_work_failed", later, STOP_S)


def _look_and_finish(services: Services, stopping: threading.Event) -> None:
    """Whatever was interrupted: a reclassify first, for a rebuild that it needs comes after it."""
    services.unfinished = unfinished(services.store)
    folder = Path(services.settings.data)
    marked = any(mark.name == REBUILD for mark in services.unfinished)
    killed = _killed(folder)
    if not marked and not killed:
        return
    try:
        with alone(services.settings), _commands_store(services) as store:
            until_stopping = _UntilStopping(store, stopping.is_set)
            for job in killed:
                _resume_reclassify(services, until_stopping, job, stopping)
            _resume_rebuild(services, until_stopping, stopping)
    except AtWork:
        return


def _killed(folder: Path) -> list[Job]:
    """Each reclassify whose process is no more. One that was stopped by hand waits for its user."""
    with jobs_db(folder) as db:
        return interrupted(db, folder, table.RECLASSIFY) if db is not None else []


def _resume_reclassify(
    services: Services, store: Statements, job: Job, stopping: threading.Event
) -> None:
    """From where it was: what it has named carries the version of the rules by now."""
    folder = Path(services.settings.data)
    try:
        site = site_of(services.control.project(job.project_id))
    except ControlError as error:  # the project is gone, and nobody can go on
        with jobs_db(folder) as db:
            if db is not None:
                table.end(db, [job.job_id], table.FAILED, str(error))
        return
    _logger.info("reclassify_resumed", project_id=job.project_id, job_id=job.job_id)
    try:
        with work(
            folder, table.RECLASSIFY, job.project_id, job.about, "visits", left_by=LEFT_BY
        ) as working:
            _reclassify(store, services.settings, job, site, working, lambda: not stopping.is_set())
    except Cancelled:
        return
    services.unfinished = unfinished(services.store)
    _logger.info("reclassify_finished", project_id=job.project_id, job_id=job.job_id)


def _reclassify(
    store: Statements,
    settings: Settings,
    job: Job,
    site: Site,
    working: Work,
    served: Callable[[], bool],
) -> None:
    since_ms = parse_ms(job.about) if job.about else 0
    total = outdated(store, job.project_id, site, since_ms)
    named = 0

    def progressed(visits: int) -> None:
        nonlocal named
        named += visits
        working.progress(named, total)

    def rebuild(tables: Sequence[str]) -> None:
        working.keep()
        rebuild_states(store, settings, tables, served)

    reclassify(store, job.project_id, site, since_ms, True, progressed, rebuild)


def _resume_rebuild(services: Services, store: Statements, stopping: threading.Event) -> None:
    marks = [mark for mark in unfinished(services.store) if mark.name == REBUILD]
    folder = Path(services.settings.data)
    if not marks:
        return
    started = time.monotonic()
    tables = [mark.subject for mark in marks]
    _logger.info("rebuild_resumed", tables=tables, since=marks[0].since)
    with work(folder, table.REBUILD, unit="tables", may_cancel=False, left_by=LEFT_BY) as working:

        def progressed(name: str) -> None:
            working.progress(tables.index(name), len(tables), name, now=True)

        finished = finish_rebuilds(
            store, services.settings, lambda: not stopping.is_set(), progressed
        )
        end_alike(folder, table.REBUILD)
    services.unfinished = unfinished(services.store)
    took_s = round(time.monotonic() - started, 1)
    _logger.info("rebuild_finished", tables=finished, seconds=took_s)


@contextmanager
def _commands_store(services: Services) -> Iterator[Statements]:
    """The store as commands reach it: by the admin socket a statement comes after those that a
    killed command left there."""
    folder = Path(services.settings.data)
    if services.settings.store.startswith("chdb"):
        yield SocketStore(folder)
        return
    with Store(services.store.url, query_seconds=STATEMENT_S) as store:
        yield store


class _Stopping(Exception):
    """The server stops."""


# After these it has still to be done, by the next start, or when the store is there again.
LEFT_BY = (_Stopping, StoreError)


class _UntilStopping:
    """A store whose next statement is not carried out once the server stops."""

    def __init__(self, store: Statements, stopping: Callable[[], bool]) -> None:
        self._store = store
        self._stopping = stopping

    @property
    def nodes(self) -> Sequence[Statements]:
        return [_UntilStopping(node, self._stopping) for node in self._store.nodes]

    def query(self, sql: str, params: Params) -> list[Row]:
        self._check()
        return self._store.query(sql, params)

    def look(self, sql: str, params: Params) -> list[Row]:
        self._check()
        return self._store.look(sql, params)

    def execute(self, sql: str, params: Params | None = None) -> None:
        self._check()
        self._store.execute(sql, params)

    def insert(
        self, table: str, columns: Sequence[str], format: str, body: bytes, token: str
    ) -> None:
        self._check()
        self._store.insert(table, columns, format, body, token)

    def _check(self) -> None:
        if self._stopping():
            raise _Stopping
