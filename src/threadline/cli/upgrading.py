"""`threadline upgrade`: what a new version has to change in a data folder, and doing it."""

from pathlib import Path
from typing import Annotated

import typer

from threadline import upgrade_copies
from threadline.cli import folders
from threadline.cli.options import Data
from threadline.control import Control
from threadline.ingest.log import Log
from threadline.runtime.folder import folder_lock, running_server
from threadline.runtime.upgrading import Plan, plan
from threadline.settings import Settings
from threadline.store import Store, store_url

MIB = 1024**2


def upgrade(
    check: Annotated[
        bool, typer.Option("--check", help="Only show what would be done; change nothing.")
    ] = False,
    data: Data = None,
) -> None:
    """Upgrade the data folder to this version, as the next start of the server would.

    Before anything is changed, control.db, log.db, the pepper and the embedded engine's files are
    copied to `before-upgrade` in the folder, and kept for 14 days. It is safe to kill it and run it
    again. docs/upgrading.md explains how to go back.

    Example: `threadline upgrade --check`
    """
    chosen = folders.load(data)
    found = plan(chosen)
    _say(found, chosen)
    if not any(waiting.statements for waiting in found.waiting):
        typer.echo("Nothing to do: the folder has this version already.")
        return
    if check:
        typer.echo("Nothing was changed. `threadline upgrade` does it, and so does the next start.")
        return
    folder = Path(chosen.data)
    if server := running_server(folder):
        typer.echo(f"Stop the server first ({server.url}, process {server.pid}).", err=True)
        raise typer.Exit(1)
    _upgrade(chosen, folder)


def _upgrade(chosen: Settings, folder: Path) -> None:
    """In the order in which a server opens them."""
    with folder_lock(folder, ""):
        Control.of(chosen).close()
        with Store(store_url(chosen.store, folder)):
            Log(folder).close()
        copy = upgrade_copies.finish(folder)
    typer.echo("Done.")
    if copy:
        typer.echo(f"What was there before is in {copy}, for {upgrade_copies.KEPT_DAYS} days.")


def _say(found: Plan, chosen: Settings) -> None:
    for waiting in found.waiting:
        said = f"{waiting.what}: schema {waiting.schema}"
        if waiting.statements:
            said += f", to become {waiting.newest} by {waiting.statements} statements"
        if waiting.seconds:
            said += f" over {found.events:,} events, about {_time(waiting.seconds)}"
        typer.echo(f"{said}.")
    if any(waiting.statements for waiting in found.waiting):
        typer.echo(
            f"Space: {_size(found.copied)} for a copy, up to {_size(found.rewritten)} more for "
            f"tables that are rewritten; {_size(found.free)} are free."
        )
        if not chosen.store.startswith("chdb"):
            typer.echo(
                "The copy does not include the ClickHouse server: make a `threadline backup` first."
            )
        if not chosen.control_in_folder:
            typer.echo(
                "The copy does not include PostgreSQL: back its database up first (pg_dump)."
            )
    if found.copied + found.rewritten > found.free:
        typer.echo("That may be too little: free some space first.", err=True)


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _size(size: int) -> str:
    return f"{size / MIB:,.1f} MiB" if size < 1024 * MIB else f"{size / MIB / 1024:,.1f} GiB"
