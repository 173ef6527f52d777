"""Calls of Segment-spec libraries: the same way in, told apart by the keys of what they send.

A library cannot mend a batch, and forgets one that is refused. So what is good of it is stored, and
the rest is counted and named in the answer.
"""

from dataclasses import replace
from typing import cast

import msgspec

from threadline.contract.bodies import FieldErrors, decode, skew_ms
from threadline.contract.errors import (
    InsufficientScope,
    InvalidPayload,
    PayloadTooLarge,
    ThreadlineError,
    Unavailable,
)
from threadline.contract.replies import Notice, Success
from threadline.contract.segment import (
    MAX_BATCH_BYTES,
    MAX_MESSAGE_BYTES,
    Message,
    Messages,
)
from threadline.http.answers import Answer, answer
from threadline.http.call import Call, now_ms
from threadline.http.identity import decide, refuse_placeholders
from threadline.identity import decisions
from threadline.ingest.accept import Accepted, accept
from threadline.ingest.row import Rows
from threadline.ingest.segment import Alias, is_corrected, read
from threadline.store import StoreAway

OF_A_CALL = (b'"anonymousId"', b'"userId"', b'"messageId"', b'"writeKey"')
OF_A_BATCH = (b'"batch"',)
OURS = frozenset({"anonymous_id", "user_id", "event_id", "events"})


def is_segment(raw: bytes, marks: tuple[bytes, ...]) -> bool:
    """Whether the body has keys of the Segment spec, and none of our own in their place."""
    if not any(mark in raw for mark in marks):
        return False
    try:
        names = msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).keys()
    except (ValueError, RecursionError):
        return False  # whoever reads it next says what is wrong
    return not names & OURS and any(mark.decode()[1:-1] in names for mark in marks)


async def take(call: Call, kind: str, raw: bytes) -> Answer:
    """Store a call of this type, or a batch."""
    call.scope["state"]["segment"] = True
    now = now_ms()
    if kind == "batch":
        _limit(raw, MAX_BATCH_BYTES)
        batch = decode(raw, Messages, now)
        behind_ms = skew_ms(batch.sent_at, now, "sentAt")
        return answer(await _store(call, batch.batch, None, behind_ms))
    sent_at = decode(raw, Message, now).sent_at
    return answer(await _store(call, [raw], kind, skew_ms(sent_at, now, "sentAt")))


async def _store(
    call: Call, messages: list[msgspec.Raw] | list[bytes], kind: str | None, behind_ms: int
) -> Success:
    """`kind`: of the only message, if it is no batch. Raises what is wrong with the first where
    nothing is right."""
    sender = replace(call.sender(behind_ms), max_properties_bytes=MAX_MESSAGE_BYTES)
    uncorrected = replace(sender, skew_ms=0)
    parts: list[Accepted] = []
    notices: list[Notice] = []
    taken = 0
    for index, raw in enumerate(messages):
        try:
            _limit(raw, MAX_MESSAGE_BYTES)
            message = decode(bytes(raw), Message, sender.now_ms)
            found = read(message, kind or message.type or "")
            if isinstance(found, Alias):
                await _alias(call, found)
            else:
                by = uncorrected if is_corrected(message) else sender
                parts.append(accept([found], by, in_batch=False))
                notices += [
                    msgspec.structs.replace(notice, index=index) for notice in parts[-1].warnings
                ]
        except Unavailable:
            raise
        except ThreadlineError as error:
            if len(messages) == 1:
                raise
            call.services.metrics.rejected.labels(error.code).inc()
            notices += _refused(index, error)
        else:
            taken += 1
    if not taken:
        raise InvalidPayload(
            "No call of the batch is valid; nothing was stored.",
            index=0,
            fieldErrors={f"batch.{at.index}.{at.field}": [at.message] for at in notices},
        )
    if parts:
        rows = Rows.join([part.rows for part in parts])
        await call.keep(rows, sum(len(part.warnings) for part in parts))
    return Success(notices or msgspec.UNSET)


async def _alias(call: Call, alias: Alias) -> None:
    if call.key.kind != "sk":
        message = "An alias joins two users: it takes an sk key. From a page, call identify."
        raise InsufficientScope(message)
    given = alias._asdict()
    refuse_placeholders(given, call.services.placeholders)
    project_id, by = call.project.project_id, call.key.prefix
    try:
        await decide(call.services, decisions.alias, project_id, by, given)
    except StoreAway:
        raise Unavailable("The store does not answer now; try again.") from None


def _limit(raw: bytes | msgspec.Raw, limit: int) -> None:
    size = len(bytes(raw))
    if size > limit:
        raise PayloadTooLarge(f"Expected at most {limit} bytes, got {size}.", limit_bytes=limit)


def _refused(index: int, error: ThreadlineError) -> list[Notice]:
    """One for each field that is wrong, or one for the whole call."""
    fields = cast(FieldErrors, error.details.get("fieldErrors") or {"": [str(error)]})
    return [
        Notice(index, name, error.code, f"{'; '.join(messages)}; the call was not stored.")
        for name, messages in fields.items()
    ]
