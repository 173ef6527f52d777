"""`threadline demo`: a server with something to see in it."""

import asyncio
import logging
import os
import shlex
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

from threadline import settings
from threadline.cli import folders
from threadline.cli.dashboard import lasts, link_to
from threadline.cli.demo_loading import COUNTRY_HEADER, DemoNotes, count, load, load_rates
from threadline.cli.options import Host, Port
from threadline.contract.errors import ApiError
from threadline.control import Control, ControlError
from threadline.http.listen import resolve, take_port
from threadline.http.serve import serve_async
from threadline.settings import Settings
from threadline.store import StoreError

PROJECT = "demo"
OWNER = "demo@threadline.example"
STOPPED = "Stopped while loading; the next start continues."
ORIGIN = "http://localhost:3000"
NOTES = "demo.json"
EVENTS = 100_000
HOUR_MS = 3_600_000


def demo(
    events: Annotated[
        int | None, typer.Option(min=1, help="Events to generate. Default: 100,000.")
    ] = None,
    visitors: Annotated[
        int | None, typer.Option(min=1, help="Devices. Default: a twentieth of the events.")
    ] = None,
    users: Annotated[
        int | None, typer.Option(min=0, help="People who sign up. Default: a fifth of the devices.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="The same seed, numbers and hour give the same events. Default: 1."),
    ] = None,
    data: Annotated[str, typer.Option("--data", metavar="DIR", help="Data folder.")] = ".demo",
    host: Host = None,
    port: Port = None,
) -> None:
    """Start a server with a folder of its own and load realistic sample events into it.

    The first start loads the events over HTTP, as your own would arrive; later starts find them
    again. Delete the folder to start over.

    Example: `threadline demo --events 20000 --seed 7 --data /tmp/demo`
    """
    chosen = folders.load(data, needs=None, host=host, port=port, may_begin=True)
    folders.used.clear()  # it is named below
    folder = Path(data)
    console = Console(highlight=False, soft_wrap=True)
    take_port(resolve(chosen.host), chosen.port)  # before anything is made
    asked = {"events": events, "visitors": visitors, "users": users, "seed": seed}
    notes = _notes(chosen, _fresh(events, visitors, users, seed))
    if ignored := _ignored(asked, notes):
        console.print(
            f"{folders.shown(folder)} holds a demo of {notes.events:,} events already, so"
            f" {' and '.join(ignored)} {'is' if len(ignored) == 1 else 'are'} ignored. For another"
            " demo delete the folder, or give another --data."
        )
    console.print(f"Starting the server on [bold]{escape(folders.shown(folder))}[/] …")
    headers = ",".join(filter(None, (COUNTRY_HEADER, chosen.country_header)))
    chosen = msgspec.structs.replace(chosen, country_header=headers)
    uvloop.run(_serve_and_load(chosen, folder, notes))


def _fresh(
    events: int | None, visitors: int | None, users: int | None, seed: int | None
) -> DemoNotes:
    """A demo that is still to be loaded; its time ends with the last full hour."""
    events = events or EVENTS
    visitors = visitors or max(1, events // 20)
    users = max(1, visitors // 5) if users is None else users
    hour_ms = time.time_ns() // 1_000_000 // HOUR_MS * HOUR_MS
    return DemoNotes({}, events, visitors, users, 1 if seed is None else seed, hour_ms)


def _ignored(asked: dict[str, int | None], notes: DemoNotes) -> list[str]:
    """Options that a folder from an earlier start cannot follow any more."""
    return [
        f"--{name} {value}"
        for name, value in asked.items()
        if value is not None and value != getattr(notes, name)
    ]


def _notes(chosen: Settings, fresh: DemoNotes) -> DemoNotes:
    """The notes of an earlier start, or new ones with a project and its keys."""
    folder = Path(chosen.data)
    path = folder / NOTES
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=DemoNotes)
    with Control.of(chosen) as control:
        if any(project.name == PROJECT for project in control.projects()):
            raise ControlError(f"{folder} is not a demo folder; give another --data.")
        _, tokens = control.create_project(PROJECT, [ORIGIN])
    fresh.keys = {kind: str(token) for kind, token in tokens.items()}
    _save(folder, fresh)
    return fresh


def _save(folder: Path, notes: DemoNotes) -> None:
    path = folder / NOTES
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(notes))


async def _serve_and_load(chosen: settings.Settings, folder: Path, notes: DemoNotes) -> None:
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    # Set before the server stops: a connection that breaks then is no failure.
    stopped = threading.Event()
    serving = asyncio.ensure_future(serve_async(chosen, ready, stopped.set, logging.WARNING))
    either: set[asyncio.Future[Any]] = {serving, ready}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        return await serving
    serving.add_done_callback(lambda _: stopped.set())
    loading = threading.Thread(
        target=_load_and_tell, args=(ready.result(), chosen, folder, notes, stopped)
    )
    loading.start()
    try:
        await serving
    finally:
        stopped.set()
        loading.join()
    return None


def _load_and_tell(
    url: str, chosen: settings.Settings, folder: Path, notes: DemoNotes, stopped: threading.Event
) -> None:
    console = Console(highlight=False)
    try:
        if not notes.loaded:
            load_rates(chosen, folder, notes)
            if not load(url, notes, stopped, console):
                console.print(STOPPED)
                return
            notes.stored = count(url, notes.keys["rk"], stopped)
            console.print(f"{notes.stored:,} events are stored.")
    except (OSError, ApiError, StoreError) as error:
        if stopped.is_set():
            console.print(STOPPED)
            return
        console.print(f"[red]Loading failed:[/] {escape(str(error))}")
        os.kill(os.getpid(), signal.SIGTERM)
        return
    if not notes.loaded:
        notes.loaded = True
        _save(folder, notes)
    _tell(url, folder, notes, _sign_in_link(chosen, url), console)


def _sign_in_link(chosen: Settings, url: str) -> str:
    """For the owner of the demo, who is made where nobody can sign in yet."""
    with Control.of(chosen) as control:
        members = control.members()
        owners = [member for member in members if member.role == "owner"]
        owner = owners[0] if owners else control.add_member(OWNER, "Demo", "owner")
        return link_to(chosen.base_url(url), "sign_in", control.make_link(owner.member_id))


def _command() -> str:
    """How to call us from this shell: `make demo` has us where the shell does not look."""
    return "threadline" if shutil.which("threadline") else os.path.relpath(sys.argv[0])


def _tell(url: str, folder: Path, notes: DemoNotes, link: str, console: Console) -> None:
    rk = notes.keys["rk"]
    user = notes.user_id or "user_1"
    ask = f"{_command()} ask"
    where = escape(shlex.quote(str(folder)))
    paid = "conversion=purchase value_property=value currency=EUR"
    console.print(
        f"""
[bold green]Threadline is ready[/] at [bold]{url}[/]   documentation: {url}/docs/

[bold]The dashboard, signed in[/]
  {link}
  works once, within {lasts("sign_in")}; another: {_command()} dashboard login-link --data {where}

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

[bold]By which channels do people come?[/]
  {ask} visits group_by=channel --data {where}

[bold]What has each channel earned, in euros, by the first touch, by the last and by all?[/]
  {ask} attribution {paid} \\
    group_by=channel model=first_touch,last_touch,linear --data {where}

[bold]Who gets the credit for the {notes.conversion} of {user}, and why?[/]
  {ask} why conversion={notes.conversion} user_id={user} --json --data {where}

Nothing here is real, exchange rates included; without currency=EUR, euros and dollars stand apart.
The same as a timeline:  {_command()} user {user} --data {where}
Ctrl-C stops the server; the next start finds the {notes.stored or notes.events:,} events again.
""",
        soft_wrap=True,
    )
