"""`/v1/track`, `/v1/batch`, `/v1/identify`, `/v1/forget`: in through the door, onto the disk.

Bare ASGI: on these routes a framework's routing, guards and responses would cost several times what
the event itself does.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
from litestar.types import HTTPScope, Receive, Send

from threadline.contract.bodies import Batch, Event, Forget, Identify
from threadline.contract.decoding import BYTE_ORDER_MARK, decode
from threadline.contract.errors import (
    AliasCycle,
    ApiError,
    ForgetRequiresSecretKey,
    InsufficientScope,
    InternalError,
    InvalidPayload,
    KeyKindNotAllowed,
    PlaceholderId,
)
from threadline.contract.replies import Batched, Forgotten, Notice, Ok, Success, Tracked
from threadline.contract.segment import Message, Messages
from threadline.contract.values import skew_ms
from threadline.enrich import address_hash, time_ordered_id
from threadline.http import rudder, segment
from threadline.http.answers import Answer, answer, answer_bug, answer_error, answer_method
from threadline.http.auth import admit, header, key_of_basic
from threadline.http.body import drain
from threadline.http.call import Call, now_ms, whole_body
from threadline.http.doc import Doc
from threadline.ingest.accept import Accepted, accept, few, identify_event
from threadline.ingest.log import ForgetRequest
from threadline.runtime.memory import MIB, Hold
from threadline.runtime.services import Services

TRACK_LIMIT = 1 * MIB
BATCH_LIMIT = 16 * MIB
# Who sends it is known only after it is read.
BEACON_LIMIT = 1 * MIB


def read_events(
    call: Call,
    raw: bytes,
    read: Callable[[bytes, list[Notice]], tuple[list[Event], int]],
    in_batch: bool = False,
) -> Accepted:
    """The events of a body as rows. `read`: from a body to its events and how far their clock is
    behind, with notices of what was ignored. Raises `InvalidPayload`."""
    notices: list[Notice] = []
    events, behind_ms = read(raw, notices)
    accepted = accept(events, call.context(behind_ms), in_batch)
    return accepted._replace(warnings=notices + accepted.warnings)


async def is_segment(call: Call, raw: bytes, marks: tuple[bytes, ...]) -> bool:
    return await call.services.beside(len(raw), partial(segment.is_segment, raw, marks))


async def track(call: Call) -> Answer:
    raw = await call.body(TRACK_LIMIT)
    if await is_segment(call, raw, segment.OF_A_CALL):
        return await segment.take(call, "track", raw)

    def read(raw: bytes, notices: list[Notice]) -> tuple[list[Event], int]:
        return [decode(raw, Event, now_ms(), notices)], 0

    accepted = await call.services.beside(len(raw), partial(read_events, call, raw, read))
    await call.keep(accepted)
    call.spent(1, len(raw))
    return answer(Tracked(accepted.first_event_id, few(accepted.warnings) or msgspec.UNSET), 202)


async def batch(call: Call) -> Answer:
    raw = await call.body(BATCH_LIMIT)
    if await is_segment(call, raw, segment.OF_A_BATCH):
        return await segment.take(call, "batch", raw)
    dropped = 0

    def read(raw: bytes, notices: list[Notice]) -> tuple[list[Event], int]:
        nonlocal dropped
        body = decode(raw, Batch, now_ms(), notices)
        dropped = body.dropped
        return body.events, skew_ms(body.sent_at, now_ms())

    try:
        accepted = await call.services.beside(
            len(raw), partial(read_events, call, raw, read, in_batch=True)
        )
    finally:
        call.spent(0, len(raw))
    await call.keep(accepted)
    call.spent(accepted.rows.size, 0)
    call.services.metrics.dropped_by_senders.inc(dropped)
    return answer(Batched(accepted.rows.size, few(accepted.warnings) or msgspec.UNSET), 202)


async def identify(call: Call) -> Answer:
    raw = await call.body(TRACK_LIMIT)
    if await is_segment(call, raw, segment.OF_A_CALL):
        return await segment.take(call, "identify", raw)

    def read(raw: bytes, notices: list[Notice]) -> tuple[list[Event], int]:
        body = decode(raw, Identify, now_ms(), notices)
        return [identify_event(body, call.services.placeholders)], 0

    try:
        accepted = await call.services.beside(len(raw), partial(read_events, call, raw, read))
    except PlaceholderId:
        call.services.count_placeholder_ids(call.project.project_id)
        raise
    await call.keep(accepted)
    call.spent(1, len(raw))
    return answer(Ok(few(accepted.warnings) or msgspec.UNSET))


async def forget(call: Call) -> Answer:
    notices: list[Notice] = []
    raw = await call.body(TRACK_LIMIT)
    body = await call.services.beside(len(raw), partial(decode, raw, Forget, now_ms(), notices))
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
    return answer(Forgotten(asked.receipt_id, notices or msgspec.UNSET))


async def segment_call(kind: str, call: Call) -> Answer:
    """A type of call that only the Segment spec has."""
    return await segment.take(call, kind, await call.body(TRACK_LIMIT))


class Keyed(msgspec.Struct, rename="camel"):
    """The part of a body that says whose it is. `write_key`: of the Segment spec."""

    key: str | None = None
    write_key: str | None = None


KEY_IN = re.compile(rb'"(key|writeKey)"\s*:\s*"([A-Za-z0-9_]{1,200})"')


def _decoded_key(body: bytes) -> Keyed:
    """As `decode`, but what a stranger sent is not mended only to find out that it has no key."""
    try:
        return msgspec.json.decode(body.removeprefix(BYTE_ORDER_MARK), type=Keyed)
    except msgspec.ValidationError:
        return Keyed()
    except (ValueError, RecursionError):
        if named := KEY_IN.search(body):
            key = named[2].decode()
            return Keyed(key=key) if named[1] == b"key" else Keyed(write_key=key)
        raise InvalidPayload("The body is not JSON, or has no key.") from None


def _key_in(body: bytes, doc: Doc) -> str:
    """The key of a body that came without one in its headers, as beacons have to. `key` lies open
    in every page, so it has to be a browser key. Raises `InvalidPayload` for what cannot be read.
    """
    found = Keyed()
    if body.strip():
        found = _decoded_key(body)
    if doc.body is Batch and found.key:
        if not found.key.startswith("pk_"):
            raise KeyKindNotAllowed("Only browser keys (pk) may come in the body.")
        return found.key
    return found.write_key or ""


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
    if scope["method"] != "POST":
        await drain(scope, receive, services.settings.body_seconds)
        await answer_method(scope["path"], scope["method"], ["POST", "OPTIONS"]).send(send)
        return
    keyed = bool(header(scope, "authorization"))
    with Hold(services.room if keyed else services.strangers) as hold:
        try:
            call = await _let_in(services, doc, scope, receive, hold, keyed)
            given = await handler(call)
        except ApiError as error:
            services.metrics.rejected.labels(error.code).inc()
            await drain(scope, receive, services.settings.body_seconds)
            given = answer_error(error, state.get("segment", False))
        except Exception as error:  # noqa: BLE001 - logged with an id that the caller gets
            services.metrics.rejected.labels(InternalError.code).inc()
            given = answer_bug(scope["method"], scope["path"], error)
    await given.send(send)


async def _let_in(
    services: Services, doc: Doc, scope: HTTPScope, receive: Receive, hold: Hold, keyed: bool
) -> Call:
    """Raises what the contract says of key and origin."""
    state = scope["state"]
    arrived, token = None, ""
    if doc.segment or doc.body is Message:
        token = key_of_basic(scope) if keyed else rudder.key_in_address(scope)
        state["segment"] = bool(token)
        if not keyed and not token:
            arrived = await whole_body(services, scope, receive, BEACON_LIMIT, hold)
            token = await services.beside(len(arrived), partial(_key_in, arrived, doc))
    admit(services, doc, scope, token)
    return Call(services, scope, receive, state["key"], state["project"], hold, arrived)
