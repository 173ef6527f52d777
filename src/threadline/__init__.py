"""Threadline: analytics that ties anonymous visitors to known users.

`pip install threadline` brings the client; `threadline[server]` the server.
"""

from threadline.client import (
    APIError,
    AsyncClient,
    Client,
    Context,
    Dropped,
    ThreadlineError,
    Unreachable,
    carried,
    carry,
    use,
)
from threadline.client.default import (
    alias,
    batch,
    close,
    flush,
    forget,
    get_client,
    identify,
    init,
    page,
    track,
)

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
    "carried",
    "carry",
    "close",
    "flush",
    "forget",
    "get_client",
    "identify",
    "init",
    "page",
    "track",
    "use",
]
