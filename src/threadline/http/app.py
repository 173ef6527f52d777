"""The application: every request goes the same way, from the table of routes to an answer.

A preflight carries no key, so it can only say whether any project lists the origin; the request
after it is then held to its own project's list.
"""

import re

import structlog

from threadline.contract.errors import ApiError, OriginNotAllowed
from threadline.contract.segment import SHORT
from threadline.control import origin_allowed
from threadline.http import (
    assets,
    classify,
    dashboard,
    definitions,
    identity,
    ingest,
    mcp,
    members,
    oidc,
    one_person,
    operation,
    projects,
    questions,
    refusals,
    rudder,
    rules,
    server,
    share_links,
    sign_in,
    signed_in,
    site,
    skills,
    sql,
)
from threadline.http.answers import Answer, answer_error
from threadline.http.asgi import Headers, Receive, Scope, Send, header
from threadline.http.auth import let_in
from threadline.http.request import Request, base_url
from threadline.http.routing import Route, Routes
from threadline.runtime.failures import as_api_error
from threadline.runtime.memory import RequestHold
from threadline.runtime.refusals import NO_PROJECT
from threadline.runtime.services import Services
from threadline.store import StoreError

_logger = structlog.get_logger("threadline.http")

PREFLIGHT_HEADERS = [
    (b"access-control-allow-methods", b"GET, POST, PUT, DELETE"),
    (b"access-control-max-age", b"7200"),
]
# Always; and whatever else a library wants to send.
ALLOWED_HEADERS = b"Authorization, Content-Type, Content-Encoding, X-Retry-Count"
HEADER_NAMES = re.compile(rb"[A-Za-z0-9-]{1,64}(?:\s*,\s*[A-Za-z0-9-]{1,64}){0,63}")
EXPOSED = (
    b"access-control-expose-headers",
    b"Retry-After, Threadline-Stale, Threadline-Next-Cursor, Threadline-Truncated,"
    b" Threadline-Written",
)
# Paths whose last part anybody may have named.
NAMED = tuple(
    f"/v1/{kind}/" for kind in ("users", "segments", "goals", "annotations", "insights", "boards")
)
# What a member gets is in no cache on the way: nothing there tells whose the cookie was.
OF_ONE = [(b"cache-control", b"private, no-store"), (b"vary", b"Cookie")]
# A page that cannot read why it is refused would try for ever.
READABLE = [(b"access-control-allow-origin", b"*"), EXPOSED]


