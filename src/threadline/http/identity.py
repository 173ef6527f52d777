"""`/v1/identity/links` and `/v1/identity/aliases`: what people decide, and take back; and how well
people are known."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec
from litestar import Request, Response, delete, get, put

from threadline.contract.bodies import Alias, Body, Link, Unalias, decode
from threadline.contract.errors import AliasCycle, PlaceholderId, StitchNotAPartition
from threadline.contract.ids import is_placeholder
from threadline.contract.replies import Decided
from threadline.control import Control
from threadline.http.body import MIB, read_body
from threadline.http.doc import Doc
from threadline.http.params import read_params
from threadline.http.read import READ, answer_stitched, partition
from threadline.http.services import Services
from threadline.identity import decisions
from threadline.questions import identity as questions
from threadline.store import Store

Req = Request[Any, Any, Any]


@delete(
    "/v1/identity/links",
    status_code=200,
    opt={
        "doc": Doc(
            summary="Unlink a user from a device: what was seen there does not count",
            tag="Identity",
            keys=("sk",),
            body=Link,
            answer=Decided,
        )
    },
)
async def unlink(request: Req) -> Response[bytes]:
    body = await _body(request, Link)
    return await _decide(
        request,
        lambda store, project_id, by: decisions.unlink(
            store, project_id, body.anonymous_id, body.user_id, by
        ),
    )


@put(
    "/v1/identity/links",
    opt={
        "doc": Doc(
            summary="Link them again",
            tag="Identity",
            keys=("sk",),
            body=Link,
            answer=Decided,
        )
    },
)
async def link_again(request: Req) -> Response[bytes]:
    body = await _body(request, Link)
    return await _decide(
        request,
        lambda store, project_id, by: decisions.link_again(
            store, project_id, body.anonymous_id, body.user_id, by
        ),
    )


@put(
    "/v1/identity/aliases",
    opt={
        "doc": Doc(
            summary="Declare a user the same person as another",
            tag="Identity",
            keys=("sk",),
            body=Alias,
            answer=Decided,
            errors=(AliasCycle, PlaceholderId),
        )
    },
)
async def alias(request: Req) -> Response[bytes]:
    body = await _body(request, Alias)
    placeholders = request.app.state.services.placeholders
    for name, user_id in (("user_id", body.user_id), ("alias_of", body.alias_of)):
        if is_placeholder(user_id, placeholders):
            message = f"{name} {user_id!r} is a placeholder; it would merge strangers."
            raise PlaceholderId(message, fieldErrors={name: ["Placeholder, not an id"]})
    return await _decide(
        request,
        lambda store, project_id, by: decisions.alias(
            store, project_id, body.user_id, body.alias_of, by
        ),
    )


@delete(
    "/v1/identity/aliases",
    status_code=200,
    opt={
        "doc": Doc(
            summary="Take that back",
            tag="Identity",
            keys=("sk",),
            body=Unalias,
            answer=Decided,
        )
    },
)
async def unalias(request: Req) -> Response[bytes]:
    body = await _body(request, Unalias)
    return await _decide(
        request,
        lambda store, project_id, by: decisions.unalias(store, project_id, body.user_id, by),
    )


@get(
    "/v1/identity/stats",
    opt={
        "doc": Doc(
            summary="How well people are known",
            tag="Identity",
            keys=READ,
            params=questions.StatsParams,
            answer=questions.IdentityStats,
            errors=(StitchNotAPartition,),
        )
    },
)
async def stats(request: Req) -> Response[bytes]:
    params = read_params(request, questions.StatsParams)
    params.stitch = partition(request, params.stitch)
    control: Control = request.app.state.services.control
    placeholder_ids = control.placeholder_ids(request.state.project.project_id)
    return await answer_stitched(
        request, params, lambda store, on: questions.stats(store, on, placeholder_ids)
    )


async def _body(request: Req, kind: type[Body]) -> Body:
    services: Services = request.app.state.services
    seconds = services.settings.body_seconds
    raw = await read_body(request.scope, request.receive, MIB, seconds)
    return decode(raw, kind, time.time_ns() // 1_000_000)


async def _decide(request: Req, decision: Callable[[Store, str, str], bool]) -> Response[bytes]:
    """One after the other, because each looks at those before it."""
    services: Services = request.app.state.services
    project_id, by = request.state.project.project_id, request.state.key.prefix

    def decide() -> bool:
        with services.deciding:
            return decision(services.store, project_id, by)

    changed = await asyncio.to_thread(decide)
    return Response(msgspec.json.encode(Decided(changed)), media_type="application/json")


ROUTES = [stats, unlink, link_again, alias, unalias]
