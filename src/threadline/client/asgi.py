"""ASGI middleware: `app = Middleware(app)`."""

from collections.abc import Awaitable, Callable
from typing import Any

from threadline.client.context import enter, leave
from threadline.client.visit import MAX_BODY_BYTES, Asked, Rules, Visit

# Every framework has types of its own for these, and none that another would take.
Scope = Any
Message = Any
Receive = Callable[..., Awaitable[Any]]
Send = Callable[..., Awaitable[None]]
KEY = "threadline"


class Middleware:
    """Every request gets its visit as `scope["state"]["threadline"]`, which is
    `request.state.threadline` in Starlette, FastAPI and Litestar, and answers the cookie."""

    def __init__(self, app: Callable[..., Awaitable[None]], **rules: Any) -> None:
        """`rules`: see `Rules`; `user_id` may be a function of the scope."""
        self._app = app
        self._user_id = rules.pop("user_id", None)
        self._rules = Rules(**rules)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        body, receive = await _small_body(scope, receive)
        of_user = self._user_id
        visit = Visit(asked(scope, body), self._rules, of_user and (lambda: of_user(scope)))
        scope.setdefault("state", {})[KEY] = visit

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", []))
                found = {name.lower(): value.decode("latin-1") for name, value in headers}
                cookie = visit.cookie(
                    message["status"],
                    found.get(b"content-type", ""),
                    found.get(b"cache-control", ""),
                )
                if cookie:
                    headers += [(b"set-cookie", cookie.encode("latin-1")), (b"vary", b"Cookie")]
                    message = {**message, "headers": headers}
            await send(message)

        token = enter(visit.context)
        try:
            await self._app(scope, receive, answer)
        finally:
            leave(token)


def asked(scope: Scope, body: bytes) -> Asked:
    """The request that the scope describes."""
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    query = scope.get("query_string", b"").decode("latin-1")
    path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
    server = scope.get("server") or ("", None)
    return Asked(
        method=scope.get("method", "GET"),
        scheme=scope["scheme"],
        host=headers.get(b"host", server[0]),
        path=path + (f"?{query}" if query else ""),
        header=lambda name: headers.get(name.encode(), ""),
        peer=(scope.get("client") or ("",))[0],
        body=lambda: body,
    )


async def _small_body(scope: Scope, receive: Receive) -> tuple[bytes, Receive]:
    """A body that may hold the visitor's id, and a `receive` that gives it again."""
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"").decode("latin-1")
    media_type = headers.get(b"content-type", b"").lower()
    wanted = media_type.startswith((b"application/x-www-form-urlencoded", b"application/json"))
    if not wanted or not length.isdecimal() or int(length) > MAX_BODY_BYTES:
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
