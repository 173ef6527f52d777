"""`threadline retention`: events that are older than their projects keep them."""

import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from threadline.cli import folders
from threadline.cli.opening import open_store
from threadline.cli.options import AsJson, Data, ProjectName
from threadline.cli.table import as_table, terminal_width
from threadline.contract.times import DAY_MS, format_day, format_ms, now_ms
from threadline.contract.words import counted
from threadline.control import Control, ControlError, Project
from threadline.control.keeping import said
from threadline.ingest.too_old import Cuts, Going, People, what_goes, who_goes
from threadline.jobs import JobError, jobs_db, table
from threadline.jobs.view import OVER, state_of
from threadline.runtime.folder import running_server
from threadline.runtime.services import Services
from threadline.runtime.socket_store import SocketStore
from threadline.runtime.upkeep import expire
from threadline.settings import Settings

app = typer.Typer()
COLUMNS = "project event month events persons first last".split()
LOOK_AGAIN_S = 0.2


@app.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show what would be deleted today, and delete nothing."),
    ] = False,
    project: ProjectName = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show how long each project keeps its events, and when older ones were last deleted.

    The server deletes them once a day. `threadline project set --keep-days` says how long they are
    kept; `threadline retention run` deletes now. Works whether the server runs or not.

    Example: `threadline retention --dry-run`
    """
    if context.invoked_subcommand:
        return
    chosen = folders.load(data)
    with _projects(chosen, project) as projects:
        if dry_run:
            _print_going(chosen, projects, as_json)
        else:
            _print_kept(chosen, projects, as_json)


@app.command("run")
def run(project: ProjectName = None, data: Data = None, as_json: AsJson = False) -> None:
    """Delete the events that are too old by today's date, of all projects or of one.

    A running server does it, otherwise this command does. If it is interrupted, the next server or
    the same command continues.

    Example: `threadline retention run`
    """
    chosen = folders.load(data)
    folder = Path(chosen.data)
    day = now_ms() // DAY_MS
    with _projects(chosen, project) as projects:
        limited = [each for each in projects if each.keeping.is_limited]
        if not limited:
            raise ControlError(
                "No project says how long it keeps its events; `threadline project set NAME"
                " --keep-days 400` does."
            )
        about = format_day(day)
        gone = _by_server(folder, limited, about) if running_server(folder) else None
    if gone is None:
        with Services(chosen) as services:
            gone = [expire(services, each, day) for each in limited]
    with jobs_db(folder) as db:
        assert db is not None
        today = [table.events_of(db, table.RETENTION, each.project_id, about) for each in limited]
    rows = list(zip(limited, gone, today, strict=True))
    if as_json:
        typer.echo(
            json.dumps(
                [
                    {"project": each.name, "events": events, "events_today": of_day}
                    for each, events, of_day in rows
                ]
            )
        )
        return
    for each, events, of_day in rows:
        # Whoever has just seen what would go need not wonder where it is.
        before = f", {of_day - events:,} had gone earlier today (UTC)" if of_day > events else ""
        typer.echo(
            f"{each.name}: {counted(events, 'event')} deleted{before}; {said(each.keeping)}."
        )


def _by_server(folder: Path, projects: Sequence[Project], about: str) -> list[int]:
    """Have it done, and wait until it is. Raises `JobError` where it fails."""
    asked = []
    with jobs_db(folder) as db:
        if db is None:
            raise JobError("The log is of an older version; start the server once to migrate it.")
        for project in projects:
            asked.append(f"{table.RETENTION}-{secrets.token_hex(4)}")
            table.ask(db, asked[-1], table.RETENTION, project.project_id, about)
        SocketStore(folder).look_around()
        gone = []
        for job_id in asked:
            job = table.find(db, job_id)
            while job and state_of(job, folder) not in OVER and running_server(folder):
                time.sleep(LOOK_AGAIN_S)
                job = table.find(db, job_id)
            if job is None or state_of(job, folder) != table.DONE:
                error = job.error if job and job.error else "the server stopped before the end"
                raise JobError(f"{job_id} is not done: {error}. `threadline jobs` shows more.")
            gone.append(job.events or 0)
    return gone


@contextmanager
def _projects(chosen: Settings, wanted: str | None) -> Iterator[list[Project]]:
    with Control.of(chosen, create=False) as control:
        yield [control.project(wanted)] if wanted else control.projects()


def _print_going(chosen: Settings, projects: Sequence[Project], as_json: bool) -> None:
    day = now_ms() // DAY_MS
    with Control.of(chosen, create=False) as control:
        outlived = control.look().touches_kept
    found: list[tuple[Project, Going]] = []
    touches: list[str] = []
    meaning: dict[str, str] = {}
    with open_store(chosen) as store:
        for each in projects:
            cuts = Cuts.of(each.project_id, each.keeping, day)
            going = what_goes(store, cuts) if each.keeping.is_limited else []
            found += [(each, one) for one in going]
            if going:
                meaning[each.project_id] = _touches(each, who_goes(store, cuts))
                touches.append(meaning[each.project_id])
            if each.project_id in outlived and not each.keep_first_touch:
                touches.append(
                    f"{each.name}: links and first touches whose events are gone go, too."
                )
    if as_json:
        typer.echo(json.dumps([_as_json(*each, meaning) for each in found]))
        for line in touches:
            typer.echo(line, err=True)
        return
    if not found:
        for line in touches:
            typer.echo(line)
        typer.echo("No event would be deleted: none is older than its project keeps it.")
        return
    text, hidden = as_table(COLUMNS, [_cells(*each) for each in found], terminal_width())
    typer.echo(text)
    if hidden:
        typer.echo(f"No room for {', '.join(hidden)}: widen the terminal, or use --json.", err=True)
    events = sum(going.events for _, going in found)
    for line in touches:
        typer.echo(line)
    typer.echo(f"{counted(events, 'event')} would be deleted; nothing was.")


def _as_json(project: Project, going: Going, meaning: Mapping[str, str]) -> dict[str, object]:
    return {
        "project": project.name,
        **going._asdict(),
        "keep_first_touch": project.keep_first_touch,
        "meaning": meaning[project.project_id],
    }


def _touches(project: Project, who: People) -> str:
    """What becomes of the first touches of people whose events go."""
    people = counted(who.people, "person", "people")
    have = "has" if who.gone == 1 else "have"
    said = f"{project.name}: of the {people} whose events go, {who.gone:,} {have} no later one"
    if project.keep_first_touch:
        return f"{said}; links and first touches of all stay (keep_first_touch)."
    return (
        f"{said}, and their links and first touches go with them; what the others did next becomes"
        " their first touch. --keep-first-touch keeps all of them."
    )


def _cells(project: Project, going: Going) -> list[str]:
    month = f"{going.month // 100}-{going.month % 100:02}"
    numbers = [f"{going.events:,}", f"{going.persons:,}"]
    return [project.name, going.event, month, *numbers, going.first[:19], going.last[:19]]


def _print_kept(chosen: Settings, projects: Sequence[Project], as_json: bool) -> None:
    with jobs_db(Path(chosen.data)) as db:
        ran = {
            each.project_id: table.latest(db, table.RETENTION, each.project_id) if db else None
            for each in projects
        }
    rows = []
    for each in projects:
        last = ran[each.project_id]
        at = format_ms(last.finished_ms) if last and last.finished_ms else None
        rows.append((each, at))
    if as_json:
        typer.echo(
            json.dumps(
                [
                    {
                        "project": each.name,
                        "keep_days": each.keep_days,
                        "keep_days_by_event": dict(each.keep_days_by_event),
                        "keep_first_touch": each.keep_first_touch,
                        "meaning": said(each.keeping),
                        "ran": at,
                    }
                    for each, at in rows
                ]
            )
        )
        return
    for each, at in rows:
        when = f"; last run {at}" if at else "; never run" if each.keeping.is_limited else ""
        typer.echo(f"{each.name}: {said(each.keeping)}{when}")
