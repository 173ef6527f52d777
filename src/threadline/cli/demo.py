"""`threadline demo`: a server with something to see in it."""

import asyncio
import logging
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
import uvloop
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from threadline import settings
from threadline.cli import folders
from threadline.cli.demo_log import DemoLog, Event, Person
from threadline.cli.options import Host, Port
from threadline.cli.server import Server
from threadline.contract.bodies import MAX_BATCH_EVENTS
from threadline.contract.errors import ApiError
from threadline.control import Control, ControlError
from threadline.http.listen import resolve, take_port
from threadline.http.serve import serve_async

PROJECT = "demo"
STOPPED = "Stopped while loading; the next start goes on."
ORIGIN = "http://localhost:3000"
NOTES = "demo.json"
EVENTS = 100_000
HOUR_MS = 3_600_000


class Notes(msgspec.Struct):
    """What a second start needs to know. The keys are of a demo, so they may lie here."""

    keys: dict[str, str]
    events: int
    visitors: int
    users: int
    seed: int
    until_ms: int
    loaded: bool = False
    user_id: str = ""
    # What the server has of them: some come twice and count once.
    stored: int = 0


def demo(
    events: Annotated[
        int | None, typer.Option(min=1, help="Events to make. Default: 100,000.")
    ] = None,
    visitors: Annotated[
        int | None, typer.Option(min=1, help="Devices. Default: a twentieth of the events.")
    ] = None,
    users: Annotated[
        int | None, typer.Option(min=0, help="People who sign up. Default: a fifth of the devices.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Same numbers, seed and hour: same log. Default: 1.")
    ] = None,
    data: Annotated[str, typer.Option("--data", metavar="DIR", help="Data folder.")] = ".demo",
    host: Host = None,
    port: Port = None,
) -> None:
    """Start a server on a folder of its own and load a believable log into it.

    The first start loads the events over HTTP, as your own would come; later starts find them
    again. Delete the folder to begin anew.

    Example: `threadline demo --events 20000 --seed 7 --data /tmp/demo`
    """
    chosen = folders.load(data, needs=None, host=host, port=port)
    folders.used.clear()  # it is named below
    folder = Path(data)
    console = Console(highlight=False, soft_wrap=True)
    take_port(resolve(chosen.host), chosen.port)  # before anything is made
    asked = {"events": events, "visitors": visitors, "users": users, "seed": seed}
    notes = _notes(folder, _fresh(events, visitors, users, seed))
    if ignored := _ignored(asked, notes):
        console.print(
            f"{folders.shown(folder)} holds a demo of {notes.events:,} events already, so"
            f" {' and '.join(ignored)} {'is' if len(ignored) == 1 else 'are'} ignored. For another"
            " demo delete the folder, or give another --data."
        )
    console.print(f"Starting the server on [bold]{escape(folders.shown(folder))}[/] …")
    uvloop.run(_serve_and_load(chosen, folder, notes))


def _fresh(events: int | None, visitors: int | None, users: int | None, seed: int | None) -> Notes:
    """A demo that is still to be loaded; its time ends with the last full hour."""
    events = events or EVENTS
    visitors = visitors or max(1, events // 20)
    users = max(1, visitors // 5) if users is None else users
    hour_ms = time.time_ns() // 1_000_000 // HOUR_MS * HOUR_MS
    return Notes({}, events, visitors, users, 1 if seed is None else seed, hour_ms)


def _ignored(asked: dict[str, int | None], notes: Notes) -> list[str]:
    """Options that a folder from an earlier start cannot follow any more."""
    return [
        f"--{name} {value}"
        for name, value in asked.items()
        if value is not None and value != getattr(notes, name)
    ]


def _notes(folder: Path, fresh: Notes) -> Notes:
    """The notes of an earlier start, or new ones with a project and its keys."""
    path = folder / NOTES
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=Notes)
    with Control(folder) as control:
        if any(project.name == PROJECT for project in control.projects()):
            raise ControlError(f"{folder} is not a demo folder; give another --data.")
        _, tokens = control.create_project(PROJECT, [ORIGIN])
    fresh.keys = {kind: str(token) for kind, token in tokens.items()}
    _save(folder, fresh)
    return fresh


def _save(folder: Path, notes: Notes) -> None:
    path = folder / NOTES
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(notes))


