"""`/v1/track`, `/v1/batch`, `/v1/identify`, `/v1/forget`: in through the door, onto the disk.

Bare ASGI: on these routes a framework's routing, guards and responses would cost several times what
the event itself does.
"""

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
from litestar.types import HTTPScope, Receive, Scope, Send

from threadline.contract.bodies import Batch, Event, Forget, Identify, decode, skew_ms
from threadline.contract.errors import (
    AliasCycle,
    ForgetRequiresSecretKey,
    InsufficientScope,
    InternalError,
    InvalidPayload,
    KeyKindNotAllowed,
    MethodNotAllowed,
    PlaceholderId,
    ThreadlineError,
)
from threadline.contract.replies import Batched, Forgotten, Ok, Success, Tracked
from threadline.contract.segment import Message, Messages
from threadline.enrich import address_hash, time_ordered_id
from threadline.http import segment
from threadline.http.answers import Answer, answer, answer_bug, answer_error
from threadline.http.auth import admit, header
from threadline.http.body import MIB, body_size, drain, read_body
from threadline.http.call import Call, now_ms
from threadline.http.doc import Doc
from threadline.http.services import Services
from threadline.ingest.accept import identify_event
from threadline.ingest.log import ForgetRequest

TRACK_LIMIT = 1 * MIB
BATCH_LIMIT = 16 * MIB
# Who sends it is known only after it is read.
BEACON_LIMIT = 1 * MIB


async def track(call: Call) -> Answer:
    raw = await call.body(TRACK_LIMIT)
    if segment.is_segment(raw, segment.OF_A_CALL):
        return await segment.take(call, "track", raw)
    event = decode(raw, Event, now_ms())
    accepted = await call.store([event], in_batch=False)
    reply = Tracked(accepted.first_event_id, accepted.warnings or msgspec.UNSET)
    return answer(reply, 202)


async def batch(call: Call) -> Answer:
    raw = await call.body(BATCH_LIMIT)
    if segment.is_segment(raw, segment.OF_A_BATCH):
        return await segment.take(call, "batch", raw)
    body = decode(raw, Batch, now_ms())
    behind = skew_ms(body.sent_at, now_ms())
    accepted = await call.store(body.events, in_batch=True, behind_ms=behind)
    call.services.metrics.dropped.inc(body.dropped)
    return answer(Batched(len(body.events), accepted.warnings or msgspec.UNSET), 202)


async def identify(call: Call) -> Answer:
    raw = await call.body(TRACK_LIMIT)
    if segment.is_segment(raw, segment.OF_A_CALL):
        return await segment.take(call, "identify", raw)
    body = decode(raw, Identify, now_ms())
    try:
        event = identify_event(body, call.services.placeholders)
    except PlaceholderId:
        call.services.count_placeholder_ids(call.project.project_id)
        raise
    await call.store([event], in_batch=False)
    return answer(Ok())


async def forget(call: Call) -> Answer:
    body = decode(await call.body(TRACK_LIMIT), Forget, now_ms())
    if (body.user_id is None) == (body.anonymous_id is None):
        message = "Give either user_id or anonymous_id"
        raise InvalidPayload(f"{message}.", fieldErrors={"user_id": [message]})
    project_id = call.project.project_id
    asked = ForgetRequest(time_ordered_id(), project_id, body.user_id, body.anonymous_id)
    forgotten_id = body.user_id or body.anonymous_id or ""
    id_hash = address_hash(call.services.control.pepper, project_id, forgotten_id)
    on_disk = asyncio.get_running_loop().create_future()
    call.services.log.append_forget(asked, id_hash, on_disk)
    await on_disk
    return answer(Forgotten(asked.receipt_id))


async def segment_call(kind: str, call: Call) -> Answer:
    """A type of call that only the Segment spec has."""
    return await segment.take(call, kind, await call.body(TRACK_LIMIT))


class Keyed(msgspec.Struct, rename="camel"):
    """The part of a body that says whose it is. `write_key`: of the Segment spec."""

    key: str | None = None
    write_key: str | None = None


def _key_in(body: bytes, doc: Doc) -> str:
    """The key of a body that came without one in its headers, as beacons have to. `key` lies open
    in every page, so it has to be a browser key."""
    try:
        found = msgspec.json.decode(body, type=Keyed)
    except (ValueError, RecursionError):
        found = Keyed()
    if doc.body is Batch and found.key:
        if not found.key.startswith("pk_"):
            raise KeyKindNotAllowed("Only browser keys (pk) may come in the body.")
        return found.key
    return found.write_key or ""


def _key_of_basic(scope: Scope) -> str:
    """The key as the user name of `Authorization: Basic`, as Segment-spec libraries send it."""
    scheme, _, packed = header(scope, "authorization").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(packed, validate=True).decode().partition(":")[0]
    except (binascii.Error, ValueError):
        return ""


ROUTES: dict[str, tuple[Callable[[Call], Awaitable[Answer]], Doc]] = {
    "/v1/track": (
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
    "/v1/batch": (
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
    "/v1/identify": (
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
    "/v1/forget": (
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
}

# What only Segment-spec libraries send.
for _kind, _summary, _errors in (
    ("page", "Record a page view", ()),
    ("screen", "Record a screen of an app", ()),
    ("group", "Record that a user belongs to a group", ()),
    ("alias", "Join two users", (AliasCycle, InsufficientScope)),
):
    ROUTES[f"/v1/{_kind}"] = (
        partial(segment_call, _kind),
        Doc(
            summary=f"{_summary}, as Segment-spec libraries send it",
            tag="Segment spec",
            keys=("pk", "sk"),
            bucket="track",
            body=Message,
            answer=Success,
            errors=(*_errors, PlaceholderId),
        ),
    )


async def serve(services: Services, scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Answer a request whose path is one of `ROUTES`."""
    handler, doc = ROUTES[scope["path"]]
    state = scope.setdefault("state", {})
    try:
        try:
            if scope["method"] != "POST":
                message = f"{scope['path']} does not take {scope['method']}; see /docs."
                raise MethodNotAllowed(message)
            arrived, token = None, ""
            if doc.segment or doc.body is Message:
                token = _key_of_basic(scope)
                state["segment"] = bool(token)
                if not header(scope, "authorization"):
                    seconds = services.settings.body_seconds
                    with services.room_for(body_size(scope, BEACON_LIMIT)):
                        arrived = await read_body(scope, receive, BEACON_LIMIT, seconds)
                    token = _key_in(arrived, doc)
            admit(services, doc, scope, token)
        except ThreadlineError:
            await drain(scope, receive, services.settings.body_seconds)
            raise
        call = Call(services, scope, receive, state["key"], state["project"], arrived)
        with services.room_for(body_size(scope, BATCH_LIMIT)):
            given = await handler(call)
    except ThreadlineError as error:
        services.metrics.rejected.labels(error.code).inc()
        given = answer_error(error, state.get("segment", False))
    except Exception as error:  # noqa: BLE001 - logged with an id that the caller gets
        services.metrics.rejected.labels(InternalError.code).inc()
        given = answer_bug(scope["method"], scope["path"], error)
    await given.send(send)
