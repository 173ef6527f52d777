"""`threadline import`: events out of files."""

import json
import time
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from threadline.cli import folders, help
from threadline.cli.archives import Choice, import_archives, is_archive
from threadline.cli.file_columns import check_columns, say_columns, try_files
from threadline.cli.options import AsJson, Data, ProjectName
from threadline.cli.signals import ended_by_signals, exit_status
from threadline.cli.way_in import way_in
from threadline.contract.words import counted
from threadline.control import Project
from threadline.ingest.columns import OURS, meant
from threadline.ingest.importing import NOTES, Import, Send, brought
from threadline.ingest.lines import EventFile, FileError
from threadline.jobs import Work, work
from threadline.jobs.table import IMPORT
from threadline.runtime.folder import running_server
from threadline.settings import Settings

# What was changed in events that are in, by the code of the warning.
CHANGES = {
    "placeholder_id": "an id was a placeholder such as undefined, and was left out",
    "cut": "an address lost its parameters after the 40th",
    "stored_as_bot": "the user agent was a bot's: such events are left out unless asked for",
    "text_mended": "half a character was stored as U+FFFD",
    "more": "the server changed more than it names in one answer",
}


class Imports(help.Defaulting):
    """`threadline import FILE…` is `threadline import files FILE…`."""

    default = "files"


app = typer.Typer(
    cls=Imports,
    no_args_is_help=True,
    help="Import events from files: `threadline import FILE…`.\n\n"
    "Example: `threadline import 2026-0*.ndjson.gz --project shop`",
)


