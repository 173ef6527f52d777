"""Options that several commands share."""

from typing import Annotated

import typer

from threadline.contract.policies import POLICIES
from threadline.control.errors import ControlError
from threadline.settings import DEFAULTS

Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help=f"Data folder. Default: the one that the settings name, else {DEFAULTS.data}, if it "
        "exists. [env: THREADLINE_DATA]",
    ),
]
Host = Annotated[
    str | None,
    typer.Option(help=f"Address to listen on. Default: {DEFAULTS.host}. [env: THREADLINE_HOST]"),
]
Port = Annotated[
    int | None,
    typer.Option(
        help=f"Port; 0 takes a free one. Default: {DEFAULTS.port}. [env: THREADLINE_PORT]"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
ProjectName = Annotated[
    str | None,
    typer.Option(
        "--project", metavar="ID", help="Project id or name; may be left out if there is only one."
    ),
]


def check_stitch(given: str | None) -> None:
    """Raises `ControlError` for a policy that does not exist."""
    if given not in (None, *POLICIES):
        raise ControlError(f"--stitch {given}: choose one of {', '.join(POLICIES)}.")


def check_text(name: str, value: str) -> None:
    """Raises `ControlError` for bytes that are no text, which the shell passes on as they are."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ControlError(f"{name} is not UTF-8 text; write it as UTF-8.") from None
