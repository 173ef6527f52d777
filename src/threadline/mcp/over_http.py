"""Streamable HTTP by the SDK's own session manager: with sessions for clients that begin with
`initialize`, and without for every other request, of the newest protocol, too.

Each answer is one JSON document, so nothing is kept open between requests, and a client that goes
away leaves nothing behind but a session, of which there are so many at most, for so long.
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
from threadline.mcp.server import create

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

MAX_SESSIONS = 1000
IDLE_S = 1800.0
SESSION = "threadline.session"
INITIALIZE = "initialize"


class Given(NamedTuple):
    """An answer, as it is to go out."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class _Method(msgspec.Struct):
    method: str = ""


class HttpServer:
    """The MCP server of one process, over HTTP."""

    def __init__(self) -> None:
        server = create(lambda ctx: ctx.request.scope[SESSION])
        self._with_sessions = StreamableHTTPSessionManager(
            server, json_response=True, session_idle_timeout=IDLE_S, max_sessions=MAX_SESSIONS
        )
        self._without = StreamableHTTPSessionManager(server, json_response=True, stateless=True)

    async def run(self, ready: "asyncio.Future[None]", stop: asyncio.Event) -> None:
        """Until `stop`, in one task: what it opens has to be closed where it was opened."""
        async with AsyncExitStack() as running:
            await running.enter_async_context(self._with_sessions.run())
            await running.enter_async_context(self._without.run())
            ready.set_result(None)
            await stop.wait()

    async def answer(self, scope: Scope, receive: Receive, body: bytes, session: Session) -> Given:
        """What the SDK answers to a request whose key was let in. `body`: already read."""
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

        await self._manager(given, body).handle_request(given, replay, send)
        headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
        return Given(start["status"], headers, b"".join(parts))

    def _manager(self, scope: Scope, body: bytes) -> StreamableHTTPSessionManager:
        headers = dict(scope["headers"])
        version = headers.get(b"mcp-protocol-version", b"").decode("latin-1")
        if version and version not in HANDSHAKE_PROTOCOL_VERSIONS:
            return self._without
        begins = b"mcp-session-id" in headers or _method(body) == INITIALIZE
        return self._with_sessions if begins else self._without


def _method(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Method).method
    except (ValueError, RecursionError):
        return ""
