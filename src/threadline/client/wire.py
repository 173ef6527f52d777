"""HTTP to one Threadline server: kept connections, packed bodies, one kind of error."""

import gzip
import json
import threading
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPResponse
from time import time
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from threadline.client.address import (
    REDIRECTS,
    Address,
    connect,
    find_proxy,
    redirected,
)
from threadline.client.errors import APIError, Unreachable
from threadline.client.values import id_text

# Smaller bodies gain nothing.
PACK_FROM_BYTES = 1024
LONGEST_WAIT_S = 300.0
MAX_REDIRECTS = 5
MAX_MESSAGE = 200  # of a page that is no answer of Threadline's
AGENT = "threadline-python"

Json = dict[str, Any]
QueryParams = Mapping[str, object] | None


class Reply(NamedTuple):
    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    def json(self) -> Json:
        """The object; {} for anything else."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def error(self) -> APIError:
        """What the server says is wrong."""
        found = self.json()
        if 300 <= self.status < 400:
            return APIError(self.status, "redirected", self._redirect(), {})
        details = found.get("details")
        details = details if isinstance(details, dict) else {}
        message = str(details.get("message", self.text[:MAX_MESSAGE]))
        if isinstance(fields := details.get("fieldErrors"), dict):
            message += "".join(f" {name}: {why}" for name, why in fields.items())[:MAX_MESSAGE]
        return APIError(self.status, str(found.get("error", "unknown")), message, details)

    def _redirect(self) -> str:
        location = self.headers.get("Location")
        if not location:
            return "the server points elsewhere, but does not say where to"
        return (
            f"the server points to {location}. The key goes along only within the host, at most"
            f" {MAX_REDIRECTS} times and never out of https. Set host to where it should go."
        )

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
    """Connections for each thread that asks, one for each address."""

    def __init__(
        self,
        address: Address,
        key: str,
        timeout_s: float,
        pack: bool,
        proxy: str | None = None,
        agent: str = AGENT,
    ) -> None:
        """Raises `ValueError` for a proxy that is no address."""
        self._address = address
        self._proxy = find_proxy(self._address, proxy)
        self._headers = {"Authorization": f"Bearer {key}", "User-Agent": agent}
        self._timeout_s = timeout_s
        self._pack = pack
        self.forget_connections()

    def forget_connections(self) -> None:
        """Leave them to the process that this one was forked from."""
        self._idle = threading.local()

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        within_s: float | None = None,
        more: Mapping[str, str] | None = None,
    ) -> Reply:
        """One try; redirects within the host, or to its https, are followed. `within_s`: where
        there is less time than usual. `more`: headers. Raises `Unreachable`."""
        headers = {**self._headers, **(more or {})}
        if body is not None:
            headers["Content-Type"] = "application/json"
            if self._pack and len(body) >= PACK_FROM_BYTES:
                headers["Content-Encoding"] = "gzip"
                body = gzip.compress(body, 1)
        timeout_s = min(self._timeout_s, within_s or self._timeout_s)
        address, path = self._address, self._address.path + path
        for _ in range(MAX_REDIRECTS):
            reply = self._exchange(address, method, path, body, headers, timeout_s)
            if reply.status not in REDIRECTS:
                return reply
            target = redirected(address, path, reply.headers.get("Location", ""))
            if target is None:
                break
            address, path = target
        return reply

    def _exchange(
        self,
        address: Address,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
        timeout_s: float,
    ) -> Reply:
        path, headers = self._by_proxy(address, path, headers)
        request = (method, path, body, headers, timeout_s)
        idle: dict[str, HTTPConnection] = self._idle.__dict__
        connection = idle.pop(address.origin, None)
        try:
            if connection is not None:
                try:
                    reply = _exchange(connection, *request)
                    idle[address.origin] = connection
                    return reply
                except TimeoutError:
                    raise
                except (OSError, HTTPException):
                    # Perhaps it was closed while it lay idle. To send an event twice is safe.
                    connection.close()
            connection = connect(address, self._proxy, timeout_s)
            reply = _exchange(connection, *request)
            idle[address.origin] = connection
            return reply
        except (OSError, HTTPException) as error:
            if connection is not None:
                connection.close()
            raise _silent(address, error) from error

    def _by_proxy(
        self, address: Address, path: str, headers: dict[str, str]
    ) -> tuple[str, dict[str, str]]:
        """Path and headers as who takes the request wants them."""
        if self._proxy and address.scheme == "http":  # it wants to know the whole address
            return address.origin + path, headers | self._proxy.headers
        return path, headers

    def ask(self, method: str, path: str, params: QueryParams = None, body: object = None) -> Json:
        """The JSON that a route answers. Raises `APIError` or `Unreachable`."""
        raw = None if body is None else json.dumps(body).encode()
        reply = self.send(method, path + _query(params), raw)
        if reply.status >= 300:
            raise reply.error()
        return reply.json()

    def open(self, path: str, params: QueryParams = None) -> HTTPResponse:
        """A long answer, to be read piece by piece; closing it closes its connection. Raises
        `APIError` or `Unreachable`."""
        address = self._address
        connection = connect(address, self._proxy, self._timeout_s)
        path, headers = self._by_proxy(
            address,
            address.path + path + _query(params),
            {**self._headers, "Connection": "close"},
        )
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            if response.status == 200:
                return response
            with response:
                raise Reply(response.status, response.headers, response.read()).error()
        except (OSError, HTTPException) as error:
            connection.close()
            raise _silent(address, error) from error


def _silent(address: Address, error: Exception) -> Unreachable:
    return Unreachable(f"{address.host} does not answer: {str(error) or type(error).__name__}")


def _query(params: QueryParams) -> str:
    given = {name.rstrip("_"): _param(v) for name, v in (params or {}).items() if v is not None}
    return f"?{urlencode(given)}" if given else ""


def _exchange(
    connection: HTTPConnection,
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
    timeout_s: float,
) -> Reply:
    if connection.sock is not None:
        connection.sock.settimeout(timeout_s)
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    return Reply(response.status, response.headers, response.read())


def in_path(identifier: object) -> str:
    """An id as a part of a path, whatever it holds."""
    return quote(id_text(identifier), safe="")


def _param(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
