"""`/v1/track`, `/v1/batch`, `/v1/identify`, `/v1/forget`: from the wire onto the disk."""

from collections.abc import Callable
from functools import partial

import msgspec

from threadline.contract.bodies import Batch, Event, ExportedBatch, Forget, Identify
from threadline.contract.decoding import decode
from threadline.contract.errors import (
    AliasCycle,
    ForgetRequiresSecretKey,
    InsufficientScope,
    InvalidPayload,
    PlaceholderId,
)
from threadline.contract.replies import Batched, Forgotten, Notice, Ok, Success, Tracked
from threadline.contract.segment import Message, Messages
from threadline.contract.times import now_ms
from threadline.contract.values import skew_ms
from threadline.http import segment
from threadline.http.answers import Answer
from threadline.http.doc import Doc, Errors
from threadline.http.intake import acknowledge, ingest_context, keep, spend
from threadline.http.request import Request
from threadline.http.routing import Route
from threadline.ingest.accept import Accepted, accept, few, identify_event
from threadline.runtime.decide import forget as have_forgotten
from threadline.runtime.memory import MIB

TRACK_LIMIT = 1 * MIB
BATCH_LIMIT = 16 * MIB


def read_events(
    request: Request,
    raw: bytes,
    read: Callable[[bytes, list[Notice]], tuple[list[Event], int]],
    in_batch: bool = False,
) -> Accepted:
    """The events of a body as rows. `read`: from a body to its events and how far their clock is
    behind, with notices of what was ignored. Raises `InvalidPayload`."""
    notices: list[Notice] = []
    events, behind_ms = read(raw, notices)
    accepted = accept(events, ingest_context(request, behind_ms), in_batch)
    return accepted._replace(warnings=notices + accepted.warnings)


async def is_segment(request: Request, raw: bytes, marks: tuple[bytes, ...]) -> bool:
    return await request.services.beside(len(raw), partial(segment.is_segment, raw, marks))


async def track(request: Request) -> Answer:
    raw = await request.body(TRACK_LIMIT)
    if await is_segment(request, raw, segment.OF_A_CALL):
        return await segment.take(request, "track", raw)

    def read(raw: bytes, notices: list[Notice]) -> tuple[list[Event], int]:
        return [decode(raw, Event, now_ms(), notices)], 0

    accepted = await request.services.beside(len(raw), partial(read_events, request, raw, read))
    await keep(request, accepted)
    spend(request, 1, len(raw))
    reply = Tracked(accepted.first_event_id, few(accepted.warnings) or msgspec.UNSET)
    return acknowledge(request, reply, 202)


async def batch(request: Request) -> Answer:
    raw = await request.body(BATCH_LIMIT)
    if await is_segment(request, raw, segment.OF_A_BATCH):
        return await segment.take(request, "batch", raw)
    dropped = 0

    def read(raw: bytes, notices: list[Notice]) -> tuple[list[Event], int]:
        nonlocal dropped
        if request.key.temporary:
            found = decode(raw, ExportedBatch, now_ms(), notices, name_unknown=False)
            return [*found.events], 0
        body = decode(raw, Batch, now_ms(), notices)
        dropped = body.dropped
        return body.events, skew_ms(body.sent_at, now_ms())

    try:
        accepted = await request.services.beside(
            len(raw), partial(read_events, request, raw, read, in_batch=True)
        )
    finally:
        spend(request, 0, len(raw))
    await keep(request, accepted)
    spend(request, accepted.rows.size, 0)
    request.services.metrics.dropped_by_senders.inc(dropped)
    reply = Batched(accepted.rows.size, few(accepted.warnings) or msgspec.UNSET)
    return acknowledge(request, reply, 202)


async def identify(request: Request) -> Answer:
    raw = await request.body(TRACK_LIMIT)
    if await is_segment(request, raw, segment.OF_A_CALL):
        return await segment.take(request, "identify", raw)

    def read(raw: bytes, notices: list[Notice]) -> tuple[list[Event], int]:
        body = decode(raw, Identify, now_ms(), notices)
        return [identify_event(body, request.services.placeholders)], 0

    try:
        accepted = await request.services.beside(len(raw), partial(read_events, request, raw, read))
    except PlaceholderId:
        request.services.count_placeholder_ids(request.project.project_id)
        raise
    await keep(request, accepted)
    spend(request, 1, len(raw))
    return acknowledge(request, Ok(few(accepted.warnings) or msgspec.UNSET))


async def forget(request: Request) -> Answer:
    notices: list[Notice] = []
    raw = await request.body(TRACK_LIMIT)
    body = await request.services.beside(len(raw), partial(decode, raw, Forget, now_ms(), notices))
    if (body.user_id is None) == (body.anonymous_id is None):
        message = "Give either user_id or anonymous_id"
        raise InvalidPayload(f"{message}.", fieldErrors={"user_id": [message]})
    if body.anonymise and body.user_id is None:
        message = "Only a user can be made anonymous: give user_id"
        raise InvalidPayload(f"{message}.", fieldErrors={"anonymise": [message]})
    receipt_id = await have_forgotten(
        request.services,
        request.project.project_id,
        body.user_id,
        body.anonymous_id,
        body.anonymise,
    )
    return acknowledge(request, Forgotten(receipt_id, notices or msgspec.UNSET))


async def segment_call(kind: str, request: Request) -> Answer:
    """A type of call that only the Segment spec has."""
    return await segment.take(request, kind, await request.body(TRACK_LIMIT))


ROUTES = [
    Route(
        "POST",
        "/v1/track",
        track,
        Doc(
            summary="Record one event",
            tag="Ingest",
            keys=("pk", "sk"),
            bucket="track",
            body=Event,
            segment=Message,
            answer=Tracked,
            status=202,
        ),
    ),
    Route(
        "POST",
        "/v1/batch",
        batch,
        Doc(
            summary="Record up to 1000 events, all or none",
            tag="Ingest",
            keys=("pk", "sk"),
            bucket="batch",
            body=Batch,
            segment=Messages,
            answer=Batched,
            status=202,
        ),
    ),
    Route(
        "POST",
        "/v1/identify",
        identify,
        Doc(
            summary="Say who an anonymous visitor is",
            tag="Ingest",
            keys=("pk", "sk"),
            bucket="identify",
            body=Identify,
            segment=Message,
            answer=Ok,
            errors=(PlaceholderId,),
        ),
    ),
    Route(
        "POST",
        "/v1/forget",
        forget,
        Doc(
            summary="Delete everything about a user, or about a device",
            tag="Ingest",
            keys=("sk",),
            refusal=ForgetRequiresSecretKey,
            body=Forget,
            answer=Forgotten,
        ),
    ),
]

# What only Segment-spec libraries send: kind, what it does, errors of its own.
CALLS: tuple[tuple[str, str, Errors], ...] = (
    ("page", "Record a page view", ()),
    ("screen", "Record a screen of an app", ()),
    ("group", "Record that a user belongs to a group", ()),
    ("alias", "Join two users", (AliasCycle, InsufficientScope)),
)
ROUTES += [
    Route(
        "POST",
        f"/v1/{kind}",
        partial(segment_call, kind),
        Doc(
            summary=f"{summary}, as Segment-spec libraries send it",
            tag="Segment spec",
            keys=("pk", "sk"),
            bucket="track",
            body=Message,
            answer=Success,
            errors=(*errors, PlaceholderId),
        ),
    )
    for kind, summary, errors in CALLS
]
