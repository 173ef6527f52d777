"""What the server does by itself, now and again: events that are older than a project keeps them
go, and what is stored of deleted projects."""

import threading
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager
from pathlib import Path

import structlog

from threadline.contract.times import DAY_MS, format_day, format_ms, now_ms, parse_ms
from threadline.control import Project
from threadline.ingest import expiry, removal
from threadline.ingest.recovery import AtWork, alone
from threadline.ingest.too_old import Cuts
from threadline.jobs import JobError, jobs_db, table, work
from threadline.runtime.housekeeping import persistent
from threadline.runtime.services import CATCH_UP_S, Services
from threadline.store import StoreBusy, StoreError, bound_ms

LOOK_EVERY_S = 5.0
STOP_S = 10.0
# The store was told to, and the next start goes on.
LEFT_BY = (CancelledError, StoreError)

_logger = structlog.get_logger("threadline.upkeep")


class NotYet(JobError):
    """What is acknowledged has to be in the store first, and the store does not keep up."""


def kept_up(services: Services) -> AbstractContextManager[None]:
    """Look for it on a thread of its own, as long as the block lasts."""

    def look(stopping: threading.Event) -> None:
        if services.store.is_open:
            look_around(services)

    later = (AtWork, StoreBusy, NotYet, CancelledError)
    asked = services.upkeep_asked
    return persistent(look, LOOK_EVERY_S, "upkeep", "upkeep_failed", later, STOP_S, asked)


def look_around(services: Services) -> None:
    """All that is to be done now."""
    for project_id in services.control.deleted_projects():
        remove(services, project_id)
    if services.node:
        _clear_folder(services)
    for cuts in _interrupted(services):
        _expire(services, cuts, format_day(now_ms() // DAY_MS))
    _look_at_age(services)


# -- events that are older than they are kept ---------------------------------------------------


def _interrupted(services: Services) -> list[Cuts]:
    """Those of projects that are still there."""
    there = {project.project_id for project in services.control.projects()}
    return [cuts for cuts in expiry.interrupted(services.store) if cuts.project_id in there]


def _look_at_age(services: Services) -> None:
    today = services.control.today()
    snapshot = services.control.look()
    limited = [
        project
        for project in snapshot.projects
        if project.keeping.is_limited or project.project_id in snapshot.touches_kept
    ]
    if not limited:
        return
    for project, days in _due(services, limited, today):
        for day in days:
            expire(services, project, day)
    with jobs_db(Path(services.settings.data)) as db:
        assert db is not None
        ran = [table.latest(db, table.RETENTION, project.project_id) for project in limited]
    at_ms = [job.finished_ms for job in ran if job and job.finished_ms]
    services.metrics.retention_ran.set(min(at_ms, default=0) / 1000)


def _due(services: Services, limited: list[Project], today: int) -> list[tuple[Project, list[int]]]:
    """The days that each is still to be looked at for: today, and those that somebody asked for."""
    with jobs_db(Path(services.settings.data)) as db:
        assert db is not None
        asked = [
            job for job in table.open_of_kind(db, table.RETENTION) if job.state == table.WAITING
        ]
        found = []
        for project in limited:
            days = {
                parse_ms(job.about) // DAY_MS
                for job in asked
                if job.project_id == project.project_id
            }
            last = table.latest(db, table.RETENTION, project.project_id)
            if last is None or last.about < format_day(today):
                days.add(today)
            found.append((project, sorted(days)))
    return found


def expire(services: Services, project: Project, today: int) -> int:
    """Delete what the project does not keep any longer on this day, counted from 1970 (UTC); how
    many events that were. Raises `AtWork`, `JobError`, `NotYet` or `StoreError`."""
    return _expire(services, Cuts.of(project.project_id, project.keeping, today), format_day(today))


def _expire(services: Services, cuts: Cuts, day: str) -> int:
    folder, project_id = Path(services.settings.data), cuts.project_id
    with (
        alone(services.settings),
        work(
            folder, table.RETENTION, project_id, day, "tables", may_cancel=False, left_by=LEFT_BY
        ) as job,
    ):
        _catch_up(services)
        outlived = services.control.touches_kept(project_id) is not None
        if cuts.first_touch and not outlived:
            # Before anything goes: a rebuild has to know.
            services.control.keep_touches(project_id, cuts.latest_ms)
        events = expiry.expire(
            services.store,
            cuts,
            outlived,
            services.writer.no_inserts,
            lambda step: job.progress(0, 0, step, now=True),
        )
        kept_ms = cuts.latest_ms if cuts.first_touch else None
        services.control.keep_touches(project_id, kept_ms)
        job.count(events)
        # Also where another process deleted it, and was killed before this.
        services.writer.erase().result()
        if events:
            services.metrics.expired.inc(events)
            _logger.info(
                "events_expired",
                project_id=project_id,
                events=events,
                before=format_ms(cuts.latest_ms),
            )
    with jobs_db(folder) as db:
        if db is not None:
            table.keep_last_day(db, table.RETENTION, project_id)
    return events


# -- deleted projects ---------------------------------------------------------------------------


def remove(services: Services, project_id: str) -> None:
    """Delete all that is stored of a project that was deleted. Raises `AtWork`, `JobError`,
    `NotYet` or `StoreError`."""
    folder, store = Path(services.settings.data), services.store
    about = f"a project, deleted {format_ms(services.control.deleted_at(project_id))}"
    tables = len(removal.TABLES)
    with (
        alone(services.settings),
        work(folder, table.DELETE, "", about, "tables", may_cancel=False, left_by=LEFT_BY) as job,
    ):
        while True:
            _catch_up(services)
            since_ms = now_ms() - (services.settings.dedup_days + 1) * DAY_MS
            removal.forget_event_ids(
                store,
                project_id,
                services.log.id_key,
                bound_ms(since_ms),
                services.writer.forget_ids,
            )
            removal.remove_from_store(
                store,
                project_id,
                services.writer.no_inserts,
                lambda done, name: job.progress(done, tables, name, now=True),
            )
            with jobs_db(folder) as db:
                if db is not None:
                    removal.remove_from_folder(db, folder, project_id)
            services.asking.let_go(project_id)
            services.refusals.let_go(project_id)
            job.progress(tables, tables, "the disk", now=True)
            services.writer.erase().result()
            # A request may have been on its way when the project was deleted.
            if not removal.is_any_left(store, project_id):
                break
        services.control.strike_off(project_id)
    _logger.info("project_deleted", about=about)


def _clear_folder(services: Services) -> None:
    """Of projects that another node has deleted."""
    folder, control = Path(services.settings.data), services.control
    there = {project.project_id for project in control.projects()} | {*control.deleted_projects()}
    with jobs_db(folder) as db:
        assert db is not None
        for project_id in removal.in_folder(db) - there:
            removal.remove_from_folder(db, folder, project_id)


def _catch_up(services: Services) -> None:
    if not services.writer.catch_up(CATCH_UP_S):
        raise NotYet("What was acknowledged is not in the store yet; try again.")
    if services.node and (behind := services.node.behind(CATCH_UP_S)):
        raise NotYet(
            f"What {', '.join(behind)} acknowledged is not in the store yet; start it again, or, if"
            " its data folder is lost for good, take it off the list: threadline node remove."
        )
