"""`threadline restore`: a backup becomes a data folder again."""

import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from threadline.backup import listing
from threadline.backup.manifest import Manifest
from threadline.backup.restoring import check_empty, restore
from threadline.backup.snapshot import KEPT_SETTINGS
from threadline.backup.targets import open_target
from threadline.cli.backing_up import OfBackup, Where, bar, says_what_it_makes, stopped_by_signals
from threadline.contract.times import format_ms
from threadline.runtime import restoring
from threadline.runtime.restored import compare
from threadline.store import store_url, without_password


def restore_folder(
    target: Where,
    to: Annotated[
        Path, typer.Option("--to", metavar="FOLDER", help="A new folder, or an empty one.")
    ],
    at: OfBackup = None,
    identity: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="File with the age secret key, if the backup is encrypted."
        ),
    ] = None,
    store: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="Where to put events that were on a ClickHouse server: clickhouse://… with an "
            "empty database, or chdb, which is in the folder.",
        ),
    ] = "chdb",
    check: Annotated[
        bool,
        typer.Option("--check", help="Compare rows, states and answers with what they were."),
    ] = False,
) -> None:
    """Restore a backup into a new data folder; an existing one is never overwritten.

    The restored folder gives the answers that the original gave when it was backed up. If it is
    killed, the same command starts over; until it has finished, no command accepts the folder as a
    data folder. What was backed up from a ClickHouse server or cluster is restored into the folder,
    or with --store onto a server or cluster.

    Example: `threadline restore /mnt/backups --to /var/lib/threadline --check`
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    where = open_target(target)
    check_empty(to)
    chosen = listing.chosen(where, at)
    url, in_folder = store_url(store, to), store_url("chdb", to)
    restoring.check(chosen, url, to)
    identities = []
    if identity is not None:
        from threadline.backup.encryption import read_identities  # needed by few

        identities = read_identities(identity)
    makes = says_what_it_makes(console)
    pour = partial(restoring.pour, where, chosen, identities, url, to, makes=makes)
    if not chosen.is_of_rows:
        pour = partial(restoring.note_in_folder, to)
    started = time.monotonic()
    with stopped_by_signals("Stopped; the folder is not restored. Run the same command again."):
        with bar("Restoring", console) as progressed:
            restore(where, chosen, to, identities, progressed, pour)
        typer.echo(
            f"{to} is what was there at {format_ms(chosen.moment.at_ms)}"
            f" (backup {chosen.backup_id}). {time.monotonic() - started:.1f} s."
        )
        if (to / KEPT_SETTINGS).exists():
            typer.echo(
                f"Its settings file lies beside it as {KEPT_SETTINGS}: look at it, and give it its"
                " name again where they are right."
            )
        if check:
            _check(to, url, chosen, console)
        if chosen.is_of_rows:
            shown = "chdb" if url == in_folder else without_password(url)
            typer.echo(
                f"Its events are in {shown}: set THREADLINE_STORE={shown} where its server has its"
                " settings."
            )


def _check(to: Path, url: str, chosen: Manifest, console: Console) -> None:
    found = compare(to, url, chosen, lambda what: console.print(f"  {what}", markup=False))
    problems = [each for each in found if each.problem]
    for each in problems:
        typer.echo(f"{each.what}: {each.problem}.", err=True)
    if problems:
        raise typer.Exit(1)
    typer.echo(f"Compared {len(found):,} files, tables and answers: all is as it was.")
    if not chosen.moment.rows:
        typer.echo(
            "No rows and answers were noted with it, because no server ran: states were compared"
            " with the events."
        )