async def _serve_and_load(chosen: settings.Settings, folder: Path, notes: Notes) -> None:
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    # Set before the server stops: a connection that breaks then is no failure.
    stopped = threading.Event()
    serving = asyncio.ensure_future(serve_async(chosen, ready, stopped.set, logging.WARNING))
    either: set[asyncio.Future[Any]] = {serving, ready}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        return await serving
    serving.add_done_callback(lambda _: stopped.set())
    loading = threading.Thread(target=_load_and_tell, args=(ready.result(), folder, notes, stopped))
    loading.start()
    try:
        await serving
    finally:
        stopped.set()
        loading.join()
    return None


def _load_and_tell(url: str, folder: Path, notes: Notes, stopped: threading.Event) -> None:
    console = Console(highlight=False)
    try:
        if not notes.loaded and not _load(url, notes, stopped, console):
            console.print(STOPPED)
            return
        if not notes.loaded:
            notes.stored = _count(url, notes.keys["rk"], stopped)
            repeats = notes.events - notes.stored
            console.print(f"{notes.stored:,} events are stored; {repeats:,} came twice.")
    except (OSError, ApiError) as error:
        if stopped.is_set():
            console.print(STOPPED)
            return
        console.print(f"[red]Loading failed:[/] {escape(str(error))}")
        os.kill(os.getpid(), signal.SIGTERM)
        return
    if not notes.loaded:
        notes.loaded = True
        _save(folder, notes)
    _tell(url, folder, notes, console)


def _load(url: str, notes: Notes, stopped: threading.Event, console: Console) -> bool:
    """Post the log in batches, as a server that passes on what browsers send. False if stopped
    before the end."""
    log = DemoLog(notes.events, notes.visitors, notes.users, notes.seed, notes.until_ms)
    server = Server(url, notes.keys["sk"])
    waiting: list[Event] = []
    columns = (
        TextColumn("Loading events"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("load", total=notes.events, rate="")
        started = time.monotonic()
        sent = 0

        def post() -> None:
            nonlocal sent
            server.post("/v1/batch", msgspec.json.encode({"events": waiting}))
            sent += len(waiting)
            waiting.clear()
            rate = f"{sent / (time.monotonic() - started):,.0f} events/s"
            progress.update(bar, completed=sent, rate=rate)

        for person in log.people():
            if stopped.is_set():
                return False
            if not notes.user_id and _worth_showing(person):
                notes.user_id = person.user_id or ""
            for agent, event in person.sent:
                waiting.append(event | {"user_agent": agent} if agent else event)
                if len(waiting) == MAX_BATCH_EVENTS:
                    post()
        if waiting:
            post()
    return True


def _count(url: str, key: str, stopped: threading.Event) -> int:
    """Events that questions see, once all that were sent are among them."""
    server = Server(url, key)
    while not stopped.is_set():
        reply = server.reply("/v1/stats?metric=count&include_bots=true")
        if reply.status == 200 and not reply.headers.get("Threadline-Stale"):
            return int(reply.json()["rows"][0]["value"])
    raise OSError("stopped")


def _worth_showing(person: Person) -> bool:
    """An ad on one day, a signup on another, and a second device."""
    if len(person.devices) < 2 or "utm_medium=cpc" not in person.sent[0].event["url"]:
        return False
    known = next((event for _, event in person.sent if "user_id" in event), None)
    return known is not None and known["timestamp"][:10] > person.sent[0].event["timestamp"][:10]


def _command() -> str:
    """How to call us from this shell: `make demo` has us where the shell does not look."""
    return "threadline" if shutil.which("threadline") else os.path.relpath(sys.argv[0])


def _tell(url: str, folder: Path, notes: Notes, console: Console) -> None:
    rk = notes.keys["rk"]
    user = notes.user_id or "user_1"
    console.print(
        f"""
[bold green]Threadline is ready[/] at [bold]{url}[/]   reference: {url}/docs

  pk  {notes.keys["pk"]}   browsers, from {ORIGIN}
  sk  {notes.keys["sk"]}   servers
  rk  {notes.keys["rk"]}   reading

[bold]Where did each user come from?[/]
  curl -s -H 'Authorization: Bearer {rk}' \\
    '{url}/v1/users?source=facebook&medium=paid&limit=3'

[bold]What did {user} do before signing in?[/]
  curl -s -H 'Authorization: Bearer {rk}' \\
    '{url}/v1/users/{user}/events?phase=before'

[bold]How long from the first touch to a signup, by source?[/]
  curl -s -H 'Authorization: Bearer {rk}' \\
    '{url}/v1/time-to-conversion?conversion=signup&group_by=source,medium'

The same as a timeline:  {_command()} user {user} --data {folder}
Ctrl-C stops the server; the next start finds the {notes.stored or notes.events:,} events again.
""",
        soft_wrap=True,
    )
