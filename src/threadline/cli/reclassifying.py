"""`threadline reclassify`."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from threadline.cli import folders
from threadline.cli.doctor import open_store, rebuild_states
from threadline.cli.keys import chosen_project
from threadline.cli.options import AsJson, Data, ProjectName
from threadline.contract.times import Moment
from threadline.control import Control, ControlError
from threadline.http.services import site_of
from threadline.ingest.reclassify import Outcome, outdated
from threadline.ingest.reclassify import reclassify as name_again

SHOWN = 30


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
    """Name the sources of stored events by today's rules: the built-in ones and the project's own.

    Events keep the version of the rules that named them, and only those of another version are
    looked at. Works whether the server runs or not; stopped at any moment, the same command goes on
    where it was. Afterwards first touches are made anew.

    Example: `threadline reclassify --since 2026-01-01 --dry-run`
    """
    chosen = folders.load(data)
    folder = Path(chosen.data)
    since_ms = _since_ms(since)
    with Control(folder) as control:
        owner = chosen_project(control, project)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    site = site_of(owner)
    with _only_one(folder), open_store(chosen) as store:
        columns = (
            TextColumn("naming visits anew"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task("", total=outdated(store, owner.project_id, site, since_ms))
            outcome = name_again(
                store,
                owner.project_id,
                site,
                since_ms,
                not dry_run,
                lambda visits: progress.advance(bar, visits),
                lambda tables: rebuild_states(store, folder, tables),
            )
    if as_json:
        typer.echo(json.dumps(_as_row(outcome)))
    else:
        _show(outcome, dry_run)


def _since_ms(since: str | None) -> int:
    try:
        return Moment.parse(since).ms if since else 0
    except ValueError as error:
        raise ControlError(f"--since {since}: {error}.") from None


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    with (folder / "reclassify.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ControlError(f"Another reclassify is at work in {folder}; wait for it.") from None
        yield


def _show(outcome: Outcome, dry_run: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if not outcome.events:
        console.print("Nothing to do: all events were named by the rules of today.")
        return
    would = "would get" if dry_run else "got"
    console.print(
        f"{outcome.events:,} events were named by other rules. {outcome.changed:,} {would} another"
        f" verdict, {outcome.moved:,} of them another source or medium."
    )
    rows = [row for row in _rows(outcome) if row.before != row.after]
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
    if dry_run and outcome.changed:
        console.print("Nothing was changed. Without --dry-run it is.")


class Row(NamedTuple):
    """Events of one place before and after."""

    source: str
    medium: str
    before: int
    after: int


def _rows(outcome: Outcome) -> list[Row]:
    """All places, those that change most first."""
    places = outcome.before.keys() | outcome.after.keys()
    rows = [Row(*at, outcome.before.get(at, 0), outcome.after.get(at, 0)) for at in places]
    return sorted(rows, key=lambda row: (-abs(row.after - row.before), row))


def _as_row(outcome: Outcome) -> dict[str, object]:
    rows = [row._asdict() for row in _rows(outcome)]
    counted = {"events": outcome.events, "changed": outcome.changed, "moved": outcome.moved}
    return {**counted, "rows": rows}
