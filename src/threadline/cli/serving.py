"""`threadline serve`."""

from threadline.cli import folders
from threadline.cli.dashboard import lasts, link_to
from threadline.cli.options import Data, Host, Port
from threadline.contract.errors import AlreadyExists
from threadline.control import ControlError
from threadline.http.serve import serve as serve_http
from threadline.runtime.services import Services


def serve(host: Host = None, port: Port = None, data: Data = None) -> None:
    """Run the server.

    It is ready when `GET /readyz` answers 200, and stops cleanly on Ctrl-C or SIGTERM: everything
    acknowledged is in the store then. Where nobody can sign in to the dashboard yet, it prints a
    link to set that up. All settings: docs/settings.md.

    Example: `threadline serve --data /var/lib/threadline --port 8787`
    """
    chosen = folders.load(data, needs=None, host=host, port=port, may_begin=True)
    (_, settings_file), *_ = folders.used
    folders.used.clear()  # the log names it
    serve_http(chosen, settings_file, _greet)


def _greet(services: Services, url: str) -> None:
    """For people, so on standard output: the log is elsewhere."""
    if services.control.members():
        return
    try:
        token = services.control.setup_link()
    except AlreadyExists:  # somebody was added at this very moment
        return
    except ControlError as error:  # what is wrong with the file stops no server
        print(f"{error} Then `threadline dashboard login-link` prints the link.", flush=True)
        return
    link = link_to(services.settings.base_url(url), "setup", token)
    print(
        f"Nobody can sign in to the dashboard yet. Open this link to set it up:\n\n  {link}\n\n"
        f"It works once, within {lasts('setup')}; `threadline dashboard login-link` makes "
        "another.",
        flush=True,
    )
