"""Calls of Segment-spec libraries: the same way in, told apart by the keys of what they send.

A library cannot mend a batch, and forgets one that is refused. So what is good of it is stored, and
the rest is counted and named in the answer.
"""

import asyncio
from dataclasses import replace
from functools import partial
from typing import cast

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
from threadline.contract.times import now_ms
from threadline.contract.values import skew_ms
from threadline.http.answers import Answer
from threadline.http.intake import acknowledge, ingest_context, keep, spend
from threadline.http.request import Request
from threadline.identity import decisions
from threadline.ingest.accept import few
from threadline.ingest.context import IngestContext
from threadline.ingest.segment import AliasCall, Calls
from threadline.ingest.segment_context import share, shared_context
from threadline.runtime.decide import decide, refuse_placeholders
from threadline.runtime.failures import STORE_AWAY
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


async def take(request: Request, kind: str, raw: bytes) -> Answer:
    """Store a call of this type, or a batch."""
    request.segment = True
    try:
        calls = await request.services.beside(len(raw), partial(_read, request, kind, raw))
    finally:
        spend(request, 0, len(raw))
    for index, alias in calls.aliases:
        await _alias(request, calls, index, alias)
    return acknowledge(request, await _store(request, calls))


def _read(request: Request, kind: str, raw: bytes) -> Calls:
    """Each call as what becomes of it. Raises `InvalidPayload`, `PayloadTooLarge`."""
    now = now_ms()
    notices: list[Notice] = []
    if kind != "batch":
        _limit(raw, MAX_MESSAGE_BYTES)
        message = decode(raw, Message, now, notices, name_unknown=False)
        calls = Calls(1, _context(request, message.sent_at, now), notices)
        calls.take(0, message, kind)
        return calls
    _limit(raw, MAX_BATCH_BYTES)
    batch = decode(raw, Messages, now, notices, name_unknown=False)
    calls = Calls(len(batch.batch), _context(request, batch.sent_at, now), notices)
    shared = shared_context(batch.context, notices)
    for index, each in enumerate(batch.batch):
        try:
            _limit(each, MAX_MESSAGE_BYTES)
            message = decode(bytes(each), Message, now)
            share(shared, message)
            # A library sends the time of the batch; who makes one of calls has theirs.
            late = message.sent_at if batch.sent_at is None else None
            own = _context(request, late, now) if late else None
        except ApiError as error:
            calls.refuse(index, error)
            continue
        calls.take(index, message, message.type or "", own)
    return calls


def _context(request: Request, sent_at: str | None, now: int) -> IngestContext:
    behind_ms = skew_ms(sent_at, now, "sentAt")
    return replace(ingest_context(request, behind_ms), max_properties_bytes=MAX_MESSAGE_BYTES)


async def _store(request: Request, calls: Calls) -> Success:
    """Raises what is wrong with the first where nothing is right."""
    notices = list(calls.warnings.notices)
    for index, error in calls.refused:
        if calls.size == 1 or isinstance(error, Unavailable):
            raise error
        notices += _refused(index, error)
    notices.sort(key=lambda notice: notice.index)
    if calls.size == len(calls.refused):
        raise InvalidPayload(
            "No call of the batch is valid; nothing was stored.",
            index=0,
            fieldErrors={f"batch.{at.index}.{at.field}": [at.message] for at in notices},
        )
    accepted = calls.accepted()
    await keep(request, accepted)
    spend(request, accepted.rows.size, 0)
    for _, error in calls.refused:
        request.services.metrics.dropped.labels(error.code).inc()
    return Success(few(notices) or msgspec.UNSET)


async def _alias(request: Request, calls: Calls, index: int, alias: AliasCall) -> None:
    """What libraries call an alias may be of a user, or of the visitor who turns out to be one."""
    services, project_id = request.services, request.project.project_id
    given = {"user_id": alias.user_id, "alias_of": alias.alias_of}
    try:
        if request.key.kind != "sk":
            message = "An alias joins two users: it takes an sk key. From a page, call identify."
            raise InsufficientScope(message)
        refuse_placeholders(given, services.placeholders)
        kind = await asyncio.to_thread(_what_is, services, project_id, alias.user_id)
        if kind == "device":
            calls.identify(index, alias)
            return
        await decide(services, decisions.alias, project_id, request.key.prefix, given)
    except StoreError:
        calls.refuse(index, Unavailable(STORE_AWAY))
    except ApiError as error:
        calls.refuse(index, error)
    else:
        if not kind:
            message = (
                f"Neither a user nor a device is called {alias.user_id!r}; it was taken for a user."
            )
            calls.warnings.index = index
            calls.warnings.warn("previousId", "unknown_id", message)


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
