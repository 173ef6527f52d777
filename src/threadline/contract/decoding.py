"""A body as its Struct, or all that is wrong with it.

The happy path is a single msgspec decode. Only when that fails is the body looked at a second
time, so that the caller learns all that is wrong with it at once. Whatever a body holds, each step
takes time in proportion to its length.
"""

import difflib
import re
from functools import cache
from typing import Annotated, Any, TypeVar

import msgspec

from threadline.contract.bodies import MAX_BATCH_EVENTS, Batch, Event, Properties
from threadline.contract.errors import InvalidPayload
from threadline.contract.replies import Notice
from threadline.contract.values import address_text, properties_text, timestamp_ms

# The decoder makes all objects of a list before it counts them.
MAX_OBJECTS = 100_000
# What is wrong with a body of more parts than this is told in one sentence, not field by field.
MAX_EXPLAINED_PARTS = 100_000
MAX_NAMED_FIELDS = 20
MAX_SHOWN = 64

Body = TypeVar("Body", bound=msgspec.Struct)
FieldErrors = dict[str, list[str]]

# Fields that the server makes itself, whatever a sender says of them.
SERVER_MADE = frozenset(
    "source medium campaign term content source_confidence source_rule_id country device_type"
    " browser os ip_hash received_at is_bot project_id".split()
)

