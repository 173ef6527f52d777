"""`/v1/track`, `/v1/batch`, `/v1/identify`, `/v1/forget`: in through the door, onto the disk."""

import asyncio
import time
from typing import Any

import msgspec
from litestar import Request, Response, post

from threadline.contract.bodies import Batch, Event, Forget, Identify, decode
from threadline.contract.errors import (
    ForgetRequiresSecretKey,
    InvalidPayload,
    PlaceholderId,
)
from threadline.contract.replies import Batched, Forgotten, Ok, Tracked
from threadline.enrich import address_hash, time_ordered_id
from threadline.http.auth import client_address
from threadline.http.body import MIB, read_body
from threadline.http.doc import Doc
from threadline.http.services import Services
from threadline.ingest.accept import Accepted, Sender, accept, identify_event
from threadline.ingest.log import ForgetRequest, Record

TRACK_LIMIT = 1 * MIB
BATCH_LIMIT = 16 * MIB

Req = Request[Any, Any, Any]


@post(
    "/v1/track",
    opt={
        "doc": Doc(
            summary="Record one event",
            tag="Ingest",
            keys=("pk", "sk"),
            bucket="track",
            body=Event,
            answer=Tracked,
            status=202,
        )
    },
)
async def track(request: Req) -> Response[bytes]:
    event = decode(await read_body(request, TRACK_LIMIT), Event, _now_ms())
    accepted = await _store(request, [event], in_batch=False)
    reply = Tracked(accepted.first_event_id, accepted.warnings or msgspec.UNSET)
    return _json(reply, 202)


@post(
    "/v1/batch",
    opt={
        "doc": Doc(
            summary="Record up to 1000 events, all or none",
            tag="Ingest",
            keys=("pk", "sk"),
            bucket="batch",
            body=Batch,
            answer=Batched,
            status=202,
        )
    },
)
async def batch(request: Req) -> Response[bytes]:
    events = decode(await read_body(request, BATCH_LIMIT), Batch, _now_ms()).events
    accepted = await _store(request, events, in_batch=True)
    return _json(Batched(len(events), accepted.warnings or msgspec.UNSET), 202)


@post(
    "/v1/identify",
    opt={
        "doc": Doc(
            summary="Say who an anonymous visitor is",
            tag="Ingest",
            keys=("pk", "sk"),
            bucket="identify",
            body=Identify,
            answer=Ok,
            errors=(PlaceholderId,),
        )
    },
)
async def identify(request: Req) -> Response[bytes]:
    body = decode(await read_body(request, TRACK_LIMIT), Identify, _now_ms())
    await _store(request, [identify_event(body)], in_batch=False)
    return _json(Ok(), 200)


@post(
    "/v1/forget",
    opt={
        "doc": Doc(
            summary="Delete everything about a user, or about a device",
            tag="Ingest",
            keys=("sk",),
            refusal=ForgetRequiresSecretKey,
            body=Forget,
            answer=Forgotten,
        )
    },
)
async def forget(request: Req) -> Response[bytes]:
    body = decode(await read_body(request, TRACK_LIMIT), Forget, _now_ms())
    if (body.user_id is None) == (body.anonymous_id is None):
        message = "Give either user_id or anonymous_id"
        raise InvalidPayload(f"{message}.", fieldErrors={"user_id": [message]})
    services: Services = request.app.state.services
    project_id = request.state.project.project_id
    asked = ForgetRequest(time_ordered_id(), project_id, body.user_id, body.anonymous_id)
    forgotten_id = body.user_id or body.anonymous_id or ""
    id_hash = address_hash(services.control.pepper, project_id, forgotten_id)
    on_disk = asyncio.get_running_loop().create_future()
    services.log.append_forget(asked, id_hash, on_disk)
    await on_disk
    return _json(Forgotten(asked.receipt_id), 200)


async def _store(request: Req, events: list[Event], in_batch: bool) -> Accepted:
    """Through all steps and onto the disk. Raises what `accept` raises, or `Unavailable`."""
    services: Services = request.app.state.services
    services.save_last_uses_if_due()
    accepted = accept(events, _sender(request, services), in_batch)
    on_disk = asyncio.get_running_loop().create_future()
    services.log.append(Record(accepted.events, accepted.hashes, accepted.body), on_disk)
    await on_disk
    return accepted


def _sender(request: Req, services: Services) -> Sender:
    settings, project = services.settings, request.state.project
    country = request.headers.get(settings.country_header, "") if settings.country_header else ""
    address, salt = client_address(request), services.control.salt()
    return Sender(
        project_id=project.project_id,
        own_hosts=project.hosts,
        browser_key=request.state.key.kind == "pk",
        address=address,
        address_hash=address_hash(salt, project.project_id, address),
        user_agent=request.headers.get("user-agent", ""),
        country=country.upper() if len(country) == 2 and country.isalpha() else "",
        salt=salt,
        id_key=services.log.id_key,
        now_ms=_now_ms(),
    )


def _json(reply: object, status: int) -> Response[bytes]:
    return Response(msgspec.json.encode(reply), status_code=status, media_type="application/json")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


ROUTES = [track, batch, identify, forget]
