"""Threadline: analytics that ties anonymous visitors to known users.

Installed without extras it is the client; with `[server]` the server, too.
"""

from threadline.client.aio import AsyncClient
from threadline.client.client import Client
from threadline.client.context import Context, extract, inject, use_context
from threadline.client.default import (
    alias,
    batch,
    close,
    flush,
    forget,
    get_client,
    group,
    identify,
    init,
    page,
    track,
)
from threadline.client.errors import APIError, Dropped, ThreadlineError, Unreachable

# The one place of it: the package index, `--version` and the API reference take it from here.
__version__ = "0.1.0"

__all__ = [
    "APIError",
    "AsyncClient",
    "Client",
    "Context",
    "Dropped",
    "ThreadlineError",
    "Unreachable",
    "__version__",
    "alias",
    "batch",
    "close",
    "extract",
    "flush",
    "forget",
    "get_client",
    "group",
    "identify",
    "init",
    "inject",
    "page",
    "track",
    "use_context",
]
