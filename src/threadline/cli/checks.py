"""What `threadline doctor` looks at: a table of named checks. One more is one line of it."""

import os
import re
import resource
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from threadline import settings
from threadline.cli import folders
from threadline.cli.opening import open_store
from threadline.cli.server import Server
from threadline.contract.errors import ApiError
from threadline.contract.times import DAY_MS, format_ms
from threadline.control import Control, ControlError
from threadline.control import check as check_control
from threadline.ingest import dead_letters
from threadline.ingest.continuity import latest_loss
from threadline.ingest.log import open_db
from threadline.ingest.recovery import AtWork, alone
from threadline.jobs import jobs_db
from threadline.jobs.table import IMPORT
from threadline.jobs.working import interrupted
from threadline.migrations import SchemaError
from threadline.runtime.folder import Running, ServerStarting, running_server
from threadline.settings import Settings, SettingsError
from threadline.store import (
    Store,
    StoreAway,
    StoreError,
    free_bytes,
    store_url,
    unfinished,
    without_password,
)

GIB = 1024**3
ANSWER_S = 10.0
LEAST_FREE_BYTES = 1 * GIB
# Each connection takes one, and the store some hundreds.
LEAST_DESCRIPTORS = 4096
OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO
# Visitors whose address was the proxy's, though the proxy had said theirs.
UNREAD_ADDRESSES = "threadline_forwarded_unread_total"


class Finding(NamedTuple):
    """`mend` says what to do; empty when nothing is wrong."""

    found: str
    mend: str = ""


Check = Callable[[Settings, Path], Finding]


def examine(data: str | None) -> Iterator[tuple[str, Finding]]:
    """All findings with the names of their checks, in the order in which one thing rests on
    another; without those that make no sense any more once one of the first has failed."""
    try:
        chosen = settings.load(data=data)
        file, left_out = settings.file_read(data=data), settings.file_left_out(data=data)
    except SettingsError as error:
        mend = "Correct the setting; docs/settings.md lists all of them."
        yield "config", Finding(str(error), mend)
        return
    folder = Path(chosen.data)
    found = f"data = {folder}, store = {without_password(chosen.store)}"
    found += f", read from {file} and the environment" if file else ", no threadline.toml"
    mend = f"{left_out} is not read, because {file} is; keep one of them." if left_out else ""
    yield "config", Finding(found, mend)
    for name, check in FIRST.items():
        finding = check(chosen, folder)
        yield name, finding
        if finding.mend:
            return
    for name, check in CHECKS.items():
        yield name, check(chosen, folder)


def _folder(chosen: Settings, folder: Path) -> Finding:
    try:
        owner = folder.stat().st_uid
    except PermissionError:
        mend = "Run this as the folder's owner: sudo -u OWNER threadline doctor"
        return Finding(f"{folder} may not be looked at by this user", mend)
    except FileNotFoundError:
        mend = "Start the server once (`threadline serve`), or name the right --data folder."
        return Finding(f"{folder} does not exist", mend)
    if owner != os.geteuid():
        return Finding(
            f"{folder} belongs to {folders.name_of(owner)}, not to {folders.name_of(os.geteuid())}",
            f"Run this as the folder's owner: {folders.as_owner(owner)}",
        )
    if strangers := list(_of_others(folder, owner)):
        return Finding(
            f"{len(strangers):,} files in {folder} belong to others, {strangers[0]} for one",
            f"Give them back: chown -R {folders.name_of(owner)} {folder}",
        )
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return Finding(f"{folder} is closed to its owner", f"Open it: chmod u+rwx {folder}")
    return Finding(f"{folder} is readable and writable")


