"""Answers as plain ASGI messages, and every error in the one shape that errors have."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import NamedTuple, Protocol

import msgspec
import structlog

from threadline.contract.errors import ApiError, MethodNotAllowed
from threadline.contract.replies import Error, SegmentError
from threadline.http.asgi import Headers, Send
from threadline.web import Asset

RETRY_AFTER_S = 1
# Who takes no more of a long answer for so long has gone, or keeps others from theirs.
STALLED_S = 60.0
# The page of the documentation where each error has a heading.
ERRORS = "/docs/errors/"
JSON = (b"content-type", b"application/json")

CHUNK_BYTES = 256 * 1024


class Stream(Protocol):
    """A body of any length: read piece by piece, until there is nothing."""

    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


_logger = structlog.get_logger("threadline.http")


class Answer(NamedTuple):
    """Status, headers and body of a response. A stream is read beside the event loop,
    and closed whatever happens."""

    status: int
    headers: Headers
    body: bytes | Stream

    async def send(self, send: Send, without_body: bool = False) -> None:
        """`without_body`: as HEAD is answered."""
        if isinstance(self.body, bytes):
            await self._send_whole(send, self.body, without_body)
            return
        with closing(self.body):
            await self._start(send, self.headers)
            if not without_body:
                while chunk := await asyncio.to_thread(self.body.read, CHUNK_BYTES):
                    # Whatever is raised here breaks the connection off, so that nobody takes half
                    # an answer for the whole.
                    async with asyncio.timeout(STALLED_S):
                        await _send_part(send, chunk, more=True)
            await _send_part(send, b"", more=False)

    async def _send_whole(self, send: Send, body: bytes, without_body: bool) -> None:
        await self._start(send, [*self.headers, (b"content-length", str(len(body)).encode())])
        await _send_part(send, b"" if without_body else body, more=False)

    async def _start(self, send: Send, headers: Headers) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": headers})


async def _send_part(send: Send, body: bytes, more: bool) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


def as_headers(named: Mapping[str, str]) -> Headers:
    """As ASGI sends them."""
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in named.items()]


def answer_body(
    body: bytes | Stream, media_type: str, headers: Mapping[str, str] | None = None
) -> Answer:
    """What is not JSON, or is already."""
    return Answer(200, [(b"content-type", media_type.encode()), *as_headers(headers or {})], body)


def answer_file(header: Callable[[str], str], asset: Asset, headers: Mapping[str, str]) -> Answer:
    """A file, gzipped where the browser takes that, or 304 if it has it. `header`: reads one of the
    request's. `headers`: to send besides."""
    sent = {
        "ETag": asset.etag,
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
        **headers,
    }
    known = header("if-none-match")
    if asset.etag in known or known == "*":
        return answer_body(b"", asset.media_type, sent)._replace(status=304)
    body = asset.body
    if asset.packed and "gzip" in header("accept-encoding"):
        sent["Content-Encoding"], body = "gzip", asset.packed
    return answer_body(body, asset.media_type, sent)


def answer(reply: object, status: int = 200) -> Answer:
    """The reply as JSON."""
    return Answer(status, [JSON], msgspec.json.encode(reply))


def answer_error(error: ApiError, base_url: str, segment: bool = False) -> Answer:
    """An error of the contract, as it is. `base_url`: where our documentation is found. `segment`:
    for a library of that spec."""
    headers = [JSON]
    if error.status in (429, 503):
        wait_s = float(str(error.details.get("retry_after_s", RETRY_AFTER_S)))
        headers.append((b"retry-after", str(max(1, round(wait_s))).encode()))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allowed).encode()))
    docs_url = f"{base_url}{ERRORS}#{error.code}"
    reply = Error(error.code, error.details, docs_url)
    if segment:
        reply = SegmentError(error.code, error.details, docs_url, error.code, str(error))
    return Answer(error.status, headers, msgspec.json.encode(reply))
