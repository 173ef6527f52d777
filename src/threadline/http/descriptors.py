"""File descriptors: as many as there may be, and none of them kept by connections that say nothing.

Each connection takes one, and the engine needs some hundreds for itself. Where they run out nobody
can connect any more, and questions fail. So the limit is raised as far as it goes, and when
connections come near it, those that have been silent longest are answered 503 and closed.
"""

import os
import resource
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import structlog

from threadline.runtime.housekeeping import repeated

# What the engine, the log and everything else but connections take at most.
RESERVED = 800
# Connections that may be open at the same time, where descriptors are no limit.
MOST_CONNECTIONS = 16_384
FEWEST_CONNECTIONS = 64
# From this share on, connections that have said nothing for so long have to go, but for a few; and
# those that have had no answer for so long, because what they ask does not come to an end.
CROWDED = 0.75
KEPT = 0.25
SILENT_S = 0.5
UNANSWERED_S = 10.0
LOOK_EVERY_S = 0.25
SAY_AGAIN_S = 10.0

CROWDED_OUT = (
    b'{"error":"unavailable","details":{"message":"Too many connections"},'
    b'"docs_url":"/docs/errors/#unavailable"}'
)
GOODBYE = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 5\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%b"
) % (len(CROWDED_OUT), CROWDED_OUT)
# `tcp_info` of Linux: milliseconds since data was received, and bytes that the other end has had.
TCP_INFO = struct.Struct("=52xI64xQ")
# What is sent before any answer counts as one byte.
NOTHING_SENT = 1

_logger = structlog.get_logger("threadline")


def raise_limit() -> int:
    """Raise the limit on open files as far as this process may; what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:
        _logger.warning("descriptors_not_raised", limit=soft, error=str(error))
        return soft
    return hard


def most_connections(limit: int) -> int:
    """How many connections there may be where so many files may be open."""
    if limit == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(FEWEST_CONNECTIONS, min(MOST_CONNECTIONS, limit - RESERVED))


class OpenConnection(NamedTuple):
    """A connection to the server: its descriptor, the socket behind that, for how long it has been
    silent, and whether it was ever sent anything."""

    descriptor: int
    inode: str
    silent_s: float
    answered: bool


def connections(port: int) -> list[OpenConnection]:
    """Those to this port of ours, the most silent first."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        connection = _connection(int(name), port)
        if connection is not None:
            found.append(connection)
    return sorted(found, key=lambda connection: -connection.silent_s)


def _connection(descriptor: int, port: int) -> OpenConnection | None:
    """None for what is no connection to the port."""
    try:
        inode = os.readlink(f"/proc/self/fd/{descriptor}")
        if not inode.startswith("socket:"):
            return None
        with socket.socket(fileno=os.dup(descriptor)) as peer:
            if peer.family not in (socket.AF_INET, socket.AF_INET6):
                return None
            if peer.getsockname()[1] != port or peer.getsockopt(
                socket.SOL_SOCKET, socket.SO_ACCEPTCONN
            ):
                return None
            info = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO.size)
            silent_ms, sent = TCP_INFO.unpack(info)
            return OpenConnection(descriptor, inode, silent_ms / 1000, sent > NOTHING_SENT)
    except OSError:  # it has gone meanwhile
        return None


def make_room(port: int, most: int, since: dict[str, float], now_s: float) -> int:
    """Where there are nearly as many connections as may be, close those that say nothing and those
    that never get to an answer; how many. `since`: when which socket was seen first."""
    there = connections(port)
    known = {connection.inode: since.get(connection.inode, now_s) for connection in there}
    since.clear()
    since.update(known)
    if len(there) < most * CROWDED:
        return 0
    silent = [at for at in there if at.silent_s >= SILENT_S]
    stuck = [at for at in there if not at.answered and now_s - known[at.inode] >= UNANSWERED_S]
    closed = 0
    for connection in {*silent[: len(there) - int(most * KEPT)], *stuck}:
        try:
            with socket.socket(fileno=os.dup(connection.descriptor)) as peer:
                peer.setblocking(False)
                peer.send(GOODBYE)
                peer.shutdown(socket.SHUT_RDWR)
        except OSError:  # it has gone meanwhile
            continue
        closed += 1
    return closed


@contextmanager
def bounded_connections(port: int, most: int) -> Iterator[None]:
    """Make room now and again, on a thread of its own, as long as the block lasts. Only where the
    system tells which connections there are (Linux)."""
    if not os.path.isdir("/proc/self/fd") or not hasattr(socket, "TCP_INFO"):
        yield
        return
    since: dict[str, float] = {}
    said_s = -SAY_AGAIN_S

    def look() -> None:
        nonlocal said_s
        closed = make_room(port, most, since, time.monotonic())
        if closed and time.monotonic() - said_s >= SAY_AGAIN_S:
            said_s = time.monotonic()
            _logger.warning("connections_closed", closed=closed, most=most)

    # It goes on even if there is no descriptor left to look with: then it is needed most.
    with repeated(look, LOOK_EVERY_S, "connections"):
        yield