# Halves of surrogate pairs without the other half.
LONE = re.compile("[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]")
# Escapes in JSON, of which the first alternative is a whole character and the second half of one.
ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)
EVENT_AT = re.compile(r"at `\$\.events\[(\d+)\]")
UNKNOWN_FIELD = "Object contains unknown field"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@cache
def _strict(body: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The same Struct, which refuses what it does not know."""
    fields: list[tuple[str, Any]] = []
    if body is Batch:
        listed = msgspec.Meta(min_length=1, max_length=MAX_BATCH_EVENTS)
        fields = [("events", Annotated[list[_strict(Event)], listed])]  # type: ignore[misc]
    return msgspec.defstruct(
        body.__name__, fields, bases=(body,), kw_only=True, forbid_unknown_fields=True
    )


@cache
def _decoder(body: type[msgspec.Struct]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(body)


def decode(
    raw: bytes,
    body: type[Body],
    now_ms: int,
    notices: list[Notice] | None = None,
    name_unknown: bool = True,
) -> Body:
    """The body as its Struct; times and properties are still to be read from it.

    `notices`: what was ignored or mended is added to it. `name_unknown`: so are the names of
    fields that do not exist. Half a surrogate pair is taken for U+FFFD. Raises `InvalidPayload`:
    `details.fieldErrors` maps field to messages, and for a batch `details.index` is the place of
    the first bad event.
    """
    raw = raw.removeprefix(BYTE_ORDER_MARK)
    unknown = notices if name_unknown else None
    if raw.count(b"{") > MAX_OBJECTS:
        raise InvalidPayload(
            f"The body holds over {MAX_OBJECTS:,} objects; send fewer events at a time."
        )
    try:
        return _decode(raw, body, now_ms, unknown)
    except (ValueError, RecursionError) as error:
        whole = with_whole_characters(raw)
        if whole == raw:
            raise InvalidPayload(f"The body is not JSON: {_reason(error)}.") from None
    try:
        decoded = _decode(whole, body, now_ms, unknown)
    except (ValueError, RecursionError) as error:
        raise InvalidPayload(f"The body is not JSON: {_reason(error)}.") from None
    if notices is not None:
        message = "Half a character (a surrogate without its other half) was stored as U+FFFD."
        notices.append(Notice(0, "", "text_mended", message))
    return decoded


def _decode(raw: bytes, body: type[Body], now_ms: int, unknown: list[Notice] | None) -> Body:
    """`unknown`: a notice for each field that does not exist is added to it."""
    raw.decode()  # fields kept as raw JSON are not looked into by the decoder
    try:
        decoded: Body = _decoder(body if unknown is None else _strict(body)).decode(raw)
        return decoded
    except msgspec.ValidationError as error:
        if unknown is None or not str(error).startswith(UNKNOWN_FIELD):
            raise _explain(raw, body, now_ms, str(error)) from None
    decoded = _decode(raw, body, now_ms, None)
    unknown += _unknown_fields(raw, body)
    return decoded


def with_whole_characters(raw: bytes) -> bytes:
    """The same JSON with U+FFFD for each half of a surrogate pair, escaped or as bytes."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        try:
            text = raw.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return raw
        whole = LONE.sub("\ufffd", text).encode("utf-16-le", "surrogatepass")
        raw = whole.decode("utf-16-le").encode()
    # Match by match, because `sub` would let nobody else run until it has made millions of pieces.
    mended, since = bytearray(), 0
    for found in ESCAPE.finditer(raw):
        if found[1]:
            mended += raw[since : found.start()] + b"\\ufffd"
            since = found.end()
    return bytes(mended + raw[since:])


def _unknown_fields(raw: bytes, body: type[msgspec.Struct]) -> list[Notice]:
    """A notice for each name that is no field of the body or of an event in it."""
    if _parts(raw) > MAX_EXPLAINED_PARTS:
        message = "The body has fields that do not exist; they were ignored."
        return [Notice(0, "", "unknown_field", message)]
    given = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    objects = [(0, body, given)]
    if body is Batch:
        events = msgspec.json.decode(given["events"], type=list[dict[str, msgspec.Raw]])
        objects += [(index, Event, event) for index, event in enumerate(events)]
    found: dict[str, Notice] = {}
    others: set[str] = set()
    for index, struct, fields in objects:
        for name in fields.keys() - _names(struct) - found.keys():
            if len(found) == MAX_NAMED_FIELDS:
                others.add(name)
                continue
            message = f"{_unknown(name, _names(struct))} It was ignored."
            found[name] = Notice(index, name[:MAX_SHOWN], "unknown_field", message)
    said = sorted(found.values(), key=lambda notice: (notice.index, notice.field))
    if others:
        message = f"And {len(others):,} more fields that do not exist were ignored."
        said.append(Notice(0, "", "unknown_field", message))
    return said


@cache
def _names(struct: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(field.encode_name for field in msgspec.structs.fields(struct))


def _unknown(name: str, known: frozenset[str]) -> str:
    if name in SERVER_MADE:
        return f"{name} is set by the server."
    # Comparing takes the square of the length.
    near = difflib.get_close_matches(name[:MAX_SHOWN].lower(), sorted(known), n=1)
    return f"There is no field {name[:MAX_SHOWN]!r}{f'; did you mean {near[0]}?' if near else '.'}"


def _parts(raw: bytes) -> int:
    """At least as many values as the JSON holds."""
    return raw.count(b",") + raw.count(b":") + 1


def _explain(raw: bytes, body: type, now_ms: int, first_message: str) -> InvalidPayload:
    """The error for a body that is JSON but not this Struct: the first bad event with all that is
    wrong with it, or all fields of the body that are."""
    at = EVENT_AT.search(first_message)
    if _parts(raw) > MAX_EXPLAINED_PARTS:
        where = {"index": int(at[1])} if at else {}
        message = "The body has invalid fields; nothing was stored."
        return InvalidPayload(message, **where, fieldErrors={"": [plain(first_message)]})
    try:
        fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        return InvalidPayload("The body has to be a JSON object.", fieldErrors={})
    if body is Batch and at:
        events = msgspec.json.decode(fields["events"], type=list[msgspec.Raw])
        for index, event in enumerate(events[: int(at[1]) + 1]):
            # Those before it have the right types, but perhaps a wrong time.
            if index < int(at[1]) and _is_sound(event, now_ms):
                continue
            if errors := _field_errors(event, Event, now_ms):
                return InvalidPayload(
                    f"Event {index} of the batch is invalid; nothing was stored.",
                    index=index,
                    fieldErrors=errors,
                )
    errors = _field_errors(raw, body, now_ms) or {"": [plain(first_message)]}
    return InvalidPayload("The body has invalid fields; nothing was stored.", fieldErrors=errors)


def _is_sound(raw: msgspec.Raw, now_ms: int) -> bool:
    """Whether there is nothing wrong with an event that has the right types."""
    event = _decoder(Event).decode(raw)
    try:
        timestamp_ms(event.timestamp, now_ms)
        properties_text(event.properties)
        if event.ip:
            address_text(event.ip)
    except ValueError:
        return False
    return True


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
                    timestamp_ms(value, now_ms)
                if name == "ip" and value is not None:
                    address_text(value)
        except ValueError as error:
            errors[name] = [_as_unix(name, given[name]) or plain(str(error))]
    return errors


def _as_unix(name: str, raw: msgspec.Raw) -> str:
    """What to say of a time that is a number."""
    digits = bytes(raw)[:MAX_SHOWN]
    if name != "timestamp" or not digits.isdigit():
        return ""
    unit = "milliseconds" if len(digits) > 11 else "seconds"
    return (
        "Expected an ISO 8601 time such as 2026-05-01T14:00:00.000Z;"
        f" {digits.decode()} looks like Unix {unit}"
    )


WORDS = {
    "`int | str | null`": "text or a whole number",
    "`str | null`": "text",
    "`str`": "text",
    "`int`": "a whole number",
    "`float`": "a number",
    "`bool`": "true or false",
    "`array`": "a list",
    "`object`": "an object",
}


def plain(message: str) -> str:
    """The decoder's message without the names of types."""
    for name, word in WORDS.items():
        message = message.replace(name, word)
    return message.replace("`", "")


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return str(error).removeprefix("JSON is malformed: ")
