"""`threadline forget`: a user or a device, for good."""

from concurrent.futures import Future
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from threadline.cli import folders
from threadline.cli.keys import chosen_project
from threadline.cli.options import Data, ProjectName, check_text
from threadline.cli.server import Server
from threadline.control import Control, ControlError
from threadline.enrich import time_ordered_id
from threadline.ingest.log import ForgetRequest
from threadline.runtime import decide
from threadline.runtime.folder import running_server
from threadline.runtime.services import Services


def forget(
    user_id: Annotated[str | None, typer.Argument(help="An id of the person.")] = None,
    device: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The anonymous id of a device, instead of a user id."),
    ] = None,
    anonymise: Annotated[
        bool,
        typer.Option(
            "--anonymise",
            help="Replace their events with those of one random person, so that totals stay the "
            "same.",
        ),
    ] = False,
    project: ProjectName = None,
    data: Data = None,
) -> None:
    """Delete everything about a person, or about a device. This cannot be undone.

    All ids of the person are covered, aliases included. A running server does it, otherwise this
    command does; `threadline receipts` shows the progress.

    Example: `threadline forget user_42`
    """
    if (user_id is None) == (device is None):
        raise ControlError("Give either the id of a user, or a device with --device.")
    if anonymise and user_id is None:
        raise ControlError("Only a user can be made anonymous; forget the device without it.")
    for name, value in (("USER_ID", user_id), ("--device", device)):
        check_text(name, value or "")
    chosen = folders.load(data)
    folder = Path(chosen.data)
    with Control.of(chosen, create=False) as control:
        owner = chosen_project(control, project)
        server = running_server(folder)
        if server:
            body: dict[str, object] = {"anonymise": anonymise}
            body |= {"user_id": user_id} if user_id is not None else {"anonymous_id": device}
            with control.temporary_key(owner.project_id, "sk") as key:
                reply = Server(server.url, key).post("/v1/forget", msgspec.json.encode(body))
            receipt_id = str(reply["receipt_id"])
    if not server:
        with Services(chosen) as services:
            request = ForgetRequest(time_ordered_id(), owner.project_id, user_id, device, anonymise)
            on_disk: Future[None] = Future()
            decide.ask_to_forget(services, request, on_disk)
            on_disk.result()
            receipt_id = request.receipt_id
    typer.echo(f"{receipt_id}: accepted; `threadline receipts` shows the progress.")
