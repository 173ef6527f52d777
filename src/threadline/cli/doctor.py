"""`threadline doctor`: is everything well, and if not, what to do?"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.markup import escape

from threadline import settings
from threadline.cli.options import Data
from threadline.contract.times import DAY_MS, format_ms
from threadline.control import Control, ControlError
from threadline.http.folder import Running, running_server
from threadline.http.operator import OperatorStore
from threadline.identity import states
from threadline.ingest import dead_letters, receipts
from threadline.ingest.log import open_db
from threadline.ingest.receipts import Receipt
from threadline.migrations import SchemaTooNew
from threadline.settings import Settings, SettingsError
from threadline.store import (
    Statements,
    Store,
    StoreAway,
    StoreError,
    free_bytes,
    store_url,
    without_password,
)

GIB = 1024**3
LEAST_FREE_BYTES = 1 * GIB


class Finding(NamedTuple):
    """`mend` says what to do; empty when nothing is wrong."""

    what: str
    found: str
    mend: str = ""


def doctor(
    data: Data = None,
    verify_identity: Annotated[
        bool,
        typer.Option(help="Recompute links and first touches from the events, and compare."),
    ] = False,
    sample: Annotated[
        int, typer.Option(min=1, metavar="N", help="With it: of one in N users and visitors.")
    ] = 1,
) -> None:
    """Check configuration, data folder, engine, disk, clock and log.

    Exit status 1 if anything needs mending; each such line says how.

    Example: `threadline doctor --data /var/lib/threadline`
    """
    console = Console(highlight=False)
    healthy = True
    findings = examine(data)
    if verify_identity:
        findings += verify(settings.load(data=data), sample)
    for finding in findings:
        healthy = healthy and not finding.mend
        mark = "[red]✗[/]" if finding.mend else "[green]✓[/]"
        console.print(f"{mark} {finding.what:<8} {escape(finding.found)}", soft_wrap=True)
        if finding.mend:
            console.print(f"    {escape(finding.mend)}", soft_wrap=True)
    raise typer.Exit(0 if healthy else 1)


def examine(data: str | None) -> list[Finding]:
    """All findings, in the order in which one thing rests on another."""
    try:
        chosen = settings.load(data=data)
    except SettingsError as error:
        mend = "Correct the setting; docs/settings.md lists all of them."
        return [Finding("config", str(error), mend)]
    folder = Path(chosen.data)
    findings = [Finding("config", f"data = {folder}, store = {without_password(chosen.store)}")]
    findings.append(_folder(folder))
    if findings[-1].mend:
        return findings
    checks: list[Callable[[Settings, Path], Finding]] = [
        _engine,
        _disk,
        _clock,
        _log,
        _letters,
        _projects,
    ]
    return findings + [check(chosen, folder) for check in checks]


def verify(chosen: Settings, sample: int) -> list[Finding]:
    """Every state of identity against the events."""
    with open_store(chosen) as store:
        return [_difference(found) for found in states.verify(store, sample)]


def _difference(found: states.Difference) -> Finding:
    what = f"{found.table}: {found.compared:,} rows compared"
    if not (found.beyond or found.missing or found.wrong):
        return Finding("identity", f"{what}, all as the events say")
    return Finding(
        "identity",
        f"{what}; {found.missing:,} missing, {found.beyond:,} too many, {found.wrong:,} wrong",
        "threadline rebuild makes them anew from the events.",
    )


def rebuild(data: Data = None) -> None:
    """Make links and first touches anew from the events.

    Works whether the server runs or not; events and questions go on meanwhile.

    Example: `threadline rebuild --data /var/lib/threadline`
    """
    chosen = settings.load(data=data)
    with open_store(chosen) as store:
        typer.echo("Rebuilding links and first touches from the events …")
        rebuild_states(store, Path(chosen.data))
    typer.echo("Done.")


def rebuild_states(store: Statements, folder: Path, tables: Sequence[str] = ()) -> None:
    """Make these states of identity, or all, anew from the events."""
    while True:
        before = _forgotten(folder)
        states.rebuild(store, tables)
        # Who was forgotten in between may be in what was read before.
        if _forgotten(folder) == before:
            return
        typer.echo("Somebody was forgotten meanwhile; once more …", err=True)


def _forgotten(folder: Path) -> list[Receipt]:
    """All requests to forget that were carried out; waits for those under way."""
    if not (folder / "log.db").exists():
        return []
    with closing(open_db(folder)) as db:
        found = receipts.listed(db)
        # Without a server nobody is about to carry them out.
        while running_server(folder) and any(receipt.finished_ms is None for receipt in found):
            time.sleep(0.1)
            found = receipts.listed(db)
    return found


@contextmanager
def open_store(chosen: Settings) -> Iterator[Store | OperatorStore]:
    """The store, or where a server has it open, the door to it."""
    folder = Path(chosen.data)
    if chosen.store.startswith("chdb") and running_server(folder):
        yield OperatorStore(folder)
        return
    with Store(store_url(chosen.store, folder), query_seconds=3600) as store:
        yield store


def _folder(folder: Path) -> Finding:
    if not folder.exists():
        mend = "Start the server once (`threadline serve`), or name the right --data folder."
        return Finding("folder", f"{folder} does not exist", mend)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        mend = f"Give this user access: chown -R $(id -un) {folder}"
        return Finding("folder", f"{folder} is not readable and writable", mend)
    return Finding("folder", f"{folder} is readable and writable")


def _engine(chosen: Settings, folder: Path) -> Finding:
    server = running_server(folder)
    if server:
        return _engine_of(server)
    try:
        with Store(store_url(chosen.store, folder)) as store:
            version = store.query("SELECT version() AS version", {})[0]["version"]
    except StoreAway as error:
        return Finding("engine", str(error), "Start ClickHouse, or correct THREADLINE_STORE.")
    except (StoreError, SchemaTooNew) as error:
        mend = "Restore the folder from a copy, or start the Threadline version that wrote it."
        return Finding("engine", str(error), mend)
    return Finding("engine", f"ClickHouse {version} opens the store; no Threadline server runs")


def _engine_of(server: Running) -> Finding:
    address = urlsplit(server.url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=10)
    try:
        connection.request("GET", "/readyz")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        status = 0
        reason = str(error)
    else:
        reason = f"answers {status}"
    finally:
        connection.close()
    where = f"the server at {server.url} (process {server.pid})"
    if status == 200:
        return Finding("engine", f"{where} is ready")
    return Finding("engine", f"{where} {reason}", "Read its log, then stop and start it.")


def _disk(chosen: Settings, folder: Path) -> Finding:
    free = free_bytes(folder)
    found = f"{free / GIB:.1f} GiB free"
    if free < LEAST_FREE_BYTES:
        return Finding("disk", found, "Free some space: a full disk answers new events with 503.")
    return Finding("disk", found)


def _clock(chosen: Settings, folder: Path) -> Finding:
    """A clock that was set back shows in files from the future."""
    now_ms = time.time_ns() // 1_000_000
    newest_ms = max(int(file.stat().st_mtime * 1000) for file in folder.iterdir())
    found = f"{format_ms(now_ms)} (UTC)"
    if newest_ms > now_ms + DAY_MS:
        mend = "Set the clock (timedatectl set-ntp true): events get their time from it."
        return Finding("clock", f"{found} is before the newest file, {format_ms(newest_ms)}", mend)
    return Finding("clock", found)


def _log(chosen: Settings, folder: Path) -> Finding:
    path = folder / "log.db"
    if not path.exists():
        return Finding("log", "empty")
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
        events, size = db.execute(
            "SELECT total(events), total(length(body)) FROM records"
        ).fetchone()
        db.close()
    except sqlite3.Error as error:
        return Finding("log", f"{path}: {error}", "Restore the folder from a copy.")
    found = f"{int(events):,} events on their way to the store, {size / GIB:.2f} GiB"
    if size > chosen.log_max_bytes / 2:
        return Finding("log", found, "The store does not keep up: look at its disk and the log.")
    return Finding("log", found)


def _letters(chosen: Settings, folder: Path) -> Finding:
    if not (folder / "log.db").exists():
        return Finding("letters", "no dead letters")
    try:
        with closing(open_db(folder)) as db:
            letters = len(dead_letters.listed(db))
    except sqlite3.OperationalError:
        letters = 0  # a log of before there were any
    if letters:
        mend = "threadline dead-letter list says why; retry or drop them."
        return Finding("letters", f"the store refused {letters:,} events", mend)
    return Finding("letters", "no dead letters")


def _projects(chosen: Settings, folder: Path) -> Finding:
    try:
        with Control(folder) as control:
            projects = control.projects()
    except (ControlError, SchemaTooNew, sqlite3.Error) as error:
        return Finding("projects", str(error), "Restore control.db and pepper from a copy.")
    if not projects:
        return Finding("projects", "none", "threadline project create NAME makes one.")
    without = [project.name for project in projects if not project.origins]
    found = ", ".join(project.name for project in projects)
    note = f" (no origin, so no browser key works: {', '.join(without)})" if without else ""
    return Finding("projects", found + note)