@app.command("files")
def import_files(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="NDJSON, CSV, or .zip of an export.")
    ],
    project: ProjectName = None,
    format: Annotated[
        str | None, typer.Option(help="ndjson or csv, if the file's name does not tell.")
    ] = None,
    map: Annotated[
        list[str] | None,
        typer.Option(metavar="THEIRS=OURS", help="Import the column THEIRS as OURS."),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN", help="Leave out this column, which Threadline does not know."
        ),
    ] = None,
    now: Annotated[
        bool,
        typer.Option(
            "--now", help="For a file without times: store its events with the current time."
        ),
    ] = False,
    no_ids: Annotated[
        bool,
        typer.Option(
            "--no-ids", help="For a file without ids: each event becomes a visitor of its own."
        ),
    ] = False,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="From a .zip with several projects, import only this one."
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="Name that the project in the .zip gets here."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would happen; import nothing.")
    ] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Import events from NDJSON or CSV files, also packed with gzip or zstd.

    A line, or a row under a line of column names, is an event as `POST /v1/track` takes it; times
    without a zone are UTC. A file with unknown columns is refused: --map renames one, --ignore
    leaves one out. Works whether the server runs or not. If it is stopped by Ctrl-C or a crash, the
    same command continues where it stopped; events whose ids are already stored are skipped,
    however old they are. Lines that are not events are written to FILE.rejected, with the reason,
    and the exit status is 1. `threadline import undo ID` undoes an import.

    An export that ends in .zip contains whole projects. It is checked first: from a damaged one
    nothing is imported. If another project here already has the name, --as gives it a new one;
    --only NAME chooses one of several projects.

    Example: `threadline import 2026-0*.ndjson.gz --project shop`
    """
    if format not in (None, "ndjson", "csv"):
        raise typer.BadParameter("choose ndjson or csv", param_hint="--format")
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    renamed = _renamed(map or [])
    chosen = folders.load(data, needs=None if _archives(files) else "control.db")
    started = time.monotonic()
    if _archives(files):
        if format or map or ignore or now or no_ids:
            raise FileError(
                "--format, --map, --ignore, --now and --no-ids are for NDJSON and CSV; an export"
                " of whole projects comes in as it is."
            )
        choice = Choice(project, only, name)
        import_archives(files, chosen, choice, dry_run, as_json, console)
        return
    if only is not None or name is not None:
        raise FileError("--only and --as are for exports of whole projects, which end in .zip.")
    with ExitStack() as opened:
        found = [
            opened.enter_context(EventFile(path, format, renamed, ignore or ())) for path in files
        ]
        full = [file for file in found if not _is_empty(file, console)]
        for file in full:
            check_columns(file, now, no_ids, refuse=not dry_run)
        for file in full:
            say_columns(file, console)
        if dry_run:
            if not try_files(full, as_json):
                raise typer.Exit(1)
            return
        imports = _import(full, chosen, project, console)
    if as_json:
        typer.echo(json.dumps([_as_json(each) for each in imports]))
    elif imports:
        _summarise(imports, time.monotonic() - started, console)
    if any(each.notes.rejected for each in imports):
        raise typer.Exit(1)


def _import(
    files: list[EventFile], chosen: Settings, project: str | None, console: Console
) -> list[Import]:
    """Stopped by a signal, it says how far it came."""
    imports: list[Import] = []
    try:
        with ended_by_signals(), way_in(chosen, project) as (owner, way):
            folder = Path(chosen.data)
            for file in files:
                # One at a time: two that read the same notes would write over each other's.
                with _job(folder, owner, file) as job:
                    bring = partial(brought, folder / NOTES, key=way.id_key, store=way.store)
                    imports.append(Import(file, folder / NOTES, owner.project_id, bring))
                    _run(imports[-1], file, way.send, console, job)
            written = not all(each.repeated for each in imports)
            if written and not running_server(Path(chosen.data)):
                console.print("Writing the rest to the store …")
    except KeyboardInterrupt as interrupt:
        for each in imports:
            notes = each.notes
            console.print(
                f"{notes.file}: stopped after line {notes.lines:,}"
                f" ({counted(notes.accepted, 'event')} in,"
                f" {counted(notes.rejected, 'line')} rejected)."
            )
        console.print("The same command continues from there.")
        raise typer.Exit(exit_status(interrupt)) from None
    return imports


def _job(folder: Path, owner: Project, file: EventFile) -> AbstractContextManager[Work]:
    about = f"{file.path.name} ({file.fingerprint[:8]})"
    return work(folder, IMPORT, owner.project_id, about, "bytes")


def _run(each: Import, file: EventFile, send: Send, console: Console, job: Work) -> None:
    each.repeated = each.notes.finished
    if each.repeated:
        console.print(f"{file.path} was imported before; nothing to do.")
        return
    if each.notes.lines:
        console.print(f"{file.path}: going on after line {each.notes.lines:,}.")
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
            job.progress(file.bytes_read, file.size, f"{counted(each.notes.accepted, 'event')} in")

        each.run(send, settled)
        progress.update(bar, completed=file.size)


def _summarise(imports: list[Import], seconds: float, console: Console) -> None:
    for each in imports:
        notes = each.notes
        if each.repeated:
            continue
        console.print(f"{notes.file}: {counted(notes.accepted, 'event')} accepted")
        if notes.known:
            console.print(
                f"  {notes.known:,} were already stored under their ids, and were skipped"
            )
        if notes.untimed:
            console.print(f"  {notes.untimed:,} of them have no time and are stored as of now")
        for code, times in sorted(notes.warnings.items()):
            console.print(f"  {times:,} times {CHANGES.get(code, code)}")
        if notes.rejected:
            console.print(f"  {notes.rejected:,} lines rejected: see {each.rejected_path}")
        if notes.accepted:
            console.print(f"  threadline import undo {notes.import_id} undoes it")
    if not all(each.repeated for each in imports):
        console.print(f"Done in {seconds:.1f} s.")


def _as_json(each: Import) -> dict[str, object]:
    """`undone` is only for an undo that goes on, `options` for the same import again."""
    fields: dict[str, object] = msgspec.to_builtins(each.notes)
    del fields["undone"], fields["options"]
    return fields


def _archives(files: list[Path]) -> bool:
    """Raises `FileError` where only some are."""
    archives = [path for path in files if is_archive(path)]
    if archives and len(archives) < len(files):
        raise FileError(f"{archives[0]} is an export of whole projects: import it by itself.")
    return bool(archives)


def _renamed(given: list[str]) -> dict[str, str]:
    renamed: dict[str, str] = {}
    for text in given:
        theirs, _, ours = text.partition("=")
        if not theirs or ours not in OURS:
            close = f"; perhaps {theirs}={meant(ours)}" if meant(ours) else ""
            message = f"{text}: write THEIRS=OURS, with one of {', '.join(OURS)}{close}"
            raise typer.BadParameter(message, param_hint="--map")
        if ours in renamed.values():
            other = next(theirs for theirs, name in renamed.items() if name == ours)
            message = f"{text}: {ours} is {other} already; map one of them"
            raise typer.BadParameter(message, param_hint="--map")
        if theirs in renamed:
            message = f"{text}: {theirs} is {renamed[theirs]} already; map it once"
            raise typer.BadParameter(message, param_hint="--map")
        renamed[theirs] = ours
    return renamed


def _is_empty(file: EventFile, console: Console) -> bool:
    if file.size:
        return False
    console.print(f"{file.path} is empty; there is nothing in it to import.")
    return True
