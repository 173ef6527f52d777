"""`threadline migrate-control`: projects, keys and members, from one database into another."""

from pathlib import Path
from typing import Annotated

import typer

from threadline.cli import folders
from threadline.cli.options import Data
from threadline.contract.words import counted
from threadline.control.address import IN_FOLDER, without_password
from threadline.runtime.folder import FolderInUse, folder_lock, running_server
from threadline.runtime.moving_control import move


def migrate_control(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FROM",
            help="The database that has the projects and keys, as THREADLINE_CONTROL names it.",
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(metavar="TO", help="An empty database, as THREADLINE_CONTROL names it."),
    ],
    data: Data = None,
) -> None:
    """Move projects, keys, members and salts into another database, and print the setting to
    change.

    A database is `control.db`, the file in the data folder, or `postgresql://…`. The server of the
    folder has to be stopped. Everything is moved in one transaction, every row is compared before
    it takes effect, and keys keep working. If it is killed or loses the connection, run the same
    command again. The file `pepper` stays in the data folder.

    Example: `threadline migrate-control control.db postgresql://threadline:secret@db/threadline`
    """
    folder = Path(folders.load(data, needs=IN_FOLDER if source == IN_FOLDER else None).data)
    if server := running_server(folder):
        raise FolderInUse(
            f"{folders.shown(folder)} is served (process {server.pid}), and keys are in use. Stop"
            " it (systemctl stop threadline, or Ctrl-C where it runs), then run the same command "
            "again."
        )
    with folder_lock(folder, ""):
        moved = move(folder, source, target)
    tables = ", ".join(_counted(rows, table) for table, rows in moved.rows.items() if rows)
    typer.echo(f"All is there, and equal: {tables}.\n")
    shown = without_password(target)
    if target == IN_FOLDER:
        typer.echo("Take THREADLINE_CONTROL out of the settings of this server, and start it.")
    else:
        typer.echo(
            f"Set THREADLINE_CONTROL={shown} (with the password) where the server has its settings,"
            f" and start it. Another node needs a copy of {folder / 'pepper'} in its data folder."
        )
    if moved.aside:
        typer.echo(f"What was there is {moved.aside} now. Remove it once the server runs well.")
    else:
        typer.echo(f"{without_password(source)} was left as it is.")
    if moved.forgets_ids:
        typer.echo(
            "event_ids that came before are not known any more, as this folder's log has a key of"
            " its own for them: whatever is sent again counts again."
        )


def _counted(rows: int, table: str) -> str:
    """`1 project`, `2 share links`."""
    words = table.replace("_", " ")
    return counted(rows, words.removesuffix("s"), words)
