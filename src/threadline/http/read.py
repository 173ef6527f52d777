"""The read routes: parameters in, one question asked, its answer out."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar, cast
from urllib.parse import unquote

import msgspec
from litestar import Request, Response, get
from litestar.response import Stream

from threadline.contract.errors import NotFound, StitchNotAPartition
from threadline.http.doc import Doc
from threadline.http.formats import user_csv, user_ndjson
from threadline.http.params import read_params
from threadline.http.services import Services
from threadline.identity.ground import Ground, Policy, ground
from threadline.identity.reading import Reading
from threadline.questions import events, export, journey, users
from threadline.questions.answers import Stitched

# How long a read waits for what was acknowledged before it. Past that it answers, and says so.
CATCH_UP_S = 5.0

CHUNK_BYTES = 256 * 1024

READ = ("sk", "rk")
# The policies under which each event has one owner.
PARTITIONS = ("first", "next")
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
    return await _answer(request, lambda reading, project: events.ask(reading, project, params))


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
    services: Services = request.app.state.services
    folder = Path(services.settings.data)
    exported, headers = await _ask(
        request, lambda reading, project: export.ask(services.store, project, params, folder)
    )
    headers["Threadline-Events"] = str(exported.events)
    headers["Threadline-Bots-Left-Out"] = str(exported.bots)
    if exported.warnings:
        headers["Threadline-Warnings"] = json.dumps(exported.warnings)
    headers["Content-Disposition"] = f'attachment; filename="events.{params.format}"'
    return Stream(
        _chunks(exported.file), media_type=export.MEDIA_TYPES[params.format], headers=headers
    )


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
        request, params, lambda reading, on: users.ask(reading, on, params)
    )
    if params.format == "json":
        return _response(msgspec.json.encode(answer), headers)
    if answer.next_cursor:
        headers["Threadline-Next-Cursor"] = answer.next_cursor
    if params.format == "csv":
        return _response(user_csv(answer.rows), headers, "text/csv")
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
    return await answer_stitched(
        request, params, lambda reading, on: users.profile(reading, on, wanted)
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
    return await answer_stitched(
        request, params, lambda reading, on: journey.ask(reading, on, params, wanted)
    )


def partition(request: Req, asked: Policy | None) -> Policy:
    """The policy to count people under: what was asked for, else the project's, else `next`."""
    if asked == "any":
        raise StitchNotAPartition(
            "stitch=any counts an event for several people; choose first or next.",
            allowed=list(PARTITIONS),
        )
    default: Policy | None = request.state.project.stitch
    return asked or (default if default in PARTITIONS else None) or "next"


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


async def answer_stitched(
    request: Req, params: Stitched, question: Callable[[Reading, Ground], object]
) -> Response[bytes]:
    """The answer to a question about people, under the policy asked for."""
    answer, headers = await _ask_stitched(request, params, question)
    return _response(msgspec.json.encode(answer), headers)


async def _ask_stitched(
    request: Req, params: Stitched, question: Callable[[Reading, Ground], Answer]
) -> tuple[Answer, dict[str, str]]:
    """Under the policy that the caller asked for, else the project's default, else `any`."""
    policy = cast(Policy, params.stitch or request.state.project.stitch or "any")
    as_of_ms = params.as_of.ms if params.as_of else None

    def ask(reading: Reading, project_id: str) -> Answer:
        on = ground(reading, project_id, policy, as_of_ms, params.include_bots)
        return question(reading, on)

    return await _ask(request, ask)


async def _answer(request: Req, question: Callable[[Reading, str], object]) -> Response[bytes]:
    answer, headers = await _ask(request, question)
    return _response(msgspec.json.encode(answer), headers)


async def _ask(
    request: Req, question: Callable[[Reading, str], Answer]
) -> tuple[Answer, dict[str, str]]:
    """Ask in a worker thread, after everything acknowledged so far is in the store."""
    services: Services = request.app.state.services
    project_id = request.state.project.project_id

    def ask() -> tuple[Answer, dict[str, str]]:
        fresh = services.writer.catch_up(CATCH_UP_S)
        headers = {} if fresh else {"Threadline-Stale": "true"}
        return question(Reading(services.store, project_id), project_id), headers

    return await services.asking.ask(ask)


def _response(
    body: bytes, headers: dict[str, str], media_type: str = "application/json"
) -> Response[bytes]:
    return Response(body, headers=headers, media_type=media_type)


ROUTES = [query, export_events, user_list, profile, user_events]
