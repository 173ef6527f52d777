"""Options that several commands share."""

from typing import Annotated

import typer

Data = Annotated[
    str | None,
    typer.Option("--data", metavar="DIR", help="Data folder. [env: THREADLINE_DATA]"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
ProjectName = Annotated[
    str | None,
    typer.Option(
        "--project", metavar="ID", help="Project id or name; may be left out if there is only one."
    ),
]
