"""Checks of what is in the files of the folder."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from threadline.cli.finding import Finding
from threadline.cli.opening import open_store
from threadline.contract.times import DAY_MS, format_ms, now_ms
from threadline.contract.words import counted
from threadline.control import Control, ControlError
from threadline.control import check as check_control
from threadline.ingest import dead_letters
from threadline.ingest.continuity import latest_loss
from threadline.ingest.log import open_db
from threadline.ingest.recovery import AtWork, alone
from threadline.jobs import jobs_db, table
from threadline.jobs.table import IMPORT
from threadline.jobs.working import interrupted
from threadline.migrations import SchemaError
from threadline.runtime.folder import ServerStarting
from threadline.settings import Settings
from threadline.store import (
    StoreError,
    unfinished,
)

GIB = 1024**3
RETENTION_LATE_MS = 2 * DAY_MS
BOTS_DAYS = 7
BOTS = """
    SELECT count() AS events, countIf(is_bot) AS bots FROM events
    WHERE received_at >= now() - toIntervalDay({days:UInt16})"""
# What happens on a page has had a channel since there are any.
NAMED_BEFORE = """
    SELECT count() AS events, countIf(channel = '' AND source_rule_id != 'no_page') AS older
    FROM events"""


def log(chosen: Settings, folder: Path) -> Finding:
    path = folder / "log.db"
    if not path.exists():
        return Finding("empty")
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
        events, size = db.execute(
            "SELECT total(events), total(length(body)) FROM records"
        ).fetchone()
        db.close()
    except sqlite3.Error as error:
        return Finding(f"{path}: {error}", "Restore the folder from a copy.")
    found = f"{counted(int(events), 'event')} on their way to the store, {size / GIB:.2f} GiB"
    if size > chosen.log_max_bytes / 2:
        return Finding(found, "The store does not keep up: look at its disk and the log.")
    return Finding(found)


def letters(chosen: Settings, folder: Path) -> Finding:
    if not (folder / "log.db").exists():
        return Finding("no dead letters")
    try:
        with closing(open_db(folder)) as db:
            letters = len(dead_letters.listed(db))
    except sqlite3.OperationalError:
        letters = 0  # a log of before there were any
    except sqlite3.Error:
        return Finding("not known: the log cannot be read")
    if letters:
        mend = "threadline dead-letter list says why; retry or drop them."
        return Finding(f"the store refused {counted(letters, 'event')}", mend)
    return Finding("no dead letters")


def work(chosen: Settings, folder: Path) -> Finding:
    """What a command is at work on now needs no mending."""
    try:
        with open_store(chosen) as store:
            works = unfinished(store)
    except (StoreError, SchemaError, ServerStarting):
        return Finding("not known: the store does not open")
    if not works:
        return _imports(folder)
    found = "; ".join(f"{work.name} of {work.subject} since {work.since}" for work in works)
    try:
        with alone(chosen):
            mend = " ".join(dict.fromkeys(work.left for work in works))
            return Finding(f"interrupted: {found}", mend)
    except AtWork:
        return Finding(f"under way: {found}")
    except ControlError as error:
        return Finding(f"interrupted, or under way on another node: {found}", str(error))


def _imports(folder: Path) -> Finding:
    """Those that were killed: half a file is in."""
    try:
        with jobs_db(folder) as db:
            killed = interrupted(db, folder, IMPORT) if db is not None else []
    except sqlite3.Error:
        return Finding("not known: the log cannot be read")
    if not killed:
        return Finding("nothing was interrupted")
    found = "; ".join(f"{job.job_id} of {job.about}" for job in killed)
    mend = "The same `threadline import` goes on where it was; `threadline jobs cancel` ends it."
    return Finding(f"interrupted: {found}", mend)


def retention(chosen: Settings, folder: Path) -> Finding:
    """Whether events that are older than their projects keep them go."""
    try:
        with Control.of(chosen, create=False) as control, jobs_db(folder) as db:
            limited = [each for each in control.projects() if each.keeping.is_limited]
            ran = {
                each.name: table.latest(db, table.RETENTION, each.project_id) if db else None
                for each in limited
            }
    except (ControlError, SchemaError, sqlite3.Error):
        return Finding("not known: fix what `control` and `log` report first")
    if not limited:
        return Finding("every project keeps its events for ever")
    late_ms = now_ms() - RETENTION_LATE_MS
    late = [name for name, job in ran.items() if ((job and job.finished_ms) or 0) < late_ms]
    if late:
        mend = "A running server does it once a day; without one, threadline retention run."
        return Finding(f"not in the last two days for {', '.join(late)}", mend)
    last_ms = min(job.finished_ms or 0 for job in ran.values() if job)
    return Finding(f"ran for {', '.join(ran)}, at {format_ms(last_ms)} or later")


def continuity(chosen: Settings, folder: Path) -> Finding:
    """Whether the log is the one that wrote into this store."""
    try:
        with open_store(chosen) as store:
            lost = latest_loss(store, chosen.dedup_days, time.time_ns() // 1_000_000)
            written = store.query("SELECT 1 AS one FROM logs LIMIT 1", {})
    except (StoreError, SchemaError, ServerStarting):
        return Finding("not known: the store does not open")
    if lost:
        return Finding(lost.meaning, lost.way_out)
    if written and not (folder / "log.db").exists():
        return Finding(
            f"{folder / 'log.db'} is gone, though the store was written from it",
            "Put log.db and log.db-wal back from a copy before the next start.",
        )
    return Finding("log and store belong together")


def bots(chosen: Settings, folder: Path) -> Finding:
    """Whether answers leave out most of what comes; that may be right."""
    try:
        with open_store(chosen) as store:
            (row,) = store.query(BOTS, {"days": BOTS_DAYS})
    except (StoreError, SchemaError, ServerStarting):
        return Finding("not known: the store does not open")
    found = f"{row['bots']:,} of the last {BOTS_DAYS} days' {row['events']:,} events are bots'"
    if row["bots"] * 2 <= row["events"]:
        return Finding(found)
    return Finding(
        f"{found}, and answers leave them out;"
        " `/v1/stats?group_by=browser&include_bots=true` names them"
    )


def control(chosen: Settings, folder: Path) -> Finding:
    problems = check_control(folder, chosen.control)
    if not problems:
        return Finding("keys, projects and pepper belong together")
    return Finding("; ".join(at.found for at in problems), " ".join(at.mend for at in problems))


def projects(chosen: Settings, folder: Path) -> Finding:
    try:
        with Control.of(chosen, create=False) as control:
            projects = control.projects()
    except (ControlError, SchemaError, sqlite3.Error) as error:
        return Finding(str(error), "Fix what `control` reports first.")
    if not projects:
        return Finding("none", "threadline project create NAME makes one.")
    without = [project.name for project in projects if not project.origins]
    found = ", ".join(project.name for project in projects)
    note = f" (no origin, so no browser key works: {', '.join(without)})" if without else ""
    return Finding(found + note)


def sources(chosen: Settings, folder: Path) -> Finding:
    """Whether answers mix today's names of sources with those of an older version."""
    try:
        with open_store(chosen) as store:
            (row,) = store.query(NAMED_BEFORE, {})
    except (StoreError, SchemaError, ServerStarting):
        return Finding("not known: the store does not open")
    if not row["older"]:
        return Finding("all are named by this version")
    return Finding(
        f"{row['older']:,} of {row['events']:,} events were named before there were channels",
        "threadline reclassify names them as events are named today.",
    )
