"""`threadline export -o FILE.zip` and `threadline import FILE.zip`: whole projects."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import typer
from rich.console import Console

from threadline.cli.ask import questions
from threadline.cli.keys import chosen_project
from threadline.cli.opening import open_store
from threadline.contract.words import counted
from threadline.control import Control, Project
from threadline.ingest.importing import NOTES, Notes, brought, notes_of, save_notes
from threadline.ingest.row import Rows
from threadline.ingest.undoing import id_key
from threadline.jobs import work
from threadline.jobs.table import IMPORT
from threadline.runtime.admin_socket import append
from threadline.runtime.archive import write
from threadline.runtime.archive_check import Archive, open_archive
from threadline.runtime.archive_taking import (
    read_decisions,
    read_events,
    read_rates,
    settle_project,
    take_pepper,
)
from threadline.runtime.arriving import Arriving, arriving
from threadline.runtime.folder import running_server
from threadline.runtime.services import CATCH_UP_S, Services
from threadline.runtime.socket_store import SocketStore
from threadline.settings import Settings
from threadline.store import Statements

ENDING = ".zip"


def is_archive(path: Path) -> bool:
    return path.suffix.lower() == ENDING


def export_archive(
    out: Path, chosen: Settings, project: str | None, every: bool, keys: bool, console: Console
) -> None:
    """The file is there when it is complete."""
    unfinished = out.with_name(f".{out.name}.unfinished")
    with ExitStack() as opened:
        control = opened.enter_context(Control.of(chosen))
        projects = control.projects() if every else [chosen_project(control, project)]
        if running_server(Path(chosen.data)):
            store = opened.enter_context(open_store(chosen))
            store.query("SELECT 1", {})
            # It has counted some that it has not saved yet.
            refused = {each.project_id: _refused(chosen, each) for each in projects}
        else:
            services = opened.enter_context(Services(chosen))
            services.writer.catch_up(CATCH_UP_S)
            store = services.store
            refused = {
                each.project_id: services.control.placeholder_ids(each.project_id)
                for each in projects
            }
        try:
            events = write(unfinished, control, store, projects, keys, refused)
            unfinished.replace(out)
        finally:
            unfinished.unlink(missing_ok=True)
    names = ", ".join(each.name for each in projects)
    console.print(
        f"{out}: {counted(events, 'event')} of {names}, {out.stat().st_size:,} bytes.", markup=False
    )


def _refused(chosen: Settings, project: Project) -> int:
    with questions(chosen, project.project_id) as ask:
        return int(ask.ask("identity_stats", {})["placeholder_ids"])


class Choice(NamedTuple):
    """`project`: the only one comes into this. `only`: of the projects there are. `name`: of the
    only one, here."""

    project: str | None
    only: str | None
    name: str | None


def import_archives(
    files: list[Path],
    chosen: Settings,
    choice: Choice,
    dry_run: bool,
    as_json: bool,
    console: Console,
) -> None:
    """Each project into the one of the same id, or a new one. All files are checked before anything
    of the first is written."""
    with ExitStack() as opened:
        archives = [open_archive(path) for path in files]
        for archive in archives:
            opened.enter_context(archive.file)
        planned = list(zip(archives, _planned(archives, chosen, choice), strict=True))
        if dry_run:
            for archive, coming in planned:
                _say(archive, coming)
            typer.echo("Nothing was imported.")
            return
        done = [
            notes
            for archive, coming in planned
            for notes in _import(archive, coming, chosen, console)
        ]
    if as_json:
        typer.echo(json.dumps([_as_json(each) for each in done]))


def _planned(archives: list[Archive], chosen: Settings, choice: Choice) -> list[list[Arriving]]:
    """Does not make the folder where there is none."""
    if chosen.control_is_missing:
        return arriving(archives, None, *choice)
    with Control.of(chosen, create=False) as control:
        return arriving(archives, control, *choice)


def _say(archive: Archive, coming: list[Arriving]) -> None:
    head = archive.head
    typer.echo(f"{archive.path}: an export of Threadline {head.version}, of {head.at}")
    for each in coming:
        of = each.of
        typer.echo(
            f"  {each.name} ({of.project_id}): {counted(of.events, 'event')},"
            " settings and decisions"
        )


def _import(
    archive: Archive, coming: list[Arriving], chosen: Settings, console: Console
) -> Iterator[Notes]:
    folder = Path(chosen.data)
    file = archive.file
    with Control.of(chosen) as control:
        shared_key = control.event_id_key
        take_pepper(control, file)
        settled = []
        for each in coming:
            into, made, said = settle_project(control, file, archive.head, each)
            settled.append((each, into))
            for kind, key in made.items():
                console.print(f"{into.name}: a new {kind} key: {key}", markup=False)
            if said:
                console.print(said, markup=False)
    with _log(chosen) as (store, put):
        read_rates(file, store)
        for each, into in settled:
            read_decisions(file, each.of.project_id, into.project_id, store)
            yield _events(
                archive, folder, id_key(folder, shared_key), each, into, store, put, console
            )


def _events(
    archive: Archive,
    folder: Path,
    key: int,
    each: Arriving,
    into: Project,
    store: Statements,
    put: Callable[[Rows], None],
    console: Console,
) -> Notes:
    """Killed, the same again leaves out what came in before."""
    path, of = archive.path, each.of
    fingerprint = _fingerprint(path)
    notes_path = folder / NOTES / f"{fingerprint}-{into.project_id}.json"
    notes = notes_of(notes_path, str(path), into.project_id)
    save_notes(notes_path, notes)
    with work(folder, IMPORT, into.project_id, f"{path.name} ({fingerprint[:8]})", "events") as job:
        bringing = brought(folder / NOTES, notes, key, store)
        came = known = 0
        events = read_events(archive.file, of.project_id, into.project_id, bringing, key)
        for rows, there in events:
            if rows.size:
                put(rows)
            came, known = came + rows.size, known + there
            job.progress(came + known, of.events, f"{counted(came, 'event')} in")
        notes.accepted += came
        notes.known, notes.finished = known, True
        save_notes(notes_path, notes)
    console.print(
        f"{into.name}: {counted(came, 'event')} came in, {known:,} were there.", markup=False
    )
    if came:
        console.print(f"  threadline import undo {notes.import_id} takes them back")
    return notes


@contextmanager
def _log(chosen: Settings) -> Iterator[tuple[Statements, Callable[[Rows], None]]]:
    """The store, and what puts rows into the log."""
    folder = Path(chosen.data)
    if running_server(folder):
        with open_store(chosen) as store:
            socket = SocketStore(folder)
            socket.query("SELECT 1", {})
            yield store, socket.append
        return
    with Services(chosen) as services:
        services.writer.catch_up(CATCH_UP_S)
        yield services.store, lambda rows: append(services, rows)


def _fingerprint(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest()


def _as_json(notes: Notes) -> dict[str, object]:
    return {
        "file": notes.file,
        "import_id": notes.import_id,
        "project_id": notes.project_id,
        "accepted": notes.accepted,
        "known": notes.known,
        "finished": notes.finished,
    }
