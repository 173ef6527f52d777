"""Streamable HTTP by the SDK's own session manager: with sessions for clients that begin with
`initialize`, and without for every other request, of the newest protocol, too.

Each answer is one JSON document, so nothing is kept open between requests, and a client that goes
away leaves nothing behind but a session, of which there are so many at most, for so long. Where
there are too many, one ends for each that begins; its client is told so, and begins anew.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import msgspec
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from threadline.mcp.api import Session
from threadline.mcp.open_sessions import OpenSessions
from threadline.mcp.server import create

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

MAX_SESSIONS = 1000
# What begins at the same moment is counted only when it has begun.
AT_ONCE = 200
IDLE_S = 1800.0
SESSION = "threadline.session"
INITIALIZE = "initialize"
SESSION_ID = b"mcp-session-id"


class Given(NamedTuple):
    """An answer, as it is to go out."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class _Method(msgspec.Struct):
    method: str = ""


class HttpServer:
    """The MCP server of one process, over HTTP."""

    def __init__(self, most: int = MAX_SESSIONS) -> None:
        """`most`: sessions at a time."""
        server = create(lambda ctx: ctx.request.scope[SESSION])
        self._with_sessions = StreamableHTTPSessionManager(
            server, json_response=True, session_idle_timeout=IDLE_S, max_sessions=most + AT_ONCE
        )
        self._without = StreamableHTTPSessionManager(server, json_response=True, stateless=True)
        self._open = OpenSessions(most, IDLE_S)

    async def run(self, ready: "asyncio.Future[None]", stop: asyncio.Event) -> None:
        """Until `stop`, in one task: what it opens has to be closed where it was opened."""
        async with AsyncExitStack() as running:
            await running.enter_async_context(self._with_sessions.run())
            await running.enter_async_context(self._without.run())
            ready.set_result(None)
            await stop.wait()

    async def answer(self, scope: Scope, receive: Receive, body: bytes, session: Session) -> Given:
        """What the SDK answers to a request whose key was let in. `body`: already read."""
        manager = self._manager(scope, body)
        if manager is self._without:
            return await _handled(manager, scope, receive, body, session)
        asked = dict(scope["headers"]).get(SESSION_ID, b"").decode("latin-1")
        if not asked:
            await self._make_room(scope, receive)
        elif self._open.knows(asked, session.label):
            self._open.heard(asked, session.label)  # so that it is not ended meanwhile
        given = await _handled(manager, scope, receive, body, session)
        began = dict(given.headers).get(SESSION_ID, b"").decode("latin-1")
        self._note(scope["method"], asked, began, given.status, session.label)
        return given

    async def _make_room(self, scope: Scope, receive: Receive) -> None:
        """End what is in the way of a session that begins, as its own client would."""
        while found := self._open.in_the_way():
            name, owner = found
            self._open.ended(name)
            headers = [(SESSION_ID, name.encode()), *_without_session(scope)]
            ending = {**scope, "method": "DELETE", "headers": headers}
            await _handled(self._with_sessions, ending, receive, b"", Session("", owner))

    def _note(self, method: str, asked: str, began: str, status: int, owner: str) -> None:
        name = asked or began
        if not name or (asked and not self._open.knows(asked, owner)):
            return
        if status == 404 or method == "DELETE":
            self._open.ended(name)
        else:
            self._open.heard(name, owner)

    def _manager(self, scope: Scope, body: bytes) -> StreamableHTTPSessionManager:
        headers = dict(scope["headers"])
        version = headers.get(b"mcp-protocol-version", b"").decode("latin-1")
        if version and version not in HANDSHAKE_PROTOCOL_VERSIONS:
            return self._without
        begins = SESSION_ID in headers or _method(body) == INITIALIZE
        return self._with_sessions if begins else self._without


async def _handled(
    manager: StreamableHTTPSessionManager,
    scope: Scope,
    receive: Receive,
    body: bytes,
    session: Session,
) -> Given:
    token = AccessToken(token="", client_id=session.label, scopes=[])
    given = {**scope, SESSION: session, "user": AuthenticatedUser(token)}
    sent = [{"type": "http.request", "body": body, "more_body": False}]
    start: Message = {"status": 500, "headers": []}
    parts: list[bytes] = []

    async def replay() -> Message:
        return sent.pop() if sent else await receive()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            parts.append(message.get("body", b""))

    await manager.handle_request(given, replay, send)
    headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
    return Given(start["status"], headers, b"".join(parts))


def _without_session(scope: Scope) -> list[tuple[bytes, bytes]]:
    return [each for each in scope["headers"] if each[0] != SESSION_ID]


def _method(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Method).method
    except (ValueError, RecursionError):
        return ""
