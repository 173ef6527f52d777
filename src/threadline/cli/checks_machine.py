"""Checks of the folder as such, of the machine, and of the server that runs on it."""

import os
import re
import resource
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

from threadline.cli import folders
from threadline.cli.finding import Finding
from threadline.cli.server import Server
from threadline.contract.errors import ApiError
from threadline.contract.times import DAY_MS, format_ms
from threadline.control import Control, ControlError
from threadline.control.address import without_password as without_password_of_control
from threadline.migrations import SchemaError
from threadline.runtime import events_store
from threadline.runtime.events_store import EventsElsewhere
from threadline.runtime.folder import Running, ServerStarting, running_server
from threadline.settings import Settings
from threadline.settings_files import FILE
from threadline.store import Store, StoreAway, StoreError, free_bytes, store_url, without_password

GIB = 1024**3
ANSWER_S = 10.0
LEAST_FREE_BYTES = 1 * GIB
# Each connection takes one, and the store some hundreds.
LEAST_DESCRIPTORS = 4096
OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO
# Visitors whose address was the proxy's, though the proxy had said theirs.
UNREAD_ADDRESSES = "threadline_forwarded_unread_total"


def folder(chosen: Settings, folder: Path) -> Finding:
    try:
        owner = folder.stat().st_uid
    except PermissionError:
        closed_by = folders.owner_of_closed(folder)
        mend = f"Run this as the folder's owner: {folders.as_owner(closed_by, folder)}"
        return Finding(f"{folder} cannot be read by this user", mend)
    except FileNotFoundError:
        mend = "Start the server once (`threadline serve`), or name the right --data folder."
        return Finding(f"{folder} does not exist", mend)
    if owner != os.geteuid():
        return Finding(
            f"{folder} belongs to {folders.name_of(owner)}, not to {folders.name_of(os.geteuid())}",
            f"Run this as the folder's owner: {folders.as_owner(owner, folder)}",
        )
    if strangers := list(_of_others(folder, owner)):
        return Finding(
            f"{len(strangers):,} files in {folder} belong to others, {strangers[0]} for one",
            f"Give them back: chown -R {folders.name_of(owner)} {folder}",
        )
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return Finding(f"{folder} is closed to its owner", f"Open it: chmod u+rwx {folder}")
    return Finding(f"{folder} is readable and writable")


def access(chosen: Settings, folder: Path) -> Finding:
    """Whoever may enter the folder may read all events in it, and the salts of addresses."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & OPEN_TO_OTHERS:
        return Finding(
            f"other users of this machine may look into {folder} (mode {mode:04o})",
            f"Close it: chmod -R go= {folder}",
        )
    if found := list(_open_to_others(folder)):
        return Finding(
            f"{len(found):,} files in {folder} are open to other users of this machine, should they"
            f" get there: {found[0]} for one (mode {stat.S_IMODE(found[0].lstat().st_mode):04o})",
            f"Close them: chmod -R go= {folder}",
        )
    return Finding("no other user may look into the folder, nor into any file of it")


def store(chosen: Settings, folder: Path) -> Finding:
    try:
        url = without_password(store_url(chosen.store, folder))
    except StoreError as error:
        return Finding(str(error), "Correct THREADLINE_STORE; docs/settings.md shows its forms.")
    return Finding(url)


def data(chosen: Settings, folder: Path) -> Finding:
    """Without it there is nothing to look at, and nothing may be made by looking."""
    if chosen.control_is_missing:
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
    if not chosen.control_in_folder:
        return _control_elsewhere(chosen)
    return Finding("projects and keys are there")


def _control_elsewhere(chosen: Settings) -> Finding:
    try:
        return Finding(f"projects and keys are in {without_password_of_control(chosen.control)}")
    except ControlError as error:
        found, _, mend = str(error).partition(". ")
        return Finding(found, mend)


def _has_written(folder: Path) -> bool:
    """Whether the log has written anything into a store."""
    try:
        with closing(sqlite3.connect(f"file:{folder / 'log.db'}?mode=ro", uri=True)) as db:
            return bool(db.execute("SELECT written_seq FROM block").fetchone()[0])
    except (sqlite3.Error, TypeError):  # there is no log, or it has not begun
        return False


def engine(chosen: Settings, folder: Path) -> Finding:
    try:
        server = running_server(folder)
    except ServerStarting as error:
        return Finding(str(error), "Ask again in a few seconds.")
    if server:
        return _engine_of(server)
    try:
        url = store_url(chosen.store, folder)
        with Store(url) as store:
            events_store.check(folder, url, store)
            version = store.query("SELECT version() AS version", {})[0]["version"]
    except StoreAway as error:
        return Finding(str(error), "Start ClickHouse, or correct THREADLINE_STORE.")
    except EventsElsewhere as error:
        return Finding(str(error), "Set THREADLINE_STORE as it says.")
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


def disk(chosen: Settings, folder: Path) -> Finding:
    free = free_bytes(folder)
    found = f"{free / GIB:.1f} GiB free"
    if free < LEAST_FREE_BYTES:
        return Finding(found, "Free some space: a full disk answers new events with 503.")
    return Finding(found)


def clock(chosen: Settings, folder: Path) -> Finding:
    """A clock that was set back shows in files from the future."""
    now_ms = time.time_ns() // 1_000_000
    newest_ms = max(int(file.stat().st_mtime * 1000) for file in folder.iterdir())
    found = f"{format_ms(now_ms)} (UTC)"
    if newest_ms > now_ms + DAY_MS:
        mend = "Set the clock (timedatectl set-ntp true): events get their time from it."
        return Finding(f"{found} is before the newest file, {format_ms(newest_ms)}", mend)
    return Finding(found)


def limits(chosen: Settings, folder: Path) -> Finding:
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


def proxy(chosen: Settings, folder: Path) -> Finding:
    """Behind a proxy whose header is not read, all visitors share one address and its limits."""
    if chosen.client_address_header:
        return Finding(f"addresses of visitors are read from {chosen.client_address_header}")
    server = _server(folder)
    unread = metric(server, chosen, UNREAD_ADDRESSES) if server else None
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


def metric(running: Running, chosen: Settings, name: str) -> float | None:
    """A number of the server's `/metrics`, all its labels together; none where it is not said."""
    try:
        with Control.of(chosen, create=False) as control:
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
    return (path for path, status in _all_files(folder) if status.st_uid != owner)


def _open_to_others(folder: Path) -> Iterator[Path]:
    """What of ours is not for its owner alone; a link is what it leads to, and settings are kept as
    whoever wrote them wants."""
    for path, status in _all_files(folder):
        ours = not stat.S_ISLNK(status.st_mode) and path != folder / FILE
        if ours and status.st_mode & OPEN_TO_OTHERS:
            yield path


def _all_files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    # Parts are merged away while we look, whole folders of them.
    for where, folders_here, files in os.walk(folder):
        for name in (*folders_here, *files):
            path = Path(where, name)
            with suppress(FileNotFoundError):
                yield path, path.lstat()
