"""`threadline reclassify`."""

import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Self

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from threadline.cli import folders
from threadline.cli.keys import chosen_project
from threadline.cli.opening import open_store
from threadline.cli.options import AsJson, Data, ProjectName
from threadline.cli.rebuilding import says_how_to_go_on
from threadline.contract.times import Timestamp, format_ms
from threadline.contract.words import counted
from threadline.control import Control, ControlError
from threadline.ingest.reclassify import Outcome, outdated
from threadline.ingest.reclassify import reclassify as name_again
from threadline.ingest.recovery import alone, rebuild_states
from threadline.jobs import Work, work
from threadline.jobs.table import RECLASSIFY
from threadline.runtime.folder import is_served, running_server
from threadline.runtime.reclassifying import by_source, summary
from threadline.runtime.services import site_of
from threadline.store import Statements

SHOWN = 30
NAMING = "naming visits anew"


def reclassify(
    since: Annotated[
        str | None, typer.Option(help="ISO 8601: only events from then on. Default: all.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")
    ] = False,
    project: ProjectName = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Apply today's source rules to stored events: the built-in ones and the project's own. Device,
    browser and operating system get today's names, too, and events that older versions took for
    bots because of the user agent of the server that sent them are counted again.

    Each event keeps the version of the rules that gave it its source, and only events of other
    versions are looked at. Works whether the server runs or not; if it is stopped (Ctrl-C), the
    same command continues where it stopped, and if it is killed, a server continues it. Afterwards
    first touches are recomputed. `threadline jobs` shows the progress.

    Example: `threadline reclassify --since 2026-01-01 --dry-run`
    """
    chosen = folders.load(data)
    folder = Path(chosen.data)
    since_ms = _since_ms(since)
    with Control.of(chosen) as control:
        owner = chosen_project(control, project)
    site = site_of(owner)

    def carry_out(store: Statements, showing: _Showing) -> Outcome:
        showing.total(outdated(store, owner.project_id, site, since_ms))
        return name_again(
            store,
            owner.project_id,
            site,
            since_ms,
            not dry_run,
            showing.named,
            lambda tables: showing.make(
                tables, partial(rebuild_states, store, chosen), partial(is_served, folder)
            ),
            showing.writing,
        )

    about = format_ms(since_ms) if since_ms else ""
    with (
        nullcontext() if dry_run else alone(chosen),
        open_store(chosen) as store,
        says_how_to_go_on(_how_to_go_on(folder, owner.name, dry_run)),
        nullcontext()
        if dry_run
        else work(folder, RECLASSIFY, owner.project_id, about, "visits") as job,
        _Showing(job) as showing,
    ):
        outcome = carry_out(store, showing)
    if as_json:
        typer.echo(json.dumps(_as_row(outcome)))
    else:
        _show(outcome, dry_run)


def _since_ms(since: str | None) -> int:
    try:
        return Timestamp.parse(since).ms if since else 0
    except ValueError as error:
        raise ControlError(f"--since {since}: {error}.") from None


def _how_to_go_on(folder: Path, project: str, dry_run: bool) -> str:
    if dry_run:
        return "Stopped. Nothing was changed."
    touches = (
        "The server brings first touches up to date meanwhile."
        if running_server(folder)
        else "Until then first touches may be outdated."
    )
    return (
        "Stopped. What was named anew stays so. The same command continues where it stopped"
        f" (threadline reclassify --project {project}). {touches}"
    )


class _Showing:
    """On stderr, and in the table of jobs, how far it is."""

    def __init__(self, job: Work | None) -> None:
        """`job`: None where nothing is changed."""
        self._job = job
        self._total = 0
        self._named = 0
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress = Progress(*columns, console=console)
        self._bar = self._progress.add_task(NAMING)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def total(self, visits: int) -> None:
        self._total = visits
        self._progress.update(self._bar, total=visits)

    def named(self, visits: int) -> None:
        self._named += visits
        self._progress.update(self._bar, advance=visits, description=NAMING)
        if self._job:
            self._job.progress(self._named, self._total, NAMING)

    def writing(self, parts: int) -> None:
        self._progress.update(self._bar, description=f"writing them, {parts} parts to go")

    def make(
        self, tables: Sequence[str], rebuild: Callable[..., None], served: Callable[[], bool]
    ) -> None:
        """First touches follow; they have to, so it cannot be cancelled from here on."""
        if self._job:
            self._job.keep()
        rebuild(tables, served, self._making)

    def _making(self, table: str) -> None:
        step = f"making {table} anew"
        self._progress.update(self._bar, description=step)
        if self._job:
            self._job.progress(self._named, self._total, step, now=True)


def _show(outcome: Outcome, dry_run: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(summary(outcome, would=dry_run))
    if not outcome.events:
        return
    for sentence in _agents(outcome, dry_run):
        console.print(sentence)
    rows = [row for row in by_source(outcome) if row.before != row.after]
    if rows:
        table = Table("source", "medium", box=None, header_style="dim", pad_edge=False)
        for name in ("before", "after", ""):
            table.add_column(name, justify="right")
        for row in rows[:SHOWN]:
            table.add_row(
                escape(row.source),
                escape(row.medium),
                f"{row.before:,}",
                f"{row.after:,}",
                f"{row.after - row.before:+,}",
            )
        console.print(table)
    if len(rows) > SHOWN:
        console.print(f"… and {len(rows) - SHOWN} more; --json has all.")
    if dry_run and (outcome.changed or outcome.freed or outcome.reworded):
        console.print("Nothing was changed: this was a dry run. Leave --dry-run out to change it.")


def _agents(outcome: Outcome, dry_run: bool) -> list[str]:
    """What becomes of what older versions made of user agents."""
    found = []
    if outcome.freed:
        found.append(
            "Events taken for bots' because of the agent of the server that sent them:"
            f" {outcome.freed:,}; they {'would count' if dry_run else 'count'} now."
        )
    if outcome.reworded:
        found.append(
            f"{counted(outcome.reworded, 'event')} {'would get' if dry_run else 'got'} another word"
            " for device, browser or system."
        )
    return found


def _as_row(outcome: Outcome) -> dict[str, object]:
    names = ("events", "changed", "moved", "freed", "reworded")
    numbers = {name: getattr(outcome, name) for name in names}
    return {**numbers, "rows": msgspec.to_builtins(by_source(outcome))}
