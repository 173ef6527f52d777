"""WSGI middleware: `application = Middleware(application)`."""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from wsgiref.util import request_uri

from threadline.client.context import Context, use_context
from threadline.client.visit import KEY, Headers, RequestInfo, Rules, Visit, may_hold_id

Environ = dict[str, Any]


class Middleware:
    """Every request gets its visit as `environ["threadline"]`, and answers the cookie."""

    def __init__(self, app: Callable[..., Iterable[bytes]], **rules: Any) -> None:
        """`rules`: see `Rules`; `user_id` is asked with the environ."""
        self._app = app
        self._rules = Rules(**rules)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        visit = Visit(request_info(environ), self._rules, environ)
        environ[KEY] = visit

        def start(status: str, given: list[tuple[str, str]], *more: Any) -> Any:
            found = {name.lower(): value for name, value in given}
            cookie = visit.cookie(
                int(status[:3]), found.get("content-type", ""), found.get("cache-control", "")
            )
            if cookie:
                given = [*given, ("Set-Cookie", cookie), ("Vary", "Cookie")]
            return start_response(status, given, *more)

        with use_context(visit.context):
            parts = self._app(environ, start)
        # A list is done with; a file is sent by the server itself, if it is the very object.
        file = environ.get("wsgi.file_wrapper")
        if isinstance(parts, list | tuple) or (isinstance(file, type) and isinstance(parts, file)):
            return parts
        return Streamed(parts, visit.context)


class Streamed:
    """An answer that is made while it is sent still serves its visitor."""

    def __init__(self, parts: Iterable[Any], context: Context) -> None:
        self._parts = parts
        self._context = context
        self._rest: Iterator[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        with use_context(self._context):
            if self._rest is None:
                self._rest = iter(self._parts)
            return next(self._rest)

    def close(self) -> None:
        """As whoever sends it calls at the end."""
        if hasattr(self._parts, "close"):
            with use_context(self._context):
                self._parts.close()


def headers(environ: Mapping[str, Any]) -> Headers:
    """The request's headers by their lower-case names."""

    def header(name: str) -> str:
        key = name.upper().replace("-", "_")
        bare = key in ("CONTENT_TYPE", "CONTENT_LENGTH")
        return str(environ.get(key if bare else f"HTTP_{key}", ""))

    return header


def request_info(environ: Environ) -> RequestInfo:
    """The request that the environ describes."""
    header = headers(environ)
    body = b""
    if may_hold_id(header):
        # Before anybody else does, and put back: a body can be read once.
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        environ["wsgi.input"] = io.BytesIO(body)
    scheme, _, rest = request_uri(environ).partition("://")
    host, slash, path = rest.partition("/")
    return RequestInfo(
        method=environ["REQUEST_METHOD"],
        scheme=scheme,
        host=environ.get("HTTP_HOST") or host,
        path=slash + path,
        header=header,
        peer=environ.get("REMOTE_ADDR", ""),
        body=lambda: body,
    )
