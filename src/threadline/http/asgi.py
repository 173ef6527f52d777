"""The shapes of ASGI, as far as this server speaks it."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]


def header(scope: Scope, name: str) -> str:
    """The last header of this name, or nothing."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    return headers.get(name.lower().encode(), b"").decode("latin-1")
