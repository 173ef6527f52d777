"""What callers send: one Struct a route, and the decoding that names every bad field.

The happy path is a single msgspec decode. Only when that fails is the body looked at a second
time, field by field, so that the caller learns all that is wrong with it at once.
"""

from functools import cache
from ipaddress import ip_address
from typing import Annotated, Any, TypeVar

import msgspec

from threadline.contract.errors import InvalidPayload
from threadline.contract.times import DAY_MS, parse_ms

MAX_BATCH_EVENTS = 1000
MAX_ANONYMOUS_ID = 128
MAX_USER_ID = 256
MAX_EVENT_NAME = 128
MAX_ADDRESS = 2048
MAX_PROPERTIES_BYTES = 8192
MAX_PROPERTIES_DEPTH = 32
MAX_FUTURE_MS = DAY_MS
MAX_DROPPED = 1_000_000
MINUTE_MS = 60_000

# Server-made event ids are always new; client-made ones have to be looked up.
EventId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
AnonymousId = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ANONYMOUS_ID)]
UserId = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_USER_ID)]
Address = Annotated[str, msgspec.Meta(max_length=MAX_ADDRESS)]
Timestamp = Annotated[
    str, msgspec.Meta(description="ISO 8601; without an offset: UTC. Default: now.")
]
# Kept as the caller wrote it: decoding would lose big numbers, duplicate keys and key order.
Properties = Annotated[
    msgspec.Raw,
    msgspec.Meta(
        extra_json_schema={"type": "object"},
        description=f"At most {MAX_PROPERTIES_BYTES} bytes of JSON and {MAX_PROPERTIES_DEPTH}"
        " levels; stored as sent.",
    ),
]


def no_properties() -> msgspec.Raw:
    return msgspec.Raw(b"{}")


class Event(msgspec.Struct, kw_only=True, gc=False):
    """One event. Unknown fields are ignored, and so are the fields the server makes."""

    event: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=MAX_EVENT_NAME,
            description="A leading $ is for system events: $pageview, $identify.",
        ),
    ]
    event_id: EventId | None = None
    timestamp: Timestamp | None = None
    anonymous_id: AnonymousId | None = None
    user_id: UserId | None = None
    session_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    url: Address | None = None
    path: Address | None = None
    referrer: Address | None = None
    user_agent: (
        Annotated[
            str,
            msgspec.Meta(
                max_length=MAX_ADDRESS,
                description="Of the browser, where a server speaks for it (sk). Default: the"
                " request's own.",
            ),
        ]
        | None
    ) = None
    ip: (
        Annotated[
            str,
            msgspec.Meta(
                max_length=64,
                description="The visitor's address, where a server speaks for them (sk). Never"
                " stored; see docs/privacy.md. Default: the request's own.",
            ),
        ]
        | None
    ) = None
    properties: Properties = msgspec.field(default_factory=no_properties)


class Batch(msgspec.Struct, gc=False):
    """Body of `POST /v1/batch`: stored as a whole or not at all."""

    events: Annotated[list[Event], msgspec.Meta(min_length=1, max_length=MAX_BATCH_EVENTS)]
    key: (
        Annotated[
            str,
            msgspec.Meta(description="A browser key, where no header can carry it: in a beacon."),
        ]
        | None
    ) = None
    sent_at: (
        Annotated[
            str,
            msgspec.Meta(
                description="ISO 8601, by the sender's clock, when the batch left. The minutes "
                "that this clock is off by are taken out of the events' times."
            ),
        ]
        | None
    ) = None
    dropped: Annotated[
        int,
        msgspec.Meta(
            ge=0, le=MAX_DROPPED, description="Events the sender had to drop, for want of room."
        ),
    ] = 0


class Identify(msgspec.Struct, kw_only=True):
    """Body of `POST /v1/identify`: stored as a `$identify` event with the traits as properties."""

    anonymous_id: AnonymousId
    user_id: UserId
    traits: Properties = msgspec.field(default_factory=no_properties)
    event_id: EventId | None = None
    timestamp: Timestamp | None = None


class Forget(msgspec.Struct, kw_only=True):
    """Body of `POST /v1/forget`: exactly one of the two ids."""

    user_id: UserId | None = None
    anonymous_id: AnonymousId | None = None