class App:
    """An ASGI application over services that are open already."""

    def __init__(self, services: Services, root_path: str = "") -> None:
        """`root_path`: what browsers have before all paths, such as `/stats`."""
        self._services = services
        self._mcp = mcp.Mcp(self._answer)
        routes = [
            *ingest.ROUTES,
            *questions.ROUTES,
            *sql.ROUTES,
            *identity.ROUTES,
            *definitions.ROUTES,
            *classify.ROUTES,
            *refusals.ROUTES,
            *one_person.ROUTES,
            *projects.ROUTES,
            *operation.ROUTES,
            *rules.ROUTES,
            *signed_in.ROUTES,
            *sign_in.ROUTES,
            *oidc.ROUTES,
            *members.ROUTES,
            *share_links.ROUTES,
            *assets.ROUTES,
            *rudder.ROUTES,
            *self._mcp.routes,
            *skills.ROUTES,
            *dashboard.ROUTES,
            *site.ROUTES,
            *server.ROUTES,
        ]
        self._root_path = root_path
        listed = [*routes, *server.about(routes, self._root_path)]
        self._routes = Routes(listed, self._root_path)

    @property
    def routes(self) -> list[Route]:
        """All that there are, those about the server itself included."""
        return self._routes.listed

    async def close(self) -> None:
        """End what goes on between requests: sessions of agents."""
        await self._mcp.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", "the server is started without web sockets"
        scope["root_path"] = self._root_path
        if scope["method"] == "OPTIONS":
            await self._options(scope).send(send)
            return
        keyed = bool(header(scope, "authorization"))
        room = self._services.room if keyed else self._services.strangers
        with RequestHold(room) as hold:
            request = Request(self._services, scope, receive, _path(scope), hold)
            given = await self._answer(request)
        if request.member:
            given = given._replace(headers=[*given.headers, *OF_ONE])
        if origin := request.header("origin"):
            given = given._replace(headers=[*given.headers, *_cors(origin, request, given)])
        try:
            await given.send(send, without_body=scope["method"] == "HEAD")
        except (StoreError, TimeoutError) as error:
            reason = str(error) or "nobody took it any more"
            _logger.warning("answer_broken_off", path=request.path, reason=reason)
            raise

    async def _answer(self, request: Request) -> Answer:
        """Every error is translated here, and nowhere else."""
        route: Route | None = None
        try:
            route, request.in_path = self._routes.find(request.path, request.method)
            if route.doc:
                await let_in(request, route.doc)
            return await route.handle(request)
        except Exception as raised:  # noqa: BLE001 - what is not foreseen is logged with an id
            error = as_api_error(raised, method=request.method, path=request.path)
            if route and route.doc and route.doc.takes_events:
                self._services.metrics.rejected.labels(error.code).inc()
                self._services.refusals.note(
                    request.known_project_id, error.code, route.path, request.header("origin")
                )
            if isinstance(raised, ApiError):
                await request.drain()
            return answer_error(error, request.base_url, request.segment)

    def _note_preflight(self, scope: Scope, origin: str) -> None:
        """The request that it asks for never comes, so this is all that is seen of it."""
        try:
            method = header(scope, "access-control-request-method")
            route, _ = self._routes.find(_path(scope), method)
        except ApiError:
            return
        if route.doc and route.doc.takes_events:
            self._services.refusals.note(NO_PROJECT, OriginNotAllowed.code, route.path, origin)

    def _options(self, scope: Scope) -> Answer:
        wanted = dict(scope["headers"])
        if b"access-control-request-method" not in wanted:
            allowed = ", ".join(self._routes.methods(_path(scope)))
            return Answer(204, [(b"allow", allowed.encode())], b"")
        origin = header(scope, "origin")
        if not origin_allowed(origin, self._services.control.origins()):
            self._note_preflight(scope, origin)
            message = f"Origin {origin or '(none)'} is on no project's allowlist."
            here = base_url(scope, self._services.settings.public_url)
            return answer_error(OriginNotAllowed(message), here)
        names, asked = ALLOWED_HEADERS, wanted.get(b"access-control-request-headers", b"")
        if HEADER_NAMES.fullmatch(asked):
            names += b", " + asked
        headers = [*_allow(origin), *PREFLIGHT_HEADERS, (b"access-control-allow-headers", names)]
        return Answer(204, headers, b"")


def _path(scope: Scope) -> str:
    """The path as routes are found by."""
    path = _below(scope["root_path"], scope["path"])
    if path.startswith(NAMED):
        # A user id may hold a slash; only the path as it was sent still tells which is which.
        raw: bytes = scope["raw_path"]
        path = _below(scope["root_path"], raw.decode("ascii", "replace"))
    path = path.rstrip("/") or "/"
    return SHORT.get(path, path)


def _below(root_path: str, path: str) -> str:
    """Without the prefix, which some proxies take away themselves."""
    if path.startswith("//"):
        # `https://stats.example/` + `/v1/batch`: the commonest slip of all.
        path = "/" + path.lstrip("/")
    if root_path and f"{path}/".startswith(f"{root_path}/"):
        path = "/" + path.removeprefix(root_path).lstrip("/")
    return path


def _cors(origin: str, request: Request, given: Answer) -> Headers:
    if request.allowed_origin:
        return _allow(origin)
    return READABLE if given.status >= 400 else []


def _allow(origin: str) -> Headers:
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        EXPOSED,
        (b"vary", b"Origin"),
    ]
