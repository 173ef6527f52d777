"""`threadline migrate-store`: all events, from one store into another."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from threadline.cli import folders
from threadline.cli.backing_up import bar, says_what_it_makes, stopped_by_signals
from threadline.cli.options import Data
from threadline.cli.table import as_table, terminal_width
from threadline.ingest.recovery import alone
from threadline.runtime import moving
from threadline.runtime.comparing import ComparedStores, compare
from threadline.runtime.folder import FolderInUse, folder_lock, running_server
from threadline.settings import Settings
from threadline.store import Store, StoreError, store_url, without_password
from threadline.store.address import is_embedded

HOW_TO_GO_ON = (
    "Stopped; nothing uses the new store yet. The same command continues where it stopped."
)


def migrate_store(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FROM", help="The store that has the events, as THREADLINE_STORE names it."
        ),
    ],
    target: Annotated[
        str, typer.Argument(metavar="TO", help="An empty store, as THREADLINE_STORE names it.")
    ],
    ahead: Annotated[
        bool,
        typer.Option(
            "--ahead",
            help="Copy while the server runs; what has arrived since is then moved with the "
            "server stopped.",
        ),
    ] = False,
    data: Data = None,
) -> None:
    """Move all events from one store into another, compare the two, and print the setting to
    change.

    A store is `chdb`, the embedded engine in the data folder, or `clickhouse://…`, a ClickHouse
    server or, with `?cluster=NAME`, a cluster; to change the number of shards, move from one
    cluster into a database on another. The server of the folder has to be stopped. From a
    ClickHouse, --ahead copies before that, so that the server is stopped only for as long as the
    last month takes. If it is killed or loses the connection, the same command continues: nothing
    is stored twice, nothing is lost. FROM stays as it is.

    Example: `threadline migrate-store chdb clickhouse://threadline:secret@db:8123/threadline`
    """
    chosen = folders.load(data)
    folder = Path(chosen.data)
    from_url, to_url = store_url(source, folder), store_url(target, folder)
    if ahead:
        _copy_ahead(chosen, folder, from_url, to_url)
        return
    if server := running_server(folder):
        at = f"{server.url}, process {server.pid}" if server.url else f"process {server.pid}"
        raise FolderInUse(
            f"{folders.shown(folder)} is in use by a running server ({at}), and events are "
            "arriving. Stop it (systemctl stop"
            " threadline, or Ctrl-C where it runs), then run the same command again."
        )
    with folder_lock(folder, ""), stopped_by_signals(HOW_TO_GO_ON):
        moving.check_urls(from_url, to_url)
        with moving.opened(from_url) as have, moving.opened(to_url) as want:
            _move(chosen, folder, have, want)


def _copy_ahead(chosen: Settings, folder: Path, from_url: str, to_url: str) -> None:
    if is_embedded(from_url):
        raise StoreError(
            "--ahead is for events on a ClickHouse server or cluster: those in the data folder "
            "are the running server's alone. Stop it, and run the command without --ahead."
        )
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with alone(chosen), stopped_by_signals(HOW_TO_GO_ON):
        moving.check_urls(from_url, to_url)
        with moving.opened(from_url) as source, moving.opened(to_url) as target:
            moving.claim(folder, source, target)
            with _says_how_to_go_on(), bar("Copying ahead", console) as progressed:
                moving.move(source, target, chosen, progressed, ahead=True)
    typer.echo(
        "Copied. Now stop the server (of several nodes, all), and give the same command without"
        " --ahead: it moves what has changed since, compares every row, and says what to set."
    )


def _move(chosen: Settings, folder: Path, source: Store, target: Store) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    started = time.monotonic()
    if moving.claim(folder, source, target):
        console.print("Continuing a move that was interrupted.")
    moving.drain(chosen, source)
    with _says_how_to_go_on():
        with bar("Moving", console) as progressed:
            moving.move(source, target, chosen, progressed, says_what_it_makes(console))
        with bar("Comparing", console) as progressed:
            found = compare(source, target, chosen, progressed)
    _say(found)
    if found.problems:
        for problem in found.problems:
            typer.echo(f"{problem}.", err=True)
        typer.echo(
            "The stores are not equal, so the move is not finished. Whatever else writes into one"
            " of them has to stop; then the same command moves what differs.",
            err=True,
        )
        raise typer.Exit(1)
    moving.finish(folder, source, target)
    new = _setting(folder, target.url)
    masked = " (with the password)" if new != target.url and new != "chdb" else ""
    typer.echo(
        f"All is equal. {time.monotonic() - started:.1f} s.\n\n"
        f"Set THREADLINE_STORE={new}{masked} where the server has its settings, and start it.\n"
        f"{_setting(folder, source.url)} was left as it is. Once the server runs well, remove it,"
        " because whoever is forgotten from now on is still in there:"
        f" {moving.how_to_remove(source.url)}"
    )


@contextmanager
def _says_how_to_go_on() -> Iterator[None]:
    """Also where a store went away in the middle."""
    try:
        yield
    except StoreError as error:
        raise StoreError(f"{str(error).rstrip('.')}. {HOW_TO_GO_ON}") from error


def _setting(folder: Path, url: str) -> str:
    """As it is set, but for the password."""
    return "chdb" if url == store_url("chdb", folder) else without_password(url)


def _say(found: ComparedStores) -> None:
    rows = [
        [table, f"{rows:,}", f"{parts:,}"] for table, (rows, parts) in found.rows.items() if parts
    ]
    if rows:
        typer.echo(as_table(["table", "rows", "months or parts"], rows, terminal_width())[0])
    typer.echo(
        f"Compared every row of {len(found.rows)} tables, month by month, {found.answers:,} answers"
        f" about people and sources, and {found.journeys:,} journeys of users."
    )
    for skipped in found.skipped:
        typer.echo(f"Not compared, because it took too long: {skipped}.", err=True)
