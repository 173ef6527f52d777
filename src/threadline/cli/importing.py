"""`threadline import` and `threadline export`: events out of files and into files."""

import json
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from threadline.cli import folders
from threadline.cli.ask import questions
from threadline.cli.keys import chosen_project
from threadline.cli.options import AsJson, Data, ProjectName
from threadline.contract.bodies import Event
from threadline.contract.errors import ThreadlineError, Unavailable
from threadline.control import Control, Project
from threadline.http.folder import running_server
from threadline.http.services import Services, site_of
from threadline.ingest.accept import Sender, accept
from threadline.ingest.importing import Import, Send
from threadline.ingest.lines import EventFile
from threadline.settings import Settings

CONNECTIONS = 2
# The log may be this far ahead of the store.
AHEAD_EVENTS = 500_000
INTERRUPTED = 130


def import_files(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="NDJSON or CSV files.")],
    project: ProjectName = None,
    format: Annotated[
        str | None, typer.Option(help="ndjson or csv, where the file's name does not say it.")
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Import events from NDJSON or CSV files, also packed with gzip or zstd.

    A line, or a row under a line of column names, is an event as `POST /v1/track` takes it. Works
    whether the server runs or not. Stopped by Ctrl-C or a crash, the same command goes on where it
    was, and nothing counts twice. Lines that are not events go to FILE.rejected, with the reason;
    the exit status is 1 then.

    Example: `threadline import 2026-0*.ndjson.gz --project shop`
    """
    if format not in (None, "ndjson", "csv"):
        raise typer.BadParameter("choose ndjson or csv", param_hint="--format")
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    chosen = folders.load(data)
    started = time.monotonic()
    imports: list[Import] = []
    try:
        with ExitStack() as opened:
            opened_files = [opened.enter_context(EventFile(path, format)) for path in files]
            owner, send = opened.enter_context(_way_in(chosen, project))
            folder = Path(chosen.data) / "imports"
            for file in opened_files:
                imports.append(Import(file, folder, owner.project_id))
                _run(imports[-1], file, send, console)
            if not running_server(Path(chosen.data)):
                console.print("Writing the rest to the store …")
    except KeyboardInterrupt:
        for each in imports:
            console.print(f"{each.notes.file}: stopped behind line {each.notes.lines:,}.")
        console.print("The same command goes on from there.")
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        typer.echo(json.dumps([msgspec.to_builtins(each.notes) for each in imports]))
    else:
        _summarise(imports, time.monotonic() - started, console)
    if any(each.notes.rejected for each in imports):
        raise typer.Exit(1)


def _run(each: Import, file: EventFile, send: Send, console: Console) -> None:
    if each.notes.finished:
        console.print(f"{file.path} was imported before; nothing to do.")
        return
    if each.notes.lines:
        console.print(f"{file.path}: going on behind line {each.notes.lines:,}.")
    before, started = each.notes.accepted, time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(file.path.name, total=file.size, rate="")

        def settled() -> None:
            rate = (each.notes.accepted - before) / (time.monotonic() - started)
            progress.update(bar, completed=file.bytes_read, rate=f"{rate:,.0f} events/s")

        each.run(send, settled)
        progress.update(bar, completed=file.size)


def _summarise(imports: list[Import], seconds: float, console: Console) -> None:
    for each in imports:
        notes = each.notes
        console.print(f"{notes.file}: {notes.accepted:,} events accepted")
        if notes.rejected:
            console.print(f"  {notes.rejected:,} lines rejected: see {each.rejected_path}")
    console.print(f"Done in {seconds:.1f} s.")


@contextmanager
def _way_in(chosen: Settings, wanted: str | None) -> Iterator[tuple[Project, Send]]:
    """Over HTTP with a key that lives for this command if a server runs, else the log itself."""
    folder = Path(chosen.data)
    with Control(folder) as control:
        project = chosen_project(control, wanted)
        server = running_server(folder)
        if server:
            with (
                control.passing_key(project.project_id, "sk") as key,
                ThreadPoolExecutor(CONNECTIONS) as pool,
            ):
                post = _Post(server.url, key)
                yield project, lambda events: pool.submit(post, events)
            return
    with Services(chosen) as services:
        yield project, _Append(services, project)


class _Append:
    """Into the log of this very process."""

    def __init__(self, services: Services, project: Project) -> None:
        self._services = services
        self._project = project

    def __call__(self, events: list[Event]) -> "Future[None]":
        while self._services.log.depth_events > AHEAD_EVENTS:
            self._services.writer.catch_up(timeout_s=0.1)
        sender = Sender(
            project_id=self._project.project_id,
            site=site_of(self._project),
            scrub=self._services.scrub,
            browser_key=False,
            address="",
            address_hash=bytes(16),
            user_agent="",
            country="",
            salt=self._services.control.salt(),
            id_key=self._services.log.id_key,
            now_ms=time.time_ns() // 1_000_000,
            placeholders=self._services.placeholders,
            country_of=self._services.country_of,
        )
        on_disk: Future[None] = Future()
        accepted = accept(events, sender, in_batch=True)
        self._services.log.append(accepted.rows, on_disk)
        if accepted.warnings:
            ids = len(accepted.warnings)
            self._services.count_placeholder_ids(self._project.project_id, ids)
        return on_disk


class _Post:
    """To the running server."""

    def __init__(self, url: str, key: str) -> None:
        self._address = urlsplit(url)
        self._key = key
        self._kept = threading.local()

    def __call__(self, events: list[Event]) -> None:
        if not hasattr(self._kept, "connection"):
            address = self._address
            self._kept.connection = HTTPConnection(address.hostname or "", address.port, timeout=60)
        connection: HTTPConnection = self._kept.connection
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/batch", msgspec.json.encode({"events": events}), headers)
        response = connection.getresponse()
        text = response.read()
        if response.status != 202:
            message = json.loads(text)["details"]["message"]
            raise (Unavailable if response.status == 503 else ThreadlineError)(message)


def export_file(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Default: standard output.")
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="ndjson, csv or parquet. Default: by FILE's name, or ndjson.")
    ] = None,
    from_: Annotated[str | None, typer.Option("--from", help="ISO 8601, inclusive.")] = None,
    to: Annotated[str | None, typer.Option(help="ISO 8601, exclusive.")] = None,
    event: Annotated[str | None, typer.Option(help="Only events of this name.")] = None,
    source: Annotated[str | None, typer.Option(help="Only events from this source.")] = None,
    medium: Annotated[str | None, typer.Option(help="Only events of this medium.")] = None,
    user_id: Annotated[str | None, typer.Option(help="Only events tagged with this user.")] = None,
    anonymous_id: Annotated[str | None, typer.Option(help="Only events of this device.")] = None,
    project: ProjectName = None,
    data: Data = None,
) -> None:
    """Export stored events as NDJSON, CSV or Parquet.

    Works whether the server runs or not; an export of any size needs little memory, and as much
    free disk as it is large. `threadline import` reads NDJSON and CSV back.

    Example: `threadline export --from 2026-01-01 --to 2026-02-01 -o january.parquet`
    """
    by_name = out.suffix.removeprefix(".") if out else ""
    given = {
        "format": format or (by_name if by_name in ("csv", "parquet") else "ndjson"),
        "from": from_,
        "to": to,
        "event": event,
        "source": source,
        "medium": medium,
        "user_id": user_id,
        "anonymous_id": anonymous_id,
    }
    with questions(folders.load(data), project) as ask:
        exported = ask.export({name: value for name, value in given.items() if value is not None})
        with exported, ExitStack() as opened:
            target = opened.enter_context(out.open("wb")) if out else sys.stdout.buffer
            shutil.copyfileobj(exported, target)
    if out:
        Console(stderr=True).print(f"{out}: {out.stat().st_size:,} bytes")
