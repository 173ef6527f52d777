"""ASGI middleware: `app = Middleware(app)`."""

from collections.abc import Awaitable, Callable
from typing import Any

from threadline.client.context import use_context
from threadline.client.visit import KEY, Headers, RequestInfo, Rules, Visit, may_hold_id

# Every framework has types of its own for these, and none that another would take.
Scope = Any
Message = Any
Receive = Callable[..., Awaitable[Any]]
Send = Callable[..., Awaitable[None]]


class Middleware:
    """Every request gets its visit as `scope["state"]["threadline"]`, which is
    `request.state.threadline` in Starlette, FastAPI and Litestar, and answers the cookie."""

    def __init__(self, app: Callable[..., Awaitable[None]], **rules: Any) -> None:
        """`rules`: see `Rules`; `user_id` is asked with the scope."""
        self._app = app
        self._rules = Rules(**rules)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        header = headers(scope)
        body, receive = await _small_body(header, receive)
        visit = Visit(request_info(scope, header, body), self._rules, scope)
        scope.setdefault("state", {})[KEY] = visit

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", []))
                found = {name.lower(): value.decode("latin-1") for name, value in given}
                cookie = visit.cookie(
                    message["status"],
                    found.get(b"content-type", ""),
                    found.get(b"cache-control", ""),
                )
                if cookie:
                    given += [(b"set-cookie", cookie.encode("latin-1")), (b"vary", b"Cookie")]
                    message = {**message, "headers": given}
            await send(message)

        with use_context(visit.context):
            await self._app(scope, receive, answer)


def headers(scope: Scope) -> Headers:
    """The request's headers by their lower-case names."""
    found = {name: value.decode("latin-1") for name, value in scope["headers"]}
    return lambda name: found.get(name.encode(), "")


def request_info(scope: Scope, header: Headers, body: bytes) -> RequestInfo:
    """The request that the scope describes."""
    query = scope.get("query_string", b"").decode("latin-1")
    path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
    server = scope.get("server") or ("", None)
    return RequestInfo(
        method=scope.get("method", "GET"),
        scheme=scope["scheme"],
        host=header("host") or server[0],
        path=path + (f"?{query}" if query else ""),
        header=header,
        peer=(scope.get("client") or ("",))[0],
        body=lambda: body,
    )


async def _small_body(header: Headers, receive: Receive) -> tuple[bytes, Receive]:
    """A body that may hold the visitor's id, and a `receive` that gives it again."""
    if not may_hold_id(header):
        return b"", receive
    messages: list[Message] = []
    while True:
        message = await receive()
        messages.append(message)
        if message["type"] != "http.request" or not message.get("more_body"):
            break
    body = b"".join(message.get("body", b"") for message in messages)

    async def again() -> Message:
        return messages.pop(0) if messages else await receive()

    return body, again
