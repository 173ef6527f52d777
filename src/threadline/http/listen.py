"""The address that the server listens on: a name, IPv4 or IPv6, and what is wrong with it."""

import asyncio
import errno
import socket
from pathlib import Path

from threadline.runtime.folder import server_at


class CannotListen(Exception):
    """The address cannot be had; the message says why and what to do."""


async def until_answering(serving: "asyncio.Future[None]", address: str, port: int) -> None:
    """Raises `CannotListen` if serving ends before anybody could connect."""
    while not serving.done():
        try:
            _, writer = await asyncio.open_connection(address, port)
        except OSError:
            await asyncio.wait([serving], timeout=0.01)
        else:
            writer.close()
            await writer.wait_closed()
            return
    reason = str(serving.exception() or "it stopped at once").partition("\n")[0]
    raise CannotListen(f"The server cannot listen on {bracketed(address)}:{port}: {reason}.")


def resolve(host: str) -> str:
    """The numeric address of a host. Raises `CannotListen` if it has none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise CannotListen(
            f"There is no host {host!r}; give --host an address of this machine: 127.0.0.1."
        ) from None
    return str(found[0][4][0])


def take_port(address: str, port: int) -> int:
    """The port to listen on, a free one for 0. Raises `CannotListen` where it is not to be had."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise CannotListen(_refusal(error, address, port)) from None
        return int(probe.getsockname()[1])


def _refusal(error: OSError, address: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        folder = server_at(port, Path())
        by = f" (by Threadline on ./{folder})" if folder else ""
        return f"Port {port} is taken{by}. Stop it, or give --port."
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return f"This machine has no address {address}."
    if error.errno == errno.EACCES:
        return f"Port {port} needs root; give --port 1024 or higher, behind a proxy."
    return f"{bracketed(address)}:{port}: {error.strerror}."


def bracketed(host: str) -> str:
    """As it stands in a URL."""
    return f"[{host}]" if ":" in host else host
