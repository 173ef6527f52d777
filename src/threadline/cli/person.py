"""`threadline person …`: what is stored of one person."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from threadline.cli import folders
from threadline.cli.exporting import target
from threadline.cli.keys import chosen_project
from threadline.cli.options import Data, ProjectName, check_text
from threadline.cli.server import Server
from threadline.client.wire import in_path
from threadline.control import Control
from threadline.runtime import one_person
from threadline.runtime.folder import running_server
from threadline.runtime.services import CATCH_UP_S, Services

app = typer.Typer(help="Everything that is stored about one person.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """One command so far, and still called by its name."""


@app.command("export")
def export(
    user_id: Annotated[str, typer.Argument(help="Any id of the person.")],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The ZIP to write.")],
    project: ProjectName = None,
    data: Data = None,
) -> None:
    """Write everything that is stored about a person into a ZIP of JSON and CSV.

    All their events with all columns, devices, traits, accounts, first touches, decisions, dead
    letters and receipts, under any of their ids. A text file in it says what is on devices that
    others use, too. Works whether the server runs or not.

    Example: `threadline person export user_42 --to user_42.zip`
    """
    check_text("USER_ID", user_id)
    chosen = folders.load(data)
    folder = Path(chosen.data)
    with Control.of(chosen, create=False) as control:
        owner = chosen_project(control, project)
        server = running_server(folder)
        if server:
            path = f"/v1/users/{in_path(user_id)}/export"
            with (
                control.temporary_key(owner.project_id, "sk") as key,
                Server(server.url, key).file(path, {}) as reply,
                target(to) as file,
            ):
                shutil.copyfileobj(reply, file)
    if not server:
        with Services(chosen) as services, target(to) as file:
            services.writer.catch_up(CATCH_UP_S)
            one_person.write(services, owner, user_id, file)
    typer.echo(f"{to}: everything that is stored about {user_id}, {to.stat().st_size:,} bytes.")
