"""Calls of Segment-spec libraries: the same way in, told apart by the keys of what they send.

A library cannot mend a batch, and forgets one that is refused. So what is good of it is stored, and
the rest is counted and named in the answer.
"""

import asyncio
from dataclasses import replace
from functools import partial
from typing import NamedTuple, cast

import msgspec

from threadline.contract.decoding import (
    BYTE_ORDER_MARK,
    FieldErrors,
    decode,
    with_whole_characters,
)
from threadline.contract.errors import (
    ApiError,
    InsufficientScope,
    InvalidPayload,
    PayloadTooLarge,
    Unavailable,
)
from threadline.contract.replies import Notice, Success
from threadline.contract.segment import (
    MAX_BATCH_BYTES,
    MAX_MESSAGE_BYTES,
    Message,
    Messages,
)
from threadline.contract.values import skew_ms
from threadline.http.answers import Answer, answer
from threadline.http.identity import decide, refuse_placeholders
from threadline.http.intake import ingest_context, keep, spend
from threadline.http.request import Request, now_ms
from threadline.identity import decisions
from threadline.ingest.accept import Accepted, accept, few
from threadline.ingest.row import NO_ROWS, Rows
from threadline.ingest.segment import Alias, identified, is_corrected, read
from threadline.runtime.services import Services
from threadline.store import StoreError

OF_A_CALL = (b'"anonymousId"', b'"userId"', b'"messageId"', b'"writeKey"')
OF_A_BATCH = (b'"batch"',)
OURS = frozenset({"anonymous_id", "user_id", "event_id", "events"})
# The names by which the two shapes are told apart; all others are passed over.
NAMES = msgspec.defstruct(
    "Names",
    [
        (name, msgspec.Raw | msgspec.UnsetType, msgspec.UNSET)
        for name in (*sorted(OURS), "anonymousId", "userId", "messageId", "writeKey", "batch")
    ],
)
# How long an alias waits for what was acknowledged before it.
CATCH_UP_S = 5.0


def is_segment(raw: bytes, marks: tuple[bytes, ...]) -> bool:
    """Whether the body has keys of the Segment spec, and none of our own in their place."""
    if not any(mark in raw for mark in marks):
        return False
    try:
        found = msgspec.json.decode(raw.removeprefix(BYTE_ORDER_MARK), type=NAMES)
    except (ValueError, RecursionError):
        try:
            found = msgspec.json.decode(
                with_whole_characters(raw.removeprefix(BYTE_ORDER_MARK)), type=NAMES
            )
        except (ValueError, RecursionError):
            return False  # whoever reads it next says what is wrong
    names = {name for name in NAMES.__struct_fields__ if getattr(found, name) is not msgspec.UNSET}
    return not names & OURS and any(mark.decode()[1:-1] in names for mark in marks)


class Refused(NamedTuple):
    """A call that is not stored, and why."""

    error: ApiError


Read = Accepted | Alias | Refused


async def take(request: Request, kind: str, raw: bytes) -> Answer:
    """Store a call of this type, or a batch."""
    request.segment = True
    try:
        found = await request.services.beside(len(raw), partial(_read, request, kind, raw))
    finally:
        spend(request, 0, len(raw))
    return answer(await _store(request, found))


def _read(request: Request, kind: str, raw: bytes) -> list[Read]:
    """Each call as what becomes of it. Raises `InvalidPayload`, `PayloadTooLarge`."""
    now = now_ms()
    if kind == "batch":
        _limit(raw, MAX_BATCH_BYTES)
        batch = decode(raw, Messages, now)
        messages, behind_ms = list(map(bytes, batch.batch)), skew_ms(batch.sent_at, now, "sentAt")
    else:
        messages, behind_ms = [raw], skew_ms(decode(raw, Message, now).sent_at, now, "sentAt")
    sender = replace(ingest_context(request, behind_ms), max_properties_bytes=MAX_MESSAGE_BYTES)
    uncorrected = replace(sender, skew_ms=0)
    found: list[Read] = []
    devices: set[str] = set()
    for each in messages:
        try:
            _limit(each, MAX_MESSAGE_BYTES)
            message = decode(each, Message, now)
            event = read(message, message.type or "" if kind == "batch" else kind)
            if isinstance(event, Alias) and event.user_id in devices:
                event = identified(message, event)
            if isinstance(event, Alias):
                found.append(event)
                continue
            devices.add(event.anonymous_id or "")
            by = uncorrected if is_corrected(message) else sender
            found.append(accept([event], by, in_batch=False))
        except ApiError as error:
            found.append(Refused(error))
    return found


async def _store(request: Request, found: list[Read]) -> Success:
    """Raises what is wrong with the first where nothing is right."""
    parts: list[Accepted] = []
    notices: list[Notice] = []
    taken = 0
    for index, each in enumerate(found):
        if isinstance(each, Alias):
            each = await _alias(request, each)
        if isinstance(each, Refused):
            if len(found) == 1 or isinstance(each.error, Unavailable):
                raise each.error
            request.services.metrics.rejected.labels(each.error.code).inc()
            notices += _refused(index, each.error)
            continue
        taken += 1
        parts.append(each)
        notices += [msgspec.structs.replace(notice, index=index) for notice in each.warnings]
    if not taken:
        raise InvalidPayload(
            "No call of the batch is valid; nothing was stored.",
            index=0,
            fieldErrors={f"batch.{at.index}.{at.field}": [at.message] for at in notices},
        )
    rows = Rows.join([part.rows for part in parts])
    if rows.size:
        await keep(request, rows, sum(part.placeholder_ids for part in parts))
        spend(request, rows.size, 0)
    return Success(few(notices) or msgspec.UNSET)


async def _alias(request: Request, alias: Alias) -> Accepted | Refused:
    """What libraries call an alias may be of a user, or of the visitor who turns out to be one."""
    services, project_id = request.services, request.project.project_id
    warnings: list[Notice] = []
    try:
        if request.key.kind != "sk":
            message = "An alias joins two users: it takes an sk key. From a page, call identify."
            raise InsufficientScope(message)
        given = {"user_id": alias.user_id, "alias_of": alias.alias_of}
        refuse_placeholders(given, services.placeholders)
        kind = await asyncio.to_thread(_what_is, services, project_id, alias.user_id)
        if kind == "device":
            return accept(
                [identified(alias.message, alias)], ingest_context(request), in_batch=False
            )
        if not kind:
            message = (
                f"Neither a user nor a device is called {alias.user_id!r}; it was taken for a user."
            )
            warnings.append(Notice(0, "previousId", "unknown_id", message))
        await decide(services, decisions.alias, project_id, request.key.prefix, given)
    except StoreError:
        return Refused(Unavailable("The store does not answer now; try again."))
    except ApiError as error:
        return Refused(error)
    return Accepted(NO_ROWS, "", warnings, 0)


def _what_is(services: Services, project_id: str, identifier: str) -> str:
    services.writer.catch_up(CATCH_UP_S)
    return decisions.what_is(services.store, project_id, identifier)


def _limit(raw: bytes | msgspec.Raw, limit: int) -> None:
    size = len(bytes(raw))
    if size > limit:
        raise PayloadTooLarge(f"Expected at most {limit} bytes, got {size}.", limit_bytes=limit)


def _refused(index: int, error: ApiError) -> list[Notice]:
    """One for each field that is wrong, or one for the whole request."""
    fields = cast(FieldErrors, error.details.get("fieldErrors") or {"": [str(error)]})
    return [
        Notice(index, name, error.code, f"{'; '.join(messages)}; the call was not stored.")
        for name, messages in fields.items()
    ]
