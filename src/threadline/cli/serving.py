"""`threadline serve`."""

from typing import Annotated

import typer

from threadline.cli import folders
from threadline.cli.options import Data
from threadline.http.serve import serve as serve_http


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. [env: THREADLINE_HOST]")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port; 0 takes a free one. [env: THREADLINE_PORT]")
    ] = None,
    data: Data = None,
) -> None:
    """Run the server.

    It is ready when `GET /readyz` answers 200, and stops cleanly on Ctrl-C or SIGTERM: everything
    acknowledged is in the store then. All settings: docs/settings.md.

    Example: `threadline serve --data /var/lib/threadline --port 8787`
    """
    chosen = folders.load(data, needs=None, host=host, port=port)
    (_, settings_file), *_ = folders.used
    folders.used.clear()  # the log names it
    serve_http(chosen, settings_file)
