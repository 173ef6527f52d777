"""The outermost layer: preflights, CORS headers, and which way a request goes.

A preflight carries no key, so it can only say whether any project lists the origin; the request
after it is then held to its own project's list.
"""

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
from threadline.http import ingest
from threadline.http.answers import Answer, answer_error
from threadline.http.services import Services

PREFLIGHT_HEADERS = [
    (b"access-control-allow-methods", b"GET, POST, PUT, DELETE"),
    (
        b"access-control-allow-headers",
        b"Authorization, Content-Type, Content-Encoding, X-Retry-Count",
    ),
    (b"access-control-max-age", b"7200"),
]


class Edge:
    """Wraps the application; an ASGI application itself. Events go another way, past it."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == ScopeType.HTTP, "the server is started without web sockets"
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"").decode("latin-1")
        if scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            await self._preflight(origin, send)
            return
        if scope["path"].startswith("//"):
            # `https://stats.example/` + `/v1/batch`: the commonest slip of all.
            scope["path"] = "/" + scope["path"].lstrip("/")
        scope["path"] = SHORT.get(scope["path"], scope["path"])
        if scope["path"].startswith("/v1/users/"):
            # A user id may hold a slash; only the path as it was sent still tells which is which.
            scope["path"] = scope["raw_path"].decode("ascii", "replace")

        async def send_with_cors(message: Message) -> None:
            allowed = scope.get("state", {}).get("allowed_origin")
            if allowed and message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_allow(allowed)]
            await send(message)

        answer_by = send_with_cors if origin else send
        if scope["path"] in ingest.ROUTES:
            await ingest.serve(self._services, scope, receive, answer_by)
        else:
            await self._app(scope, receive, answer_by)

    async def _preflight(self, origin: str, send: Send) -> None:
        projects = self._services.control.projects()
        origins = {entry for project in projects for entry in project.origins}
        if origin_allowed(origin, origins):
            await Answer(204, [*_allow(origin), *PREFLIGHT_HEADERS], b"").send(send)
            return
        message = f"Origin {origin or '(none)'} is on no project's allowlist."
        await answer_error(OriginNotAllowed(message)).send(send)


def _allow(origin: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (
            b"access-control-expose-headers",
            b"Retry-After, Threadline-Stale, Threadline-Next-Cursor",
        ),
        (b"vary", b"Origin"),
    ]
