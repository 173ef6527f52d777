"""`threadline jobs`: work that takes long; `threadline receipts`: the requests to forget in it."""

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from threadline.cli import folders
from threadline.cli.options import AsJson, Data
from threadline.cli.signals import ended_by_signals, exit_status
from threadline.cli.table import as_table, terminal_width
from threadline.contract.times import format_ms
from threadline.contract.words import counted
from threadline.ingest import receipts
from threadline.jobs import JobError, jobs_db
from threadline.jobs.table import INTERRUPTED
from threadline.jobs.view import LATEST, OVER, Shown, cancel, shown

app = typer.Typer()
LOOK_EVERY_S = 0.5
BAR = 20
COLUMNS = "job kind project state progress started took about".split()


@app.callback(invoke_without_command=True)
def list_jobs(
    context: typer.Context,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show progress until none is running or waiting.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="All jobs there ever were, not only the latest.")
    ] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """List long-running work: requests to forget, imports, rebuilds, backups and so on.

    Shows all jobs that are not over, and the latest of those that are. Works whether the server
    runs or not. `threadline jobs cancel ID` cancels one.

    Example: `threadline jobs --follow`
    """
    if context.invoked_subcommand:
        return
    with _jobs(data) as (db, folder):
        found = shown(db, folder, None if everything else LATEST)
        if follow and not as_json:
            _follow(db, folder)
            return
        while follow and _under_way(found):
            time.sleep(LOOK_EVERY_S)
            found = shown(db, folder, None if everything else LATEST)
    if as_json:
        typer.echo(json.dumps([job._asdict() for job in found]))
    elif not found:
        typer.echo("No jobs: no long-running work has been started.")
    else:
        _print(found)


@app.command("cancel")
def cancel_job(
    job_id: Annotated[str, typer.Argument(help="`threadline jobs` shows it.")], data: Data = None
) -> None:
    """Cancel a job: what it has done so far stays.

    A request to forget cannot be taken back, and a job whose tables would be wrong without its end
    is finished first.

    Example: `threadline jobs cancel import-1f2e3d4c`
    """
    with _jobs(data) as (db, folder):
        typer.echo(cancel(db, folder, job_id))


def list_receipts(data: Data = None, as_json: AsJson = False) -> None:
    """List requests to forget: when they came, whether they are done, how many events were deleted,
    and when everything was off the disk.

    Who they were about is not kept, only a keyed hash. Works while the server runs.

    Example: `threadline receipts --json`
    """
    with _jobs(data) as (db, _):
        kept = receipts.listed(db)
    if as_json:
        typer.echo(json.dumps([receipt._asdict() for receipt in kept]))
        return
    if not kept:
        typer.echo("Nobody has asked to be forgotten.")
    for receipt in kept:
        typer.echo(
            f"{receipt.receipt_id}  {format_ms(receipt.accepted_ms)}  {receipt.project_id}"
            f"  {receipts.meaning(receipt)}"
        )


@contextmanager
def _jobs(data: str | None) -> Iterator[tuple[sqlite3.Connection, Path]]:
    folder = Path(folders.load(data, needs="log.db").data)
    with jobs_db(folder) as db:
        if db is None:
            raise JobError("The log is of an older version; start the server once to migrate it.")
        yield db, folder


def _under_way(jobs: Sequence[Shown]) -> list[Shown]:
    return [job for job in jobs if job.state not in (*OVER, INTERRUPTED)]


def _print(jobs: Sequence[Shown]) -> None:
    rows = [_cells(job) for job in jobs]
    text, hidden = as_table(COLUMNS, rows, terminal_width())
    typer.echo(text)
    if hidden:
        typer.echo(f"No room for {', '.join(hidden)}: widen the terminal, or use --json.", err=True)
    for job in jobs:
        if job.error:
            typer.echo(f"{job.job_id}: {job.error}", err=True)


def _cells(job: Shown) -> list[str]:
    state = f"{job.state}, to be cancelled" if job.cancelling else job.state
    took = "" if job.took_s is None else f"{job.took_s:,.1f} s"
    about = job.about if job.events is None else counted(job.events, "event")
    started = (job.started or "")[:19].replace("T", " ")
    return [job.job_id, job.kind, job.project, state, _progress(job), started, took, about]


def _progress(job: Shown) -> str:
    if job.progress is None:
        return f"{job.done:,} {job.unit}".strip() if job.done else job.step
    parts = [f"{job.progress:.0%}"]
    if job.total and job.unit:
        parts.append(f"{job.done:,} of {job.total:,} {job.unit}")
    if job.step:
        parts.append(job.step)
    return ", ".join(parts)


def _follow(db: sqlite3.Connection, folder: Path) -> None:
    """What was under way at the beginning, and what comes meanwhile, until none is."""
    seen: set[str] = set()

    def look() -> list[Shown]:
        found = shown(db, folder)
        seen.update(job.job_id for job in _under_way(found))
        return [job for job in found if job.job_id in seen]

    console = Console(highlight=False)
    try:
        with ended_by_signals(), Live(console=console, auto_refresh=False) as live:
            while True:
                jobs = look()
                live.update(_bars(jobs), refresh=True)
                if not _under_way(jobs):
                    break
                time.sleep(LOOK_EVERY_S)
    except KeyboardInterrupt as interrupt:
        raise typer.Exit(exit_status(interrupt)) from None
    if not seen:
        typer.echo("No job is running or waiting.")


def _bars(jobs: Sequence[Shown]) -> RenderableType:
    bars = Table.grid(padding=(0, 2))
    for job in jobs:
        bar = ProgressBar(total=1.0, completed=job.progress or 0.0, width=BAR)
        job_id, _, _, state, progress, _, took, about = _cells(job)
        bars.add_row(job_id, Text(state), bar, Text(progress), took, Text(about))
    return Group(bars)
