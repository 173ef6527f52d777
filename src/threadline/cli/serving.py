"""`threadline serve`."""

from threadline.cli import folders
from threadline.cli.options import Data, Host, Port
from threadline.http.serve import serve as serve_http


def serve(host: Host = None, port: Port = None, data: Data = None) -> None:
    """Run the server.

    It is ready when `GET /readyz` answers 200, and stops cleanly on Ctrl-C or SIGTERM: everything
    acknowledged is in the store then. All settings: docs/settings.md.

    Example: `threadline serve --data /var/lib/threadline --port 8787`
    """
    chosen = folders.load(data, needs=None, host=host, port=port)
    (_, settings_file), *_ = folders.used
    folders.used.clear()  # the log names it
    serve_http(chosen, settings_file)
