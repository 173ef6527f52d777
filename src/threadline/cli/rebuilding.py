"""`threadline rebuild`, and what a command says that is stopped in the middle."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import typer

from threadline.cli import folders
from threadline.cli.opening import open_store
from threadline.cli.options import Data
from threadline.cli.signals import ended_by_signals, exit_status
from threadline.identity.states import STATES
from threadline.ingest.recovery import alone, end_alike, rebuild_states
from threadline.ingest.source_changes import settle
from threadline.jobs import work
from threadline.jobs.table import REBUILD
from threadline.runtime.folder import is_served, running_server


def rebuild(data: Data = None) -> None:
    """Recompute links and first touches from the events.

    Works whether the server runs or not; it does not hold up events or questions. If it is stopped
    in the middle (Ctrl-C, a power cut), a running server finishes it by itself, also one that is
    started later; without a server, run the same command again. `threadline jobs` shows the
    progress, `threadline doctor` what is left.

    Example: `threadline rebuild --data /var/lib/threadline`
    """
    chosen = folders.load(data)
    folder = Path(chosen.data)
    tables = [state.table for state in STATES]

    with (
        alone(chosen),
        open_store(chosen) as store,
        says_how_to_go_on(_how_to_go_on(folder)),
        work(folder, REBUILD, unit="tables") as job,
    ):

        def progressed(table: str) -> None:
            number = tables.index(table)
            job.progress(number, len(tables), table, now=True)
            typer.echo(f"{number + 1} of {len(tables)}: {table} …", err=True)

        typer.echo("Rebuilding links and first touches from the events …")
        settle(store)
        rebuild_states(store, chosen, tables, partial(is_served, folder), progressed)
        end_alike(folder, REBUILD)
    typer.echo("Done.")


def _how_to_go_on(folder: Path) -> str:
    if running_server(folder):
        return "Stopped. The server finishes it in the background."
    return "Stopped. `threadline rebuild` finishes it, and so does a server once it is started."


@contextmanager
def says_how_to_go_on(how: str) -> Iterator[None]:
    """On Ctrl-C and SIGTERM, one line instead of nothing."""
    try:
        with ended_by_signals():
            yield
    except KeyboardInterrupt as interrupt:
        typer.echo(how, err=True)
        raise typer.Exit(exit_status(interrupt)) from None
