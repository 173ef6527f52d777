"""`threadline doctor`: is everything well, and if not, what to do?"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from threadline import settings
from threadline.cli import folders
from threadline.cli.checks import Finding, examine
from threadline.cli.options import Data
from threadline.http.folder import running_server
from threadline.http.operator import OperatorStore
from threadline.identity import states
from threadline.ingest.log import Receipt, open_db, receipts
from threadline.settings import Settings
from threadline.store import Statements, Store, store_url


def doctor(
    data: Data = None,
    verify_identity: Annotated[
        bool,
        typer.Option(help="Recompute links and first touches from the events, and compare."),
    ] = False,
    sample: Annotated[
        int, typer.Option(min=1, metavar="N", help="With it: of one in N users and visitors.")
    ] = 1,
) -> None:
    """Check settings, data folder, who may read it, engine, disk, clock, log and more.

    Exit status 1 if anything needs mending; each such line says how. Changes nothing.

    Example: `threadline doctor --data /var/lib/threadline`
    """
    console = Console(highlight=False)
    healthy = True
    findings = examine(data)
    if verify_identity:
        findings = chain(findings, verify(settings.load(data=data), sample))
    for name, finding in findings:
        healthy = healthy and not finding.mend
        mark = "[red]✗[/]" if finding.mend else "[green]✓[/]"
        console.print(f"{mark} {name:<10} {escape(finding.found)}", soft_wrap=True)
        if finding.mend:
            console.print(f"    {escape(finding.mend)}", soft_wrap=True)
    raise typer.Exit(0 if healthy else 1)


def verify(chosen: Settings, sample: int) -> Iterator[tuple[str, Finding]]:
    """Every state of identity against the events."""
    with open_store(chosen) as store:
        for found in states.verify(store, sample):
            yield "identity", _difference(found)


def _difference(found: states.Difference) -> Finding:
    what = f"{found.table}: {found.compared:,} rows compared"
    if not (found.beyond or found.missing or found.wrong):
        return Finding(f"{what}, all as the events say")
    return Finding(
        f"{what}; {found.missing:,} missing, {found.beyond:,} too many, {found.wrong:,} wrong",
        "threadline rebuild makes them anew from the events.",
    )


def rebuild(data: Data = None) -> None:
    """Make links and first touches anew from the events.

    Works whether the server runs or not; events and questions go on meanwhile.

    Example: `threadline rebuild --data /var/lib/threadline`
    """
    chosen = folders.load(data)
    with open_store(chosen) as store:
        typer.echo("Rebuilding links and first touches from the events …")
        rebuild_states(store, Path(chosen.data))
    typer.echo("Done.")


def rebuild_states(store: Statements, folder: Path, tables: Sequence[str] = ()) -> None:
    """Make these states of identity, or all, anew from the events."""
    while True:
        before = _forgotten(folder)
        states.rebuild(store, tables)
        # Who was forgotten in between may be in what was read before.
        if _forgotten(folder) == before:
            return
        typer.echo("Somebody was forgotten meanwhile; once more …", err=True)


def _forgotten(folder: Path) -> list[Receipt]:
    """All requests to forget that were carried out; waits for those under way."""
    if not (folder / "log.db").exists():
        return []
    with closing(open_db(folder)) as db:
        found = receipts(db)
        # Without a server nobody is about to carry them out.
        while running_server(folder) and any(receipt.finished_ms is None for receipt in found):
            time.sleep(0.1)
            found = receipts(db)
    return found


@contextmanager
def open_store(chosen: Settings) -> Iterator[Store | OperatorStore]:
    """The store, or where a server has it open, the door to it."""
    folder = Path(chosen.data)
    if chosen.store.startswith("chdb") and running_server(folder):
        yield OperatorStore(folder)
        return
    with Store(store_url(chosen.store, folder), query_seconds=3600) as store:
        yield store
