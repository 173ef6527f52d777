"""HTTP to one Threadline server: kept connections, packed bodies, one kind of error."""

import gzip
import json
import threading
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPSConnection
from time import time
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from threadline.client.errors import APIError, Unreachable

# Smaller bodies gain nothing.
PACK_FROM_BYTES = 1024
LONGEST_WAIT_S = 300.0
AGENT = "threadline-python"

Json = dict[str, Any]
Params = Mapping[str, object] | None


class Reply(NamedTuple):
    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    def json(self) -> Json:
        """The object; {} if it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def error(self) -> APIError:
        """What the server says is wrong."""
        found = self.json()
        details = found.get("details", {})
        message = str(details.get("message", self.text))
        return APIError(self.status, str(found.get("error", "unknown")), message, details)

    def wait_s(self) -> float:
        """What `Retry-After` asks for, in seconds or as a date; 0 if nothing."""
        asked = self.headers.get("Retry-After", "")
        if asked.isdecimal():
            return min(float(asked), LONGEST_WAIT_S)
        try:
            seconds = parsedate_to_datetime(asked).timestamp() - time()
        except (TypeError, ValueError):
            return 0.0
        return min(max(0.0, seconds), LONGEST_WAIT_S)


class Wire:
    """A connection for each thread that asks."""

    def __init__(self, host: str, key: str, timeout_s: float, pack: bool) -> None:
        """Raises `ValueError` for a host that is no address."""
        address = urlsplit(host)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError(f"host has to look like https://stats.example.com, not {host!r}")
        self._kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
        self._name, self._port = address.hostname, address.port
        self._path = address.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}", "User-Agent": AGENT}
        self._timeout_s = timeout_s
        self._pack = pack
        self.forget_connections()

    def forget_connections(self) -> None:
        """Leave them to the process that this one was forked from."""
        self._kept = threading.local()

    def send(self, method: str, path: str, body: bytes | None = None) -> Reply:
        """One try. Raises `Unreachable`."""
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
            if self._pack and len(body) >= PACK_FROM_BYTES:
                headers["Content-Encoding"] = "gzip"
                body = gzip.compress(body, 1)
        request = (method, self._path + path, body, headers)
        kept: HTTPConnection | None = getattr(self._kept, "connection", None)
        try:
            if kept is not None:
                try:
                    return _exchange(kept, *request)
                except TimeoutError:
                    raise
                except (OSError, HTTPException):
                    # Perhaps it was closed while it lay idle. To send an event twice is safe.
                    kept.close()
            self._kept.connection = kept = self._kind(
                self._name, self._port, timeout=self._timeout_s
            )
            return _exchange(kept, *request)
        except (OSError, HTTPException) as error:
            self._kept.connection = None
            if kept is not None:
                kept.close()
            reason = str(error) or type(error).__name__
            raise Unreachable(f"{self._name} does not answer: {reason}") from error

    def ask(self, method: str, path: str, params: Params = None, body: object = None) -> Json:
        """The JSON that a route answers. Raises `APIError` or `Unreachable`."""
        given = {name.rstrip("_"): _param(v) for name, v in (params or {}).items() if v is not None}
        query = f"?{urlencode(given)}" if given else ""
        raw = None if body is None else json.dumps(body).encode()
        reply = self.send(method, path + query, raw)
        if reply.status >= 300:
            raise reply.error()
        return reply.json()


def _exchange(
    connection: HTTPConnection, method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> Reply:
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    return Reply(response.status, response.headers, response.read())


def in_path(part: str) -> str:
    """An id as a part of a path, whatever it holds."""
    return quote(part, safe="")


def _param(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
