"""The outermost layer: preflights, CORS headers, and paths left as they were sent.

A preflight carries no key, so it can only say whether any project lists the origin; the request
after it is then held to its own project's list.
"""

import msgspec
from litestar.enums import ScopeType
from litestar.types import (
    ASGIApp,
    Message,
    Receive,
    Scope,
    Send,
)

from threadline.contract.errors import OriginNotAllowed
from threadline.control import Control, origin_allowed

PREFLIGHT_HEADERS = [
    (b"access-control-allow-methods", b"GET, POST, PUT, DELETE"),
    (b"access-control-allow-headers", b"Authorization, Content-Type, Content-Encoding"),
    (b"access-control-max-age", b"7200"),
]


class Edge:
    """Wraps the application; an ASGI application itself."""

    def __init__(self, app: ASGIApp, control: Control) -> None:
        self._app = app
        self._control = control

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == ScopeType.HTTP, "the server is started without web sockets"
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"").decode("latin-1")
        if scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            await self._preflight(origin, send)
            return
        if scope["path"].startswith("/v1/users/"):
            # A user id may hold a slash; only the path as it was sent still tells which is which.
            scope["path"] = scope["raw_path"].decode("ascii", "replace")

        async def send_with_cors(message: Message) -> None:
            allowed = scope.get("state", {}).get("allowed_origin")
            if allowed and message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_allow(allowed)]
            await send(message)

        await self._app(scope, receive, send_with_cors if origin else send)

    async def _preflight(self, origin: str, send: Send) -> None:
        origins = {entry for project in self._control.projects() for entry in project.origins}
        if origin_allowed(origin, origins):
            await _respond(send, 204, [*_allow(origin), *PREFLIGHT_HEADERS], b"")
            return
        message = f"Origin {origin or '(none)'} is on no project's allowlist."
        body = {"error": OriginNotAllowed.code, "details": {"message": message}}
        json = [(b"content-type", b"application/json")]
        await _respond(send, 403, json, msgspec.json.encode(body))


def _allow(origin: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", b"Retry-After, Threadline-Stale"),
        (b"vary", b"Origin"),
    ]


async def _respond(
    send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
