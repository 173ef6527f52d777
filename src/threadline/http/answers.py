"""Answers as plain ASGI messages, and every error in the one shape that errors have."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import structlog
from litestar.types import Send

from threadline.contract.errors import ApiError, InternalError, MethodNotAllowed
from threadline.contract.replies import Error, SegmentError
from threadline.enrich import time_ordered_id

RETRY_AFTER_S = 1
JSON = (b"content-type", b"application/json")

_logger = structlog.get_logger("threadline.http")


class Answer(NamedTuple):
    """Status, headers and body of a response."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    async def send(self, send: Send) -> None:
        headers = [*self.headers, (b"content-length", str(len(self.body)).encode())]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


def answer(reply: object, status: int = 200) -> Answer:
    """The reply as JSON."""
    return Answer(status, [JSON], msgspec.json.encode(reply))


def answer_error(error: ApiError, segment: bool = False) -> Answer:
    """An error of the contract, as it is. `segment`: for a library of that spec."""
    headers = [JSON]
    if error.status in (429, 503):
        wait_s = float(str(error.details.get("retry_after_s", RETRY_AFTER_S)))
        headers.append((b"retry-after", str(max(1, round(wait_s))).encode()))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    reply = Error(error.code, error.details)
    if segment:
        reply = SegmentError(error.code, error.details, error.code, str(error))
    return Answer(error.status, headers, msgspec.json.encode(reply))


def answer_method(path: str, method: str, allowed: Sequence[str]) -> Answer:
    """A method that the path does not take, and those that it does (RFC 9110, 15.5.6)."""
    names = ", ".join(allowed)
    found = answer_error(MethodNotAllowed(f"{path} does not take {method}; it takes {names}."))
    return found._replace(headers=[*found.headers, (b"allow", names.encode())])


def answer_bug(method: str, path: str, error: Exception) -> Answer:
    """Whatever was not foreseen: one line in the log, its id to the caller, nothing else."""
    request_id = time_ordered_id()
    _logger.error("request_failed", request_id=request_id, method=method, path=path, exc_info=error)
    message = f"This is a bug in Threadline. The log has it under {request_id}."
    return answer_error(InternalError(message, request_id=request_id))
