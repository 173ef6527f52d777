"""`/v1/track`, `/v1/batch`, `/v1/identify`, `/v1/forget`: in through the door, onto the disk.

Bare ASGI: on these routes a framework's routing, guards and responses would cost several times what
the event itself does.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec
from litestar.types import HTTPScope, Receive, Scope, Send

from threadline.contract.bodies import Batch, Event, Forget, Identify, decode, skew_ms
from threadline.contract.errors import (
    ForgetRequiresSecretKey,
    InternalError,
    InvalidPayload,
    KeyKindNotAllowed,
    MethodNotAllowed,
    MissingBearerToken,
    PlaceholderId,
    ThreadlineError,
)
from threadline.contract.replies import Batched, Forgotten, Ok, Tracked
from threadline.control import Key, Project
from threadline.enrich import address_hash, time_ordered_id
from threadline.http.answers import Answer, answer, answer_bug, answer_error
from threadline.http.auth import admit, client_address, header
from threadline.http.body import MIB, body_size, drain, read_body
from threadline.http.doc import Doc
from threadline.http.services import Services, site_of
from threadline.ingest.accept import Accepted, Sender, accept, identify_event
from threadline.ingest.log import ForgetRequest

TRACK_LIMIT = 1 * MIB
BATCH_LIMIT = 16 * MIB
# Who sends it is known only after it is read.
BEACON_LIMIT = 1 * MIB
# What proxies say for "unknown", though it looks like a country.
NO_COUNTRY = ("XX", "ZZ")


class Call(NamedTuple):
    """One request that was let in."""

    services: Services
    scope: Scope
    receive: Receive
    key: Key
    project: Project
    arrived: bytes | None = None  # the body, where the key was in it

    async def body(self, limit: int) -> bytes:
        if self.arrived is not None:
            return self.arrived
        seconds = self.services.settings.body_seconds
        return await read_body(self.scope, self.receive, limit, seconds)


async def track(call: Call) -> Answer:
    event = decode(await call.body(TRACK_LIMIT), Event, _now_ms())
    accepted = await _store(call, [event], in_batch=False)
    reply = Tracked(accepted.first_event_id, accepted.warnings or msgspec.UNSET)
    return answer(reply, 202)


async def batch(call: Call) -> Answer:
    body = decode(await call.body(BATCH_LIMIT), Batch, _now_ms())
    behind = skew_ms(body.sent_at, _now_ms())
    accepted = await _store(call, body.events, in_batch=True, behind_ms=behind)
    call.services.metrics.dropped.inc(body.dropped)
    return answer(Batched(len(body.events), accepted.warnings or msgspec.UNSET), 202)


async def identify(call: Call) -> Answer:
    body = decode(await call.body(TRACK_LIMIT), Identify, _now_ms())
    try:
        event = identify_event(body, call.services.placeholders)
    except PlaceholderId:
        call.services.count_placeholder_ids(call.project.project_id)
        raise
    await _store(call, [event], in_batch=False)
    return answer(Ok())


async def forget(call: Call) -> Answer:
    body = decode(await call.body(TRACK_LIMIT), Forget, _now_ms())
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


async def _store(call: Call, events: list[Event], in_batch: bool, behind_ms: int = 0) -> Accepted:
    """Through all steps and onto the disk. Raises what `accept` raises, or `Unavailable`."""
    accepted = accept(events, _sender(call, behind_ms), in_batch)
    on_disk = asyncio.get_running_loop().create_future()
    call.services.log.append(accepted.rows, on_disk)
    await on_disk
    metrics = call.services.metrics
    metrics.accepted.labels(call.scope["path"]).inc(len(events))
    if accepted.warnings:
        call.services.count_placeholder_ids(call.project.project_id, len(accepted.warnings))
    return accepted


def _sender(call: Call, behind_ms: int) -> Sender:
    services, project = call.services, call.project
    address, salt = client_address(services, call.scope), services.control.salt()
    return Sender(
        project_id=project.project_id,
        site=site_of(project),
        scrub=services.scrub,
        browser_key=call.key.kind == "pk",
        address=address,
        address_hash=address_hash(salt, project.project_id, address),
        user_agent=header(call.scope, "user-agent"),
        country=_country(services, call.scope, address),
        salt=salt,
        id_key=services.log.id_key,
        now_ms=_now_ms(),
        skew_ms=behind_ms,
        placeholders=services.placeholders,
    )


class Keyed(msgspec.Struct):
    """The part of a body that says whose it is."""

    key: str


def _key_in(body: bytes) -> str:
    """The key of a body that came without one in its headers, as beacons have to. It lies open in
    every page, so it has to be a browser key."""
    try:
        key = msgspec.json.decode(body, type=Keyed).key
    except (ValueError, RecursionError):
        raise MissingBearerToken(
            "Send the key as `Authorization: Bearer KEY`, or a browser key as `key` in the body."
        ) from None
    if not key.startswith("pk_"):
        raise KeyKindNotAllowed("Only browser keys (pk) may come in the body.")
    return key


def _country(services: Services, scope: Scope, address: str) -> str:
    """From the first trusted header that names one, else looked up; empty where nobody knows."""
    for name in services.country_headers:
        code = header(scope, name).upper()
        if len(code) == 2 and code.isascii() and code.isalpha() and code not in NO_COUNTRY:
            return code
    return services.countries.country(address) if services.countries else ""


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


ROUTES: dict[str, tuple[Callable[[Call], Awaitable[Answer]], Doc]] = {
    "/v1/track": (
        track,
        Doc(
            summary="Record one event",
            tag="Ingest",
            keys=("pk", "sk"),
            bucket="track",
            body=Event,
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


async def serve(services: Services, scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Answer a request whose path is one of `ROUTES`."""
    handler, doc = ROUTES[scope["path"]]
    try:
        try:
            if scope["method"] != "POST":
                message = f"{scope['path']} does not take {scope['method']}; see /docs."
                raise MethodNotAllowed(message)
            arrived, token = None, ""
            if doc.body is Batch and not header(scope, "authorization"):
                seconds = services.settings.body_seconds
                with services.room_for(body_size(scope, BEACON_LIMIT)):
                    arrived = await read_body(scope, receive, BEACON_LIMIT, seconds)
                token = _key_in(arrived)
            admit(services, doc, scope, token)
        except ThreadlineError:
            await drain(scope, receive, services.settings.body_seconds)
            raise
        state = scope["state"]
        call = Call(services, scope, receive, state["key"], state["project"], arrived)
        with services.room_for(body_size(scope, BATCH_LIMIT)):
            given = await handler(call)
    except ThreadlineError as error:
        services.metrics.rejected.labels(error.code).inc()
        given = answer_error(error)
    except Exception as error:  # noqa: BLE001 - logged with an id that the caller gets
        services.metrics.rejected.labels(InternalError.code).inc()
        given = answer_bug(scope["method"], scope["path"], error)
    await given.send(send)
