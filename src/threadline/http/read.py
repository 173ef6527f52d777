"""The read routes: parameters in, one question asked, its answer out."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast
from urllib.parse import unquote

import msgspec
from litestar import Request, Response, get
from litestar.response import Stream

from threadline.contract.errors import InvalidGroupBy, NotFound, StitchNotAPartition
from threadline.http.doc import Doc
from threadline.http.formats import user_csv, user_ndjson
from threadline.http.params import read_params
from threadline.http.services import Services
from threadline.identity.ground import Ground, Policy, ground
from threadline.questions import (
    attribution,
    events,
    export,
    funnel,
    identity,
    journey,
    retention,
    sessions,
    sources,
    stats,
    time_to_conversion,
    users,
)
from threadline.questions.answers import Stitched
from threadline.store import Store

# How long a read waits for what was acknowledged before it. Past that it answers, and says so.
CATCH_UP_S = 5.0

CHUNK_BYTES = 256 * 1024

READ = ("sk", "rk")
COUNTING_ERRORS = (InvalidGroupBy, StitchNotAPartition)
Req = Request[Any, Any, Any]
Answer = TypeVar("Answer")


@get(
    "/v1/query",
    opt={
        "doc": Doc(
            summary="Stored events, newest first",
            tag="Events",
            keys=READ,
            params=events.Params,
            answer=events.Events,
        )
    },
)
async def query(request: Req) -> Response[bytes]:
    params = read_params(request, events.Params)
    return await _answer(request, lambda store, project: events.ask(store, project, params))


@get(
    "/v1/export",
    opt={
        "doc": Doc(
            summary="All stored events that pass the filters, as a file",
            tag="Events",
            keys=READ,
            params=export.Params,
            answer=str,
            media_types=tuple(media.partition(";")[0] for media in export.MEDIA_TYPES.values()),
        )
    },
)
async def export_events(request: Req) -> Stream:
    params = read_params(request, export.Params)
    folder = Path(request.app.state.services.settings.data)
    file, headers = await _ask(
        request, lambda store, project: export.ask(store, project, params, folder)
    )
    headers["Content-Disposition"] = f'attachment; filename="events.{params.format}"'
    return Stream(_chunks(file), media_type=export.MEDIA_TYPES[params.format], headers=headers)


@get(
    "/v1/users",
    opt={
        "doc": Doc(
            summary="Users, each with the touch that brought them",
            tag="People",
            keys=READ,
            params=users.Params,
            answer=users.Users,
            media_types=("application/json", "application/x-ndjson", "text/csv"),
        )
    },
)
async def user_list(request: Req) -> Response[bytes]:
    params = read_params(request, users.Params)
    answer, headers = await _ask_stitched(
        request, params, lambda store, on: users.ask(store, on, params)
    )
    if params.format == "json":
        return _response(msgspec.json.encode(answer), headers)
    if answer.next_cursor:
        headers["Threadline-Next-Cursor"] = answer.next_cursor
    if params.format == "csv":
        return _response(user_csv(answer.rows), headers, "text/csv; charset=utf-8")
    return _response(user_ndjson(answer.rows), headers, "application/x-ndjson")


@get(
    "/v1/users/{user_id:str}",
    opt={
        "doc": Doc(
            summary="One user: traits, devices, first and last touch",
            tag="People",
            keys=READ,
            params=users.ProfileParams,
            path_params={"user_id": "The id given to identify, percent-encoded."},
            answer=users.Profile,
            errors=(NotFound,),
        )
    },
)
async def profile(request: Req, user_id: str) -> Response[bytes]:
    params, wanted = read_params(request, users.ProfileParams), unquote(user_id)
    return await _answer_stitched(
        request, params, lambda store, on: users.profile(store, on, wanted)
    )


@get(
    "/v1/users/{user_id:str}/events",
    opt={
        "doc": Doc(
            summary="What one user did, the time before signing in included",
            tag="People",
            keys=READ,
            params=journey.Params,
            path_params={"user_id": "The id given to identify, percent-encoded."},
            answer=journey.Journey,
            errors=(NotFound,),
        )
    },
)
async def user_events(request: Req, user_id: str) -> Response[bytes]:
    params, wanted = read_params(request, journey.Params), unquote(user_id)
    return await _answer_stitched(
        request, params, lambda store, on: journey.ask(store, on, params, wanted)
    )


@get(
    "/v1/time-to-conversion",
    opt={
        "doc": Doc(
            summary="How long from the first touch to a conversion",
            tag="People",
            keys=READ,
            params=time_to_conversion.Params,
            answer=time_to_conversion.TimeToConversion,
            errors=(InvalidGroupBy, NotFound),
        )
    },
)
async def conversion_times(request: Req) -> Response[bytes]:
    params = read_params(request, time_to_conversion.Params)
    return await _answer_stitched(
        request, params, lambda store, on: time_to_conversion.ask(store, on, params)
    )


@get(
    "/v1/stats",
    opt={
        "doc": Doc(
            summary="How many, by what, over time",
            tag="Numbers",
            keys=READ,
            params=stats.Params,
            answer=stats.Stats,
            errors=COUNTING_ERRORS,
        )
    },
)
async def read_stats(request: Req) -> Response[bytes]:
    params = read_params(request, stats.Params)
    return await _answer_counting(request, params, lambda store, on: stats.ask(store, on, params))


@get(
    "/v1/sources",
    opt={
        "doc": Doc(
            summary="Where events and people come from",
            tag="Numbers",
            keys=READ,
            params=sources.Params,
            answer=sources.Sources,
            errors=COUNTING_ERRORS,
        )
    },
)
async def read_sources(request: Req) -> Response[bytes]:
    params = read_params(request, sources.Params)
    return await _answer_counting(request, params, lambda store, on: sources.ask(store, on, params))


@get(
    "/v1/attribution",
    opt={
        "doc": Doc(
            summary="Which touches are credited with conversions",
            tag="People",
            keys=READ,
            params=attribution.Params,
            answer=attribution.Attribution,
            errors=COUNTING_ERRORS,
        )
    },
)
async def read_attribution(request: Req) -> Response[bytes]:
    params = read_params(request, attribution.Params)
    return await _answer_counting(
        request, params, lambda store, on: attribution.ask(store, on, params)
    )


@get(
    "/v1/funnel",
    opt={
        "doc": Doc(
            summary="How far people get, step by step",
            tag="People",
            keys=READ,
            params=funnel.Params,
            answer=funnel.Funnel,
            errors=COUNTING_ERRORS,
        )
    },
)
async def read_funnel(request: Req) -> Response[bytes]:
    params = read_params(request, funnel.Params)
    return await _answer_counting(request, params, lambda store, on: funnel.ask(store, on, params))


@get(
    "/v1/retention",
    opt={
        "doc": Doc(
            summary="Of those who began together, how many come back",
            tag="People",
            keys=READ,
            params=retention.Params,
            answer=retention.Retention,
            errors=COUNTING_ERRORS,
        )
    },
)
async def read_retention(request: Req) -> Response[bytes]:
    params = read_params(request, retention.Params)
    return await _answer_counting(
        request, params, lambda store, on: retention.ask(store, on, params)
    )


@get(
    "/v1/sessions",
    opt={
        "doc": Doc(
            summary="How many visits, how long, and where each began",
            tag="People",
            keys=READ,
            params=sessions.Params,
            answer=sessions.Sessions,
            errors=COUNTING_ERRORS,
        )
    },
)
async def read_sessions(request: Req) -> Response[bytes]:
    params = read_params(request, sessions.Params)
    return await _answer_counting(
        request, params, lambda store, on: sessions.ask(store, on, params)
    )


@get(
    "/v1/identity/shared-devices",
    opt={
        "doc": Doc(
            summary="Devices that more than one person was seen on",
            tag="Identity",
            keys=READ,
            params=identity.SharedParams,
            answer=identity.SharedDevices,
        )
    },
)
async def shared_devices(request: Req) -> Response[bytes]:
    params = read_params(request, identity.SharedParams)
    # By turns, which only `next` has.
    params.stitch = "next"
    return await _answer_stitched(
        request, params, lambda store, on: identity.shared_devices(store, on, params)
    )


@get(
    "/v1/identity/explain",
    opt={
        "doc": Doc(
            summary="Whose an event is under each policy, and why",
            tag="Identity",
            keys=READ,
            params=identity.ExplainParams,
            answer=identity.Explanation,
            errors=(NotFound,),
        )
    },
)
async def explain(request: Req) -> Response[bytes]:
    params = read_params(request, identity.ExplainParams)
    return await _answer_stitched(
        request, params, lambda store, on: identity.explain(store, on, params)
    )


@get(
    "/v1/identity/stats",
    opt={
        "doc": Doc(
            summary="How well people are known",
            tag="Identity",
            keys=READ,
            params=identity.StatsParams,
            answer=identity.IdentityStats,
            errors=COUNTING_ERRORS,
        )
    },
)
async def identity_stats(request: Req) -> Response[bytes]:
    params = read_params(request, identity.StatsParams)
    return await _answer_counting(
        request, params, lambda store, on: identity.stats(store, on, params)
    )


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


async def _answer_counting(
    request: Req, params: Stitched, question: Callable[[Store, Ground], object]
) -> Response[bytes]:
    """People can only be counted where each event has one owner, so by default `next`."""
    if params.stitch == "any":
        raise StitchNotAPartition(
            "stitch=any counts an event for several people; choose first or next.",
            allowed=["first", "next"],
        )
    default = request.state.project.stitch
    params.stitch = params.stitch or (default if default in ("first", "next") else "next")
    return await _answer_stitched(request, params, question)


async def _answer_stitched(
    request: Req, params: Stitched, question: Callable[[Store, Ground], object]
) -> Response[bytes]:
    answer, headers = await _ask_stitched(request, params, question)
    return _response(msgspec.json.encode(answer), headers)


async def _ask_stitched(
    request: Req, params: Stitched, question: Callable[[Store, Ground], Answer]
) -> tuple[Answer, dict[str, str]]:
    """Under the policy that the caller asked for, else the project's default, else `any`."""
    policy = cast(Policy, params.stitch or request.state.project.stitch or "any")
    as_of_ms = params.as_of.ms if params.as_of else None
    return await _ask(
        request,
        lambda store, project_id: question(store, ground(store, project_id, policy, as_of_ms)),
    )


async def _answer(request: Req, question: Callable[[Store, str], object]) -> Response[bytes]:
    answer, headers = await _ask(request, question)
    return _response(msgspec.json.encode(answer), headers)


async def _ask(
    request: Req, question: Callable[[Store, str], Answer]
) -> tuple[Answer, dict[str, str]]:
    """Ask in a worker thread, after everything acknowledged so far is in the store."""
    services: Services = request.app.state.services
    project_id = request.state.project.project_id

    def ask() -> tuple[Answer, dict[str, str]]:
        fresh = services.writer.catch_up(CATCH_UP_S)
        headers = {} if fresh else {"Threadline-Stale": "true"}
        return question(services.store, project_id), headers

    return await asyncio.to_thread(ask)


def _response(
    body: bytes, headers: dict[str, str], media_type: str = "application/json"
) -> Response[bytes]:
    return Response(body, headers=headers, media_type=media_type)


ROUTES = [
    query,
    export_events,
    read_stats,
    read_sources,
    user_list,
    profile,
    user_events,
    conversion_times,
    read_attribution,
    read_funnel,
    read_retention,
    read_sessions,
    shared_devices,
    explain,
    identity_stats,
]
