"""Reading a request body from the open internet: bounded, and unpacked within the same bound."""

import asyncio
import io
import zlib

import zstandard
from litestar.types import Receive, Scope

from threadline.contract.errors import (
    InvalidPayload,
    PayloadTooLarge,
    RequestTimeout,
    ThreadlineError,
    UnsupportedMediaType,
)

MIB = 1024 * 1024

# Beacons send text/plain to spare the preflight; scripts often send nothing at all.
JSON_TYPES = frozenset({"", "application/json", "text/plain", "application/octet-stream"})
MAX_ZSTD_WINDOW = 8 * MIB
# A client that is only a little over gets to finish, so that it reads the answer instead of a
# broken pipe. What comes is thrown away.
LINGER = 16 * MIB


def body_size(scope: Scope, at_most: int) -> int:
    """Bytes that the body takes while it is read: what it says of itself, else the most it may."""
    length = dict(scope["headers"]).get(b"content-length", b"").decode("latin-1")
    return min(int(length), at_most) if length.isdecimal() else at_most


async def read_body(scope: Scope, receive: Receive, limit: int, seconds: float) -> bytes:
    """The body, unpacked. `limit`: bytes allowed, both as sent and unpacked. `seconds`: how long it
    may take to arrive.

    Raises `PayloadTooLarge`, `UnsupportedMediaType`, `RequestTimeout`, or `InvalidPayload` for a
    broken packing.
    """
    headers = dict(scope["headers"])
    media_type = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0]
    media_type = media_type.strip().lower()
    if media_type not in JSON_TYPES and not media_type.endswith("+json"):
        raise UnsupportedMediaType(
            f"Content-Type {media_type} is not supported; send application/json."
        )
    length = headers.get(b"content-length", b"").decode("latin-1")
    if length.isdecimal() and int(length) > limit + LINGER:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(seconds):
            body = await _receive(scope, receive, limit)
    except TimeoutError:
        raise RequestTimeout(f"The body did not arrive within {seconds} s.") from None
    return unpack(body, headers.get(b"content-encoding", b"").decode("latin-1"), limit)


async def drain(scope: Scope, receive: Receive, seconds: float) -> None:
    """Throw a body away that nobody will read, before its request is refused: a connection with an
    unread body is closed, and the client's next request breaks on it."""
    headers = dict(scope["headers"])
    if headers.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in headers:
        return
    if scope.get("state", {}).get("body_read"):
        return
    try:
        async with asyncio.timeout(seconds):
            await _receive(scope, receive, 0)
    except (ThreadlineError, TimeoutError):
        return


async def _receive(scope: Scope, receive: Receive, limit: int) -> bytes:
    chunks: list[bytes] = []
    received, more = 0, True
    while more and received <= limit + LINGER:
        message = await receive()
        if message["type"] != "http.request":
            raise InvalidPayload("The connection ended before the body did.")
        received += len(message["body"])
        more = message["more_body"]
        if received <= limit:
            chunks.append(message["body"])
    scope.setdefault("state", {})["body_read"] = not more
    if received > limit:
        raise _too_large(limit)
    return b"".join(chunks)


def unpack(body: bytes, encoding: str, limit: int) -> bytes:
    """Undo the content encoding without ever holding more than `limit` + 1 unpacked bytes."""
    unpackers = {"": _as_it_is, "identity": _as_it_is, "gzip": _gunzip, "zstd": _unzstd}
    name = encoding.strip().lower()
    if name not in unpackers:
        raise UnsupportedMediaType(f"Content-Encoding {name} is not supported; use gzip or zstd.")
    try:
        unpacked = unpackers[name](body, limit)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise InvalidPayload(f"The body is not valid {name}: {error}.") from None
    if len(unpacked) > limit:
        raise _too_large(limit)
    return unpacked


def _as_it_is(body: bytes, limit: int) -> bytes:
    return body


def _gunzip(body: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj(wbits=31)
    unpacked = stream.decompress(body, limit + 1)
    if not stream.eof and len(unpacked) <= limit:
        raise EOFError("it ends too early")
    return unpacked


def _unzstd(body: bytes, limit: int) -> bytes:
    packed = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW)
    with packed.stream_reader(io.BytesIO(body), read_across_frames=True) as reader:
        unpacked = reader.read(limit + 1)
    if body and not unpacked:
        raise EOFError("it ends too early")
    return bytes(unpacked)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is over {limit // MIB} MiB.", limit_bytes=limit)
