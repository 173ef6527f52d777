"""The outermost layer: preflights, CORS headers, and which way a request goes.

A preflight carries no key, so it can only say whether any project lists the origin; the request
after it is then held to its own project's list.
"""

import re

from litestar.enums import ScopeType
from litestar.types import (
    ASGIApp,
    Message,
    Receive,
    Scope,
    Send,
)

from threadline.contract.errors import OriginNotAllowed
from threadline.contract.segment import SHORT
from threadline.control import origin_allowed
from threadline.http import ingest, openapi
from threadline.http.answers import Answer, answer_error
from threadline.runtime.services import Services

PREFLIGHT_HEADERS = [
    (b"access-control-allow-methods", b"GET, POST, PUT, DELETE"),
    (b"access-control-max-age", b"7200"),
]
# Always; and whatever else a library wants to send.
ALLOWED_HEADERS = b"Authorization, Content-Type, Content-Encoding, X-Retry-Count"
HEADER_NAMES = re.compile(rb"[A-Za-z0-9-]{1,64}(?:\s*,\s*[A-Za-z0-9-]{1,64}){0,63}")


class Edge:
    """Wraps the application; an ASGI application itself. Events go another way, past it."""

    def __init__(self, app: ASGIApp, services: Services, document: openapi.Json) -> None:
        self._app = app
        self._document = document
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == ScopeType.HTTP, "the server is started without web sockets"
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"").decode("latin-1")
        if scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            wanted = headers.get(b"access-control-request-headers", b"")
            await self._preflight(origin, wanted, send)
            return
        if scope["method"] == "OPTIONS":
            await self._options(scope["path"], send)
            return
        if scope["path"].startswith("//"):
            # `https://stats.example/` + `/v1/batch`: the commonest slip of all.
            scope["path"] = "/" + scope["path"].lstrip("/")
        scope["path"] = SHORT.get(scope["path"], scope["path"])
        if scope["path"].startswith("/v1/users/"):
            # A user id may hold a slash; only the path as it was sent still tells which is which.
            scope["path"] = scope["raw_path"].decode("ascii", "replace")

        head = scope["method"] == "HEAD"
        if head:  # as GET, without the body
            scope["method"] = "GET"

        async def send_with_cors(message: Message) -> None:
            if message["type"] == "http.response.start" and origin:
                allowed = scope.get("state", {}).get("allowed_origin")
                if allowed:
                    message["headers"] = [*message["headers"], *_allow(allowed)]
                elif message["status"] >= 400:
                    # A page that cannot read why it is refused would try for ever.
                    message["headers"] = [*message["headers"], *READABLE]
            elif message["type"] == "http.response.body" and head:
                message["body"] = b""
            await send(message)

        answer_by = send_with_cors if origin or head else send
        if scope["path"] in ingest.ROUTES:
            await ingest.serve(self._services, scope, receive, answer_by)
        else:
            await self._app(scope, receive, answer_by)

    async def _options(self, path: str, send: Send) -> None:
        allowed = openapi.methods(self._document, path)
        await Answer(204, [(b"allow", ", ".join(allowed).encode())], b"").send(send)

    async def _preflight(self, origin: str, wanted: bytes, send: Send) -> None:
        if origin_allowed(origin, self._services.control.origins()):
            names = ALLOWED_HEADERS
            if HEADER_NAMES.fullmatch(wanted):
                names += b", " + wanted
            allowed = (b"access-control-allow-headers", names)
            await Answer(204, [*_allow(origin), *PREFLIGHT_HEADERS, allowed], b"").send(send)
            return
        message = f"Origin {origin or '(none)'} is on no project's allowlist."
        await answer_error(OriginNotAllowed(message)).send(send)


EXPOSED = (
    b"access-control-expose-headers",
    b"Retry-After, Threadline-Stale, Threadline-Next-Cursor",
)
READABLE = [(b"access-control-allow-origin", b"*"), EXPOSED]


def _allow(origin: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        EXPOSED,
        (b"vary", b"Origin"),
    ]