def _access(chosen: Settings, folder: Path) -> Finding:
    """Whoever may enter the folder may read all events in it, and the salts of addresses."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & OPEN_TO_OTHERS:
        return Finding(
            f"other users of this machine may look into {folder} (mode {mode:04o})",
            f"Close it: chmod -R go= {folder}",
        )
    return Finding("no other user may look into the folder")


def _store(chosen: Settings, folder: Path) -> Finding:
    try:
        url = without_password(store_url(chosen.store, folder))
    except StoreError as error:
        return Finding(str(error), "Correct THREADLINE_STORE; docs/settings.md shows its forms.")
    return Finding(url)


def _data(chosen: Settings, folder: Path) -> Finding:
    """Without it there is nothing to look at, and nothing may be made by looking."""
    if not (folder / "control.db").exists():
        return Finding(
            f"{folder} holds no data of Threadline",
            "Name the right --data folder, or start with threadline project create NAME.",
        )
    local = Path(urlsplit(store_url(chosen.store, folder)).path)
    if chosen.store.startswith("chdb") and not local.exists() and _has_written(folder):
        return Finding(
            f"there is no store at {local}, though a log has written into one",
            "Stop the server and put the store's folder back from a copy.",
        )
    return Finding("projects and keys are there")


def _has_written(folder: Path) -> bool:
    """Whether the log has written anything into a store."""
    try:
        with closing(sqlite3.connect(f"file:{folder / 'log.db'}?mode=ro", uri=True)) as db:
            return bool(db.execute("SELECT written_seq FROM block").fetchone()[0])
    except (sqlite3.Error, TypeError):  # there is no log, or it has not begun
        return False


def _engine(chosen: Settings, folder: Path) -> Finding:
    try:
        server = running_server(folder)
    except ServerStarting as error:
        return Finding(str(error), "Ask again in a few seconds.")
    if server:
        return _engine_of(server)
    try:
        with Store(store_url(chosen.store, folder)) as store:
            version = store.query("SELECT version() AS version", {})[0]["version"]
    except StoreAway as error:
        return Finding(str(error), "Start ClickHouse, or correct THREADLINE_STORE.")
    except (StoreError, SchemaError) as error:
        mend = "Restore the folder from a copy, or start the Threadline version that wrote it."
        if not chosen.store.startswith("chdb"):
            mend = "Correct THREADLINE_STORE, or what ClickHouse complains of."
        return Finding(str(error), mend)
    return Finding(f"ClickHouse {version} opens the store; no Threadline server runs")


def _engine_of(running: Running) -> Finding:
    where = f"the server at {running.url} (process {running.pid})"
    try:
        status = Server(running.url, timeout_s=ANSWER_S).reply("/readyz").status
    except ApiError as error:
        return Finding(f"{where}: {error}", "If it is not just starting, read its log.")
    if status == 200:
        return Finding(f"{where} is ready")
    if status == 503:
        mend = "Its store is away: start ClickHouse, or correct THREADLINE_STORE."
        return Finding(f"{where} is not ready", mend)
    return Finding(f"{where} answers {status}", "If it is not just starting, read its log.")


def _disk(chosen: Settings, folder: Path) -> Finding:
    free = free_bytes(folder)
    found = f"{free / GIB:.1f} GiB free"
    if free < LEAST_FREE_BYTES:
        return Finding(found, "Free some space: a full disk answers new events with 503.")
    return Finding(found)


def _clock(chosen: Settings, folder: Path) -> Finding:
    """A clock that was set back shows in files from the future."""
    now_ms = time.time_ns() // 1_000_000
    newest_ms = max(int(file.stat().st_mtime * 1000) for file in folder.iterdir())
    found = f"{format_ms(now_ms)} (UTC)"
    if newest_ms > now_ms + DAY_MS:
        mend = "Set the clock (timedatectl set-ntp true): events get their time from it."
        return Finding(f"{found} is before the newest file, {format_ms(newest_ms)}", mend)
    return Finding(found)


def _log(chosen: Settings, folder: Path) -> Finding:
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
    found = f"{int(events):,} events on their way to the store, {size / GIB:.2f} GiB"
    if size > chosen.log_max_bytes / 2:
        return Finding(found, "The store does not keep up: look at its disk and the log.")
    return Finding(found)


def _letters(chosen: Settings, folder: Path) -> Finding:
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
        return Finding(f"the store refused {letters:,} events", mend)
    return Finding("no dead letters")


def _work(chosen: Settings, folder: Path) -> Finding:
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
        with alone(folder):
            mend = " ".join(dict.fromkeys(work.left for work in works))
            return Finding(f"interrupted: {found}", mend)
    except AtWork:
        return Finding(f"under way: {found}")


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


def _continuity(chosen: Settings, folder: Path) -> Finding:
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


def _control(chosen: Settings, folder: Path) -> Finding:
    problems = check_control(folder)
    if not problems:
        return Finding("keys, projects and pepper belong together")
    return Finding("; ".join(at.found for at in problems), " ".join(at.mend for at in problems))


def _projects(chosen: Settings, folder: Path) -> Finding:
    try:
        with Control(folder, create=False) as control:
            projects = control.projects()
    except (ControlError, SchemaError, sqlite3.Error) as error:
        return Finding(str(error), "Mend what `control` says first.")
    if not projects:
        return Finding("none", "threadline project create NAME makes one.")
    without = [project.name for project in projects if not project.origins]
    found = ", ".join(project.name for project in projects)
    note = f" (no origin, so no browser key works: {', '.join(without)})" if without else ""
    return Finding(found + note)


def _limits(chosen: Settings, folder: Path) -> Finding:
    """Of the server that runs; else what one that this user starts would get."""
    server = _server(folder)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    whose = "a server may have"
    if server and (limits := Path(f"/proc/{server.pid}/limits")).exists():
        (soft,) = re.findall(r"^Max open files +(\S+)", limits.read_text(), re.MULTILINE)
        most = resource.RLIM_INFINITY if soft == "unlimited" else int(soft)
        whose = "the server may have"
    if most == resource.RLIM_INFINITY:
        return Finding(f"{whose} any number of files and connections open")
    found = f"{whose} {most:,} files and connections open"
    if most < LEAST_DESCRIPTORS:
        return Finding(
            found, "Raise it: LimitNOFILE=65536 in the systemd unit, or ulimit -n 65536."
        )
    return Finding(found)


def _proxy(chosen: Settings, folder: Path) -> Finding:
    """Behind a proxy whose header is not read, all visitors share one address and its limits."""
    if chosen.client_address_header:
        return Finding(f"addresses of visitors are read from {chosen.client_address_header}")
    server = _server(folder)
    unread = _metric(server, folder, UNREAD_ADDRESSES) if server else None
    if unread:
        return Finding(
            f"{unread:,.0f} requests came through a proxy whose address header is not read: all"
            " visitors behind it count as one address",
            "Set THREADLINE_CLIENT_ADDRESS_HEADER to the header that your proxy sets, such as"
            " X-Forwarded-For.",
        )
    return Finding("addresses of visitors are those of their connections")


def _server(folder: Path) -> Running | None:
    try:
        return running_server(folder)
    except ServerStarting:
        return None


def _metric(running: Running, folder: Path, name: str) -> float | None:
    """A number of the server's `/metrics`, all its labels together; none where it is not said."""
    try:
        with Control(folder, create=False) as control:
            projects = control.projects()
            if not projects:
                return None
            with control.temporary_key(projects[0].project_id, "rk") as key:
                text = Server(running.url, key, ANSWER_S).reply("/metrics").text
    except (ControlError, ApiError):
        return None
    lines = [line for line in text.splitlines() if line.partition("{")[0].split(" ")[0] == name]
    return sum(float(line.split()[-1]) for line in lines) if lines else None


def _of_others(folder: Path, owner: int) -> Iterator[Path]:
    """What in the folder belongs to another user, down to the files of the store."""
    # Parts are merged away while we look, whole folders of them.
    for where, folders_here, files in os.walk(folder):
        for name in (*folders_here, *files):
            path = Path(where, name)
            with suppress(FileNotFoundError):
                if path.lstat().st_uid != owner:
                    yield path


# Without these the others make no sense.
FIRST: dict[str, Check] = {
    "folder": _folder,
    "store": _store,
    "data": _data,
}
CHECKS: dict[str, Check] = {
    "access": _access,
    "engine": _engine,
    "disk": _disk,
    "clock": _clock,
    "log": _log,
    "letters": _letters,
    "work": _work,
    "continuity": _continuity,
    "control": _control,
    "projects": _projects,
    "limits": _limits,
    "proxy": _proxy,
}
