"""`threadline import list` and `threadline import undo`: what was imported, and taking it back."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from threadline.cli import folders
from threadline.cli.importing import app
from threadline.cli.opening import open_store
from threadline.cli.options import AsJson, Data
from threadline.cli.rebuilding import says_how_to_go_on
from threadline.cli.table import as_table, terminal_width
from threadline.contract.times import format_ms
from threadline.control import ControlError
from threadline.identity.states import STATES
from threadline.ingest.importing import NOTES, Notes, all_notes, ids_path, save_notes
from threadline.ingest.recovery import alone, end_alike, outliving, rebuild_states
from threadline.ingest.source_changes import settle
from threadline.ingest.undoing import Undone, undo
from threadline.jobs import jobs_db, work
from threadline.jobs.table import DONE, REBUILD, UNDO, listed
from threadline.runtime.folder import is_served, running_server
from threadline.runtime.services import CATCH_UP_S, Services
from threadline.settings import Settings
from threadline.store import Statements


@app.command("list")
def list_imports(data: Data = None, as_json: AsJson = False) -> None:
    """List past imports, with the ids by which they can be undone.

    Example: `threadline import list`
    """
    folder = Path(folders.load(data).data)
    found = list(all_notes(folder).values())
    if as_json:
        typer.echo(json.dumps([_as_json(each) for each in found]))
    elif not found:
        typer.echo("Nothing was imported.")
    else:
        rows = [[*map(str, _as_json(each).values())] for each in found]
        typer.echo(as_table(list(_as_json(found[0])), rows, terminal_width())[0])


@app.command("undo")
def undo_import(
    import_id: Annotated[str, typer.Argument(help="`threadline import list` shows it.")],
    data: Data = None,
) -> None:
    """Undo an import: delete exactly the events that it added, and what was derived from them.

    Events that were there before stay, even if the file contains them, too. Those that were
    forgotten or made anonymous meanwhile cannot be found; the command says how many. Works whether
    the server runs or not; if it is stopped or killed, run the same command again to finish.
    Afterwards the file can be imported again.

    Example: `threadline import undo imp-1f2e3d4c`
    """
    chosen = folders.load(data)
    folder = Path(chosen.data)
    path, notes = _wanted(folder, import_id)
    ids = ids_path(folder / NOTES, notes)
    with (
        says_how_to_go_on("Stopped. Run the same command again to finish."),
        alone(chosen),
        _all_written(chosen) as store,
        work(folder, UNDO, notes.project_id, import_id, may_cancel=False) as job,
    ):
        step = partial(job.progress, 0, 0)

        def counted(found: Undone) -> None:
            # Killed when they were gone, the same command would find none of them.
            if notes.undone is None or found.events > notes.undone.events:
                notes.undone = found
                save_notes(path, notes)

        if ids.exists():
            undo(
                store,
                notes.project_id,
                ids,
                counted,
                partial(_rebuild, chosen, store, step),
                step,
            )
        path.unlink()
        ids.unlink(missing_ok=True)
    _say(notes, notes.undone or Undone(0, 0))
    if notes.project_id in outliving(chosen):
        typer.echo(
            "Links and first touches outlive events in this project, so those of this import stay;"
            " keep_first_touch: false lets all of them go (docs/retention.md)."
        )


def _rebuild(chosen: Settings, store: Statements, step: Callable[[str], None]) -> None:
    folder = Path(chosen.data)
    settle(store)
    tables = [state.table for state in STATES]
    rebuild_states(store, chosen, tables, partial(is_served, folder), step)
    end_alike(folder, REBUILD)


def _say(notes: Notes, undone: Undone) -> None:
    typer.echo(f"{notes.import_id}: {undone.events:,} events of {notes.file} are gone.")
    if undone.missing:
        typer.echo(
            f"{undone.missing:,} others that it brought were not found under their ids any more:"
            " they were forgotten, made anonymous, deleted by age, or never sent. Events that were"
            " made anonymous stay, so importing the file again counts these twice."
        )
    if undone.events:
        typer.echo(
            "An event that a sender sent once more since then, under the same event_id, is gone,"
            " too: import or send it again."
        )


def _wanted(folder: Path, import_id: str) -> tuple[Path, Notes]:
    for path, notes in all_notes(folder).items():
        if notes.import_id == import_id:
            return path, notes
    with jobs_db(folder) as db:
        for job in reversed(listed(db)) if db else ():
            if (job.kind, job.about, job.state) == (UNDO, import_id, DONE):
                at = format_ms(job.finished_ms or job.requested_ms)
                raise ControlError(
                    f"{import_id} was undone already, at {at}: there is nothing to do."
                )
    raise ControlError(f"There is no import {import_id}; `threadline import list` lists them.")


@contextmanager
def _all_written(chosen: Settings) -> Iterator[Statements]:
    """The store with everything in it that was acknowledged."""
    if running_server(Path(chosen.data)):
        with open_store(chosen) as store:
            store.query("SELECT 1", {})
            yield store
        return
    with Services(chosen) as services:
        if not services.writer.catch_up(CATCH_UP_S):
            raise ControlError("The store does not keep up, so nothing was undone; try again.")
        yield services.store


def _as_json(notes: Notes) -> dict[str, object]:
    return {
        "import_id": notes.import_id,
        "file": notes.file,
        "project_id": notes.project_id,
        "began": format_ms(notes.began_ms) if notes.began_ms else None,
        "accepted": notes.accepted,
        "known": notes.known,
        "rejected": notes.rejected,
        "finished": notes.finished,
    }
