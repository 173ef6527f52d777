"""`threadline shard add`: more shards for the cluster that the events lie in."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from threadline.cli import folders
from threadline.cli.backing_up import bar, says_what_it_makes, stopped_by_signals
from threadline.cli.options import Data
from threadline.ingest.recovery import alone, end_alike
from threadline.jobs import Work, work
from threadline.jobs.table import ADD_SHARDS, REBUILD
from threadline.runtime import adding_shards, moving
from threadline.runtime.folder import folder_lock, is_served
from threadline.runtime.socket_store import SocketStore
from threadline.settings import Settings
from threadline.store import (
    StoreBusy,
    StoreError,
    adding,
    store_url,
    unfinished,
    without_password,
)
from threadline.store.adding import Addition
from threadline.store.address import server_address
from threadline.store.versions import Version

app = typer.Typer(help="Add shards to the cluster that holds the events.", no_args_is_help=True)

HOW_TO_GO_ON = "Stopped. The same command continues where it stopped."
TRY_AGAIN_S = 5.0


@app.callback()
def _group() -> None:
    """So that `add` is a command of its own."""


@app.command()
def add(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            help="The cluster with the new shards after the others, as THREADLINE_STORE will name "
            "it: all hosts, the same user and database, and the cluster's new name.",
        ),
    ],
    data: Data = None,
) -> None:
    """Add shards to the cluster, while the server runs.

    Before that, describe the larger cluster to all of its nodes (`remote_servers`) under a new
    name, and leave the old one there: first the existing shards, in the same order, then the new
    ones, each with one replica. The new shards get the rows of the visitors that belong to them
    from now on. At the end, events wait in the log for a moment, and so do questions. Then the
    server uses the larger cluster; its answers are the same at every step. Set THREADLINE_STORE to
    URL for its next start.

    If it is killed or loses the connection, the same command continues. `threadline jobs` shows the
    progress.

    Example: `threadline shard add 'clickhouse://u:pw@h1,h2,h3,h4/shop?cluster=four'`
    """
    chosen = folders.load(data)
    folder = Path(chosen.data)
    new = store_url(url, folder)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with alone(chosen), stopped_by_signals(HOW_TO_GO_ON):
        is_begun = adding.is_begun(new)
        name = server_address(new).cluster
        named = (
            f"Set THREADLINE_STORE={without_password(new)} (with the password) where the server has"
            " its settings."
        )
        with work(folder, ADD_SHARDS, about=f"cluster {name}", unit="bytes") as job:
            if not is_begun:
                _add(chosen, folder, new, console, job)
            elif not _go_on(new, console):
                typer.echo(f"The events are divided between the shards of {name} already. {named}")
                return
            with moving.opened(new) as store:
                adding_shards.finish(store, chosen, says_what_it_makes(console))
            end_alike(folder, REBUILD)
    typer.echo(
        "Added; what has moved goes off the disks of the other shards in the background.\n\n"
        f"{named} A server that runs uses it already; it does not start with the former one."
    )


def _add(chosen: Settings, folder: Path, new: str, console: Console, job: Work) -> None:
    now = store_url(chosen.store, folder)
    adding_shards.check_named(folder, now, new)
    with (
        moving.opened(now) as store,
        adding.addition(store, new) as more,
    ):
        adding_shards.check_alone(chosen)
        with bar("Copying", console) as progressed:
            total, done = more.size(), 0

            def read(size: int) -> None:
                nonlocal done
                done += size  # packed otherwise, and again what has changed
                progressed(min(done, total), total)
                job.progress(min(done, total), total)

            known = adding_shards.copy(more, read)
        job.keep()
        console.print("Changing over ...")
        _switch(chosen, folder, more, known, console)


def _switch(
    chosen: Settings, folder: Path, more: Addition, known: list[Version], console: Console
) -> None:
    if not is_served(folder):
        with folder_lock(folder, ""):  # one that starts now would write into the smaller cluster
            adding_shards.switch_stopped(chosen, more, known)
        return
    waits = False
    while True:
        try:
            SocketStore(folder).add_shards(more.url, known)
        except StoreBusy as error:
            if not waits:
                console.print(f"{error} Waiting for them; Ctrl-C stops, and nothing has changed.")
            waits = True
            time.sleep(TRY_AGAIN_S)
        else:
            return


def _go_on(new: str, console: Console) -> bool:
    """Whether anything was left to do of a change that had begun."""
    try:
        with moving.opened(new) as store:
            return any(mark.name == REBUILD for mark in unfinished(store))
    except StoreError:  # not all of them are divided, or something is left to delete
        if not adding.is_interrupted(new):
            raise
        console.print("Continuing the change, which was interrupted ...")
        adding.divide(new)
        return True
