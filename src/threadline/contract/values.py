"""Values that a type alone cannot check: times, addresses, properties.

Each raises `ValueError` with a message for the caller, in time that grows with the text only.
"""

import re
from ipaddress import ip_address

import msgspec

from threadline.contract.bodies import MAX_PROPERTIES_BYTES, MAX_PROPERTIES_DEPTH
from threadline.contract.errors import InvalidPayload
from threadline.contract.times import DAY_MS, parse_ms

FIRST_MS = DAY_MS
MAX_FUTURE_MS = DAY_MS
MINUTE_MS = 60_000


def skew_ms(sent_at: str | None, now_ms: int, field: str = "sent_at") -> int:
    """How far the sender's clock is behind ours, in milliseconds, to the minute; 0 if it does not
    say. What the request took is part of the difference and another each time: to the millisecond,
    two requests would put events of one second out of order.

    Raises `InvalidPayload`.
    """
    if sent_at is None:
        return 0
    try:
        return round((now_ms - parse_ms(sent_at)) / MINUTE_MS) * MINUTE_MS
    except (ValueError, OverflowError):
        message = "Expected an ISO 8601 time such as 2026-05-01T14:00:00.000Z"
        raise InvalidPayload(
            "The body has invalid fields; nothing was stored.", fieldErrors={field: [message]}
        ) from None


def timestamp_ms(timestamp: str | None, now_ms: int) -> int:
    """The event's time in milliseconds since 1970; `now_ms` if it has none.

    Raises `ValueError` with a message for the caller if it is no time, not after the first day of
    1970, which is what an empty date becomes, or more than 24 hours ahead of the server's clock.
    """
    if timestamp is None:
        return now_ms
    try:
        ms = parse_ms(timestamp)
    except (ValueError, OverflowError):
        raise ValueError("Expected an ISO 8601 time such as 2026-05-01T14:00:00.000Z") from None
    if ms < FIRST_MS:
        raise ValueError("Expected a time after 1970-01-01; that day stands for an empty date")
    if ms > now_ms + MAX_FUTURE_MS:
        raise ValueError("Expected a time at most 24 hours ahead of the server's clock")
    return ms


def address_text(ip: str) -> str:
    """The address in its shortest form. Raises `ValueError` with a message for the caller if it is
    none."""
    try:
        return str(ip_address(ip))
    except ValueError:
        raise ValueError("Expected an IP address such as 203.0.113.7 or 2001:db8::7") from None


def properties_text(raw: msgspec.Raw, max_bytes: int = MAX_PROPERTIES_BYTES) -> str:
    """The JSON object as text, exactly as it was sent.

    Raises `ValueError` with a message for the caller if it is not an object, over `max_bytes`, or
    nested deeper than 32 levels.
    """
    body = bytes(raw)
    if body == b"{}" or body == b"null":
        return "{}"
    if not body.startswith(b"{"):
        raise ValueError("Expected an object")
    if len(body) > max_bytes:
        raise ValueError(f"Expected at most {max_bytes} bytes of JSON, got {len(body)}")
    if not _is_shallow(body):
        raise ValueError(f"Expected at most {MAX_PROPERTIES_DEPTH} levels of nesting")
    return body.decode()


STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
BRACKETS = bytes.maketrans(b"{}", b"[]")
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _is_shallow(body: bytes) -> bool:
    """Whether a JSON value is nested at most `MAX_PROPERTIES_DEPTH` levels deep.

    Each round takes the innermost level away, so the time is that of so many passes at the most.
    """
    # Brackets inside strings count here too, so this only proves the harmless case.
    if body.count(b"{") + body.count(b"[") <= MAX_PROPERTIES_DEPTH:
        return True
    left = STRING.sub(b"", body).translate(BRACKETS, NO_BRACKETS)
    for _ in range(MAX_PROPERTIES_DEPTH):
        left = left.replace(b"[]", b"")
        if not left:
            return True
    return False