class Link(msgspec.Struct, kw_only=True):
    """A device and a user that was seen on it."""

    anonymous_id: AnonymousId
    user_id: UserId


class Alias(msgspec.Struct, kw_only=True):
    """A user that is the same person as another."""

    user_id: UserId
    alias_of: UserId


class Unalias(msgspec.Struct, kw_only=True):
    """A user that is to be a person of its own again."""

    user_id: UserId


Body = TypeVar("Body", bound=msgspec.Struct)
FieldErrors = dict[str, list[str]]


@cache
def _decoder(body: type) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(body)


def decode(raw: bytes, body: type[Body], now_ms: int) -> Body:
    """The body as its Struct; times and properties are still to be read from it.

    Raises `InvalidPayload`: `details.fieldErrors` maps field to messages, and for a batch
    `details.index` is the place of the first bad event.
    """
    try:
        raw.decode()  # fields kept as raw JSON are not looked into by the decoder
        try:
            decoded: Body = _decoder(body).decode(raw)
        except msgspec.ValidationError as error:
            raise _explain(raw, body, now_ms, str(error)) from None
    except (ValueError, RecursionError) as error:
        raise InvalidPayload(f"The body is not JSON: {_reason(error)}.") from None
    return decoded


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


def moment_ms(timestamp: str | None, now_ms: int) -> int:
    """The event's time in milliseconds since 1970; `now_ms` if it has none.

    Raises `ValueError` with a message for the caller if it is no time, before 1970, or more than
    24 hours ahead of the server's clock.
    """
    if timestamp is None:
        return now_ms
    try:
        ms = parse_ms(timestamp)
    except (ValueError, OverflowError):
        raise ValueError("Expected an ISO 8601 time such as 2026-05-01T14:00:00.000Z") from None
    if ms < 0:
        raise ValueError("Expected a time after 1970-01-01T00:00:00Z")
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
    # Brackets inside strings count here too, so this only proves the harmless case.
    if body.count(b"{") + body.count(b"[") > MAX_PROPERTIES_DEPTH and _depth(body) > 32:
        raise ValueError(f"Expected at most {MAX_PROPERTIES_DEPTH} levels of nesting")
    return body.decode()


def _depth(body: bytes) -> int:
    try:
        level = [msgspec.json.decode(body)]
    except RecursionError:
        return MAX_PROPERTIES_DEPTH + 1
    depth = 0
    while level := [
        child
        for value in level
        if isinstance(value, dict | list)
        for child in (value.values() if isinstance(value, dict) else value)
    ]:
        depth += 1
    return depth


def _explain(raw: bytes, body: type, now_ms: int, first_message: str) -> InvalidPayload:
    """The error for a body that is JSON but not this Struct: the first bad event with all that is
    wrong with it, or all fields of the body that are."""
    try:
        fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        return InvalidPayload("The body has to be a JSON object.", fieldErrors={})
    if body is Batch and bytes(fields.get("events", b"")).startswith(b"["):
        events = msgspec.json.decode(fields["events"], type=list[msgspec.Raw])
        for index, event in enumerate(events[:MAX_BATCH_EVENTS]):
            if errors := _field_errors(event, Event, now_ms):
                return InvalidPayload(
                    f"Event {index} of the batch is invalid; nothing was stored.",
                    index=index,
                    fieldErrors=errors,
                )
    errors = _field_errors(raw, body, now_ms) or {"": [first_message]}
    return InvalidPayload("The body has invalid fields; nothing was stored.", fieldErrors=errors)


def _field_errors(raw: bytes | msgspec.Raw, struct: type, now_ms: int) -> FieldErrors:
    """Every field of `struct` that this JSON gets wrong, each with its message; {} if none."""
    try:
        given = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        return {"": ["Expected an object"]}
    errors: FieldErrors = {}
    for field in msgspec.structs.fields(struct):
        name = field.encode_name
        if name not in given:
            if field.required:
                errors[name] = ["Required"]
            continue
        try:
            if field.type is Properties:
                properties_text(given[name])
            else:
                value = msgspec.json.decode(given[name], type=field.type)
                if name == "timestamp":
                    moment_ms(value, now_ms)
                if name == "ip" and value is not None:
                    address_text(value)
        except ValueError as error:
            errors[name] = [str(error).replace("`", "")]
    return errors


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return str(error).removeprefix("JSON is malformed: ")
