"""`/mcp` and `/mcp/account`: agents, by the Model Context Protocol.

A tool's call becomes a request to the API's own route, inside this process, with the same key: it
is let in, bounded, answered and refused as any other. The SDK is imported by the first call.
"""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from typing import Any
from urllib.parse import unquote, urlsplit

from threadline.contract.errors import (
    AccountKeyRequired,
    InvalidPayload,
    KeyKindNotAllowed,
    OriginNotAllowed,
    PayloadTooLarge,
    RateLimited,
    RequestTimeout,
    UnsupportedMediaType,
)
from threadline.control import Key, Project, origin_allowed
from threadline.http.answers import Answer
from threadline.http.asgi import Message, Scope
from threadline.http.doc import READ, Doc
from threadline.http.request import FORWARDED, Request
from threadline.http.routing import Route
from threadline.mcp.api import ProjectApi, Reply, Session
from threadline.runtime.memory import MIB

BODY_LIMIT = MIB
ACCOUNT_KEYS = ("ak",)
BUCKET = "mcp"
# Of the headers of the request around it, what a request inside has, too.
PASSED_ON = FORWARDED | {b"authorization", b"host", b"user-agent"}
IMPLEMENTATION = "threadline.mcp.over_http"
LOOPBACK_NAMES = ("localhost",)

Ask = Callable[[Request], Awaitable[Answer]]


class Inside:
    """The API for tools of one request. `admitted`: the project that an account key asks about, and
    the reading key that it stands for there."""

    def __init__(
        self, ask: Ask, around: Request, admitted: tuple[Key, Project] | None = None
    ) -> None:
        self._ask, self._around, self._admitted = ask, around, admitted

    async def call(self, method: str, path: str, query: str = "", body: bytes = b"") -> Reply:
        around = self._around
        own = {around.services.settings.client_address_header.lower().encode()}
        headers = [each for each in around.scope["headers"] if each[0] in PASSED_ON | own]
        scope: Scope = {
            **around.scope,
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [*headers, (b"content-type", b"application/json")],
            "state": {"body_read": True},
        }
        request = Request(around.services, scope, _nothing_more, path, around.hold, arrived=body)
        if self._admitted:
            request.admitted(*self._admitted)
        answered = await self._ask(request)
        assert isinstance(answered.body, bytes), f"{path} is no file"
        stale = any(name == b"threadline-stale" for name, _ in answered.headers)
        return Reply(answered.status, answered.body, stale)


async def _nothing_more() -> Message:
    return {"type": "http.disconnect"}


class Mcp:
    """The MCP server within the application; started by who first speaks to it."""

    def __init__(self, ask: Ask) -> None:
        """`ask`: answers a request to a route of the API."""
        self._ask = ask
        self._starting: asyncio.Task[Any] | None = None
        self._running: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    @property
    def routes(self) -> list[Route]:
        return [
            Route(method, path, partial(self._handle, of), doc)
            for path, of, docs in (
                ("/mcp", self._of_project, OF_PROJECT),
                ("/mcp/account", self._of_account, OF_ACCOUNT),
            )
            for method, doc in docs.items()
        ]

    async def close(self) -> None:
        """End all sessions."""
        self._stop.set()
        if self._starting:
            await self._starting
        if self._running:
            await self._running

    async def _handle(self, session_of: Callable[[Request], Session], request: Request) -> Answer:
        refuse_rebinding(request)
        body = await request.body(BODY_LIMIT) if request.method == "POST" else b""
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        server = await asyncio.shield(self._starting)
        given = await server.answer(
            _unpacked(request.scope), request.receive, body, session_of(request)
        )
        return Answer(given.status, given.headers, given.body)

    async def _start(self) -> Any:
        try:
            # Beside the event loop: it takes about a second, in which events go on to come.
            module = await asyncio.to_thread(import_module, IMPLEMENTATION)
        except BaseException:
            self._starting = None  # the next one tries again
            raise
        server = module.HttpServer()
        ready = asyncio.get_running_loop().create_future()
        self._running = asyncio.create_task(server.run(ready, self._stop))
        await ready
        return server

    def _of_project(self, request: Request) -> Session:
        key, project = request.key, request.project
        return Session(
            key.kind,
            key.label,
            Inside(self._ask, request),
            project.project_id,
            take=_limit(request),
        )

    def _of_account(self, request: Request) -> Session:
        key = request.key
        projects = [
            ProjectApi(
                project.project_id,
                project.name,
                Inside(
                    self._ask,
                    request,
                    (key._replace(kind="rk", project_id=project.project_id), project),
                ),
            )
            for project in request.services.control.projects()
        ]
        return Session(key.kind, key.label, projects=projects, take=_limit(request))


def _limit(request: Request) -> Callable[[], None]:
    buckets, project_id = request.services.buckets, request.project.project_id
    return partial(buckets.take, project_id, BUCKET, request.key.prefix)


def _unpacked(scope: Scope) -> Scope:
    """Without what is not true any more of a body that was unpacked."""
    gone = (b"content-length", b"content-encoding", b"transfer-encoding")
    return {**scope, "headers": [each for each in scope["headers"] if each[0] not in gone]}


def refuse_rebinding(request: Request) -> None:
    """A page can have its own name point to this machine, and then speak to what listens here as
    if to itself. Its browser says which page it is, and by which name. Raises `OriginNotAllowed`.
    """
    origin, settings = request.header("origin"), request.services.settings
    own = {urlsplit(settings.public_url).hostname or "", settings.host}
    host = urlsplit(f"//{request.header('host')}").hostname or ""
    local = is_loopback(request.scope["client"][0] if request.scope["client"] else "")
    forwarded = FORWARDED.intersection(dict(request.scope["headers"]))
    if local and not forwarded and not _is_address(host) and host not in own:
        raise OriginNotAllowed(
            f"This server does not know the host name {host[:100]!r}. Use the address that it"
            " listens on, or set THREADLINE_PUBLIC_URL to the one that people use."
        )
    if not origin or origin_allowed(origin, request.project.origins):
        return
    page = urlsplit(origin).hostname or ""
    if page in own - {""} or (is_loopback(page) and is_loopback(host)):
        return
    raise OriginNotAllowed(
        f"Origin {origin[:100]} may not use MCP here. Add it to the project's origins, or leave "
        "the header out if the client is not a browser."
    )


def _is_address(host: str) -> bool:
    """A number, or a name that only this machine has: no page can have its own name mean that."""
    if host in LOOPBACK_NAMES:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether it is this machine."""
    if host in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


ERRORS = (
    InvalidPayload,
    OriginNotAllowed,
    PayloadTooLarge,
    RateLimited,
    RequestTimeout,
    UnsupportedMediaType,
)
TAG = "Agents"


def _docs(
    keys: tuple[str, ...], refusal: type[KeyKindNotAllowed | AccountKeyRequired], what: str
) -> dict[str, Doc]:
    def doc(summary: str) -> Doc:
        return Doc(
            summary=summary,
            tag=TAG,
            keys=keys,
            by_key_only=True,
            refusal=refusal,
            answer=dict[str, Any],
            errors=ERRORS,
        )

    return {"POST": doc(what), "DELETE": doc("End a session of it")}


OF_PROJECT = _docs(READ, KeyKindNotAllowed, "Model Context Protocol, of one project: JSON-RPC")
OF_ACCOUNT = _docs(ACCOUNT_KEYS, AccountKeyRequired, "The same, of all projects")
