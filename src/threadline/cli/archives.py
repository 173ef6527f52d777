"""`threadline export -o FILE.zip` and `threadline import FILE.zip`: whole projects."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from zipfile import ZipFile

import typer
from rich.console import Console

from threadline.cli.ask import questions
from threadline.cli.keys import chosen_project
from threadline.cli.opening import open_store
from threadline.control import Control, ControlError, Project
from threadline.ingest.importing import NOTES, Notes, brought, notes_of, save_notes
from threadline.ingest.row import Rows
from threadline.ingest.undoing import id_key
from threadline.jobs import work
from threadline.jobs.table import IMPORT
from threadline.runtime.admin_socket import SocketStore, append
from threadline.runtime.archive import (
    Head,
    of_project,
    open_archive,
    read_decisions,
    read_events,
    read_rates,
    settle_project,
    take_pepper,
    write,
)
from threadline.runtime.folder import running_server
from threadline.runtime.services import Services
from threadline.settings import Settings
from threadline.store import Statements

ENDING = ".zip"
CATCH_UP_S = 60.0


def is_archive(path: Path) -> bool:
    return path.suffix.lower() == ENDING


def export_archive(
    out: Path, chosen: Settings, project: str | None, every: bool, keys: bool, console: Console
) -> None:
    """The file is there when it is complete."""
    unfinished = out.with_name(f".{out.name}.unfinished")
    with ExitStack() as opened:
        control = opened.enter_context(Control(Path(chosen.data)))
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
        f"{out}: {events:,} events of {names}, {out.stat().st_size:,} bytes.", markup=False
    )


def _refused(chosen: Settings, project: Project) -> int:
    with questions(chosen, project.project_id) as ask:
        return int(ask.ask("identity_stats", {})["placeholder_ids"])


def import_archives(
    files: list[Path],
    chosen: Settings,
    project: str | None,
    dry_run: bool,
    as_json: bool,
    console: Console,
) -> None:
    """Each project into the one of the same id, or a new one; `project`: the only one into this."""
    done: list[Notes] = []
    for path in files:
        file, head = open_archive(path)
        with file:
            if project is not None and len(head.projects) > 1:
                raise ControlError(
                    f"{path} has {len(head.projects)} projects: leave out --project."
                )
            if dry_run:
                _say(path, file, head)
            else:
                done += _import(path, file, head, chosen, project, console)
    if dry_run:
        typer.echo("Nothing was imported.")
    elif as_json:
        typer.echo(json.dumps([_as_json(each) for each in done]))


def _say(path: Path, file: ZipFile, head: Head) -> None:
    typer.echo(f"{path}: an export of Threadline {head.version}, of {head.at}")
    for project_id in head.projects:
        of = of_project(file, project_id)
        typer.echo(f"  {of.name} ({project_id}): {of.events:,} events, settings and decisions")


def _import(
    path: Path, file: ZipFile, head: Head, chosen: Settings, project: str | None, console: Console
) -> Iterator[Notes]:
    folder = Path(chosen.data)
    with Control(folder) as control:
        wanted = None if project is None else control.project(project)
        take_pepper(control, file)
        settled = []
        for project_id in head.projects:
            into, made, said = settle_project(control, file, head, project_id, wanted)
            settled.append((project_id, into))
            for kind, key in made.items():
                console.print(f"{into.name}: a new {kind} key: {key}", markup=False)
            if said:
                console.print(said, markup=False)
    with _log(chosen) as (store, put):
        read_rates(file, store)
        for project_id, into in settled:
            read_decisions(file, project_id, into.project_id, store)
            yield _events(path, file, folder, project_id, into, store, put, console)


def _events(
    path: Path,
    file: ZipFile,
    folder: Path,
    project_id: str,
    into: Project,
    store: Statements,
    put: Callable[[Rows], None],
    console: Console,
) -> Notes:
    """Killed, the same again leaves out what came in before."""
    fingerprint = _fingerprint(path)
    notes_path = folder / NOTES / f"{fingerprint}-{into.project_id}.json"
    notes = notes_of(notes_path, str(path), into.project_id)
    save_notes(notes_path, notes)
    total = of_project(file, project_id).events
    with work(folder, IMPORT, into.project_id, f"{path.name} ({fingerprint[:8]})", "events") as job:
        bringing = brought(folder / NOTES, notes, folder, store)
        came = known = 0
        for rows, there in read_events(file, project_id, into.project_id, bringing, id_key(folder)):
            if rows.size:
                put(rows)
            came, known = came + rows.size, known + there
            job.progress(came + known, total, f"{came:,} events in")
        notes.accepted += came
        notes.known, notes.finished = known, True
        save_notes(notes_path, notes)
    console.print(f"{into.name}: {came:,} events came in, {known:,} were there.", markup=False)
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
