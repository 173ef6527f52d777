"""Reading a request body from the open internet: bounded, and unpacked within the same bound."""

import asyncio
import io
import zlib
from collections.abc import Iterator

import zstandard

from threadline.contract.errors import (
    ApiError,
    InvalidPayload,
    PayloadTooLarge,
    RequestTimeout,
    UnsupportedMediaType,
)
from threadline.http.asgi import Receive, Scope
from threadline.runtime.memory import MIB, RequestHold

# Beacons send text/plain to spare the preflight; scripts often send nothing at all. What is called
# something else has to look like JSON.
JSON_TYPES = frozenset({"", "application/json", "text/plain", "application/octet-stream"})
MAX_ZSTD_WINDOW = 8 * MIB
# A client that is over the limit gets to finish, so that it reads the answer instead of a broken
# pipe. What comes is thrown away.
LINGER = 64 * MIB
# Unpacked at a time, and looked at of what is packed: what is left of a piece is copied for each
# member in it.
STEP = 1 * MIB
PIECE = 64 * 1024
MAX_MEMBERS = 10_000


async def read_body(
    scope: Scope, receive: Receive, limit: int, seconds: float, hold: RequestHold
) -> bytes:
    """The body as it was sent. `limit`: bytes allowed. `seconds`: how long it may take to arrive.

    Raises `PayloadTooLarge`, `RequestTimeout`, or `Unavailable` if there is no memory for it.
    """
    length = dict(scope["headers"]).get(b"content-length", b"").decode("latin-1")
    if length.isdecimal() and int(length) > limit + LINGER:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(seconds):
            return await _receive(scope, receive, limit, hold)
    except TimeoutError:
        scope["state"]["body_read"] = True  # nobody waits for it again
        raise RequestTimeout(f"The body did not arrive within {seconds} s.") from None


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
            await _receive(scope, receive, 0, None)
    except (ApiError, TimeoutError):
        return


async def _receive(scope: Scope, receive: Receive, limit: int, hold: RequestHold | None) -> bytes:
    """`hold`: None where nothing is kept."""
    chunks: list[bytes] = []
    received, more = 0, True
    refused: ApiError | None = None
    while more and received <= limit + LINGER:
        message = await receive()
        if message["type"] != "http.request":
            raise InvalidPayload("The connection ended before the body did.")
        received += len(message["body"])
        more = message["more_body"]
        if received <= limit and hold and not refused:
            try:
                hold.grow(len(message["body"]))
                chunks.append(message["body"])
            except ApiError as error:
                refused = error
                chunks.clear()
    scope.setdefault("state", {})["body_read"] = not more
    if received > limit:
        raise _too_large(limit)
    if refused:
        raise refused
    return b"".join(chunks)


def encoding_of(scope: Scope) -> str:
    """The body's content encoding; empty where it is as it is."""
    name = dict(scope["headers"]).get(b"content-encoding", b"").decode("latin-1").strip().lower()
    return "" if name == "identity" else name


def unpack(body: bytes, encoding: str, limit: int, hold: RequestHold) -> bytes:
    """Undo the content encoding without ever holding more than `limit` unpacked bytes.

    Raises `PayloadTooLarge`, `UnsupportedMediaType`, `InvalidPayload` for a broken packing, or
    `Unavailable` if there is no memory for it.
    """
    if not encoding:
        return body
    if encoding not in UNPACKERS:
        raise UnsupportedMediaType(
            f"Content-Encoding {encoding} is not supported; use gzip or zstd."
        )
    pieces: list[bytes] = []
    size = 0
    try:
        for piece in UNPACKERS[encoding](body):
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
            hold.grow(len(piece))
            pieces.append(piece)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise InvalidPayload(f"The body is not valid {encoding}: {error}.") from None
    return b"".join(pieces)


def check_type(scope: Scope, body: bytes) -> None:
    """Raises `UnsupportedMediaType` for what is called something else than JSON and is none."""
    given = dict(scope["headers"]).get(b"content-type", b"").decode("latin-1")
    media_type = given.partition(";")[0].strip().lower()
    known = media_type in JSON_TYPES or media_type.endswith("+json")
    if not known and body.lstrip(b" \t\r\n\xef\xbb\xbf")[:1] not in (b"{", b"["):
        raise UnsupportedMediaType(
            f"Content-Type {media_type} is not supported; send application/json."
        )


def _gunzip(body: bytes) -> Iterator[bytes]:
    """Of all members, as log shippers and `cat a.gz b.gz` send them (RFC 1952, 2.2)."""
    stream, members, left = zlib.decompressobj(wbits=31), 1, b""
    for start in range(0, len(body), PIECE):
        left = body[start : start + PIECE]
        while left:
            if stream.eof:
                left = left.lstrip(b"\0")  # some pad with zeros
                if not left:
                    break
                if (members := members + 1) > MAX_MEMBERS:
                    raise EOFError(f"it has over {MAX_MEMBERS:,} parts")
                stream = zlib.decompressobj(wbits=31)
            yield stream.decompress(left, STEP)
            left = stream.unused_data if stream.eof else stream.unconsumed_tail
    if not stream.eof:
        raise EOFError("it ends too early")


def _unzstd(body: bytes) -> Iterator[bytes]:
    packed = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW)
    size = 0
    with packed.stream_reader(io.BytesIO(body), read_across_frames=True) as reader:
        while piece := reader.read(STEP):
            size += len(piece)
            yield piece
    if not size:
        raise EOFError("it is empty or ends too early")


UNPACKERS = {"gzip": _gunzip, "x-gzip": _gunzip, "zstd": _unzstd}


def _too_large(limit: int) -> PayloadTooLarge:
    said = f"{limit // MIB} MiB" if limit >= MIB else f"{limit // 1024} KiB"
    return PayloadTooLarge(f"The body is over {said}.", limit_bytes=limit)
