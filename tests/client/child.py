"""What other processes of the tests run."""

import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

import threadline
from threadline.client.wsgi import Middleware


def work(key: str, host: str) -> None:
    """Track, and end."""
    if threadline.client.default._client is None:  # a process that began anew
        threadline.init(key, host, flush_interval_s=3600)
    threadline.track("child")


def _application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    pid = os.getpid()
    threadline.track("visit", {"pid": pid})
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(pid).encode()]


if "gunicorn" in sys.modules:
    threadline.init(flush_interval_s=3600)
application = Middleware(_application)
