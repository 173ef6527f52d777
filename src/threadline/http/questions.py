"""The read routes: parameters in, one question of the registry asked, its answer out."""

import json
from collections.abc import Callable, Iterator
from typing import IO, Any
from urllib.parse import unquote

import msgspec
from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream

from threadline.http.doc import Doc
from threadline.http.formats import user_csv, user_ndjson
from threadline.questions import export, users
from threadline.questions.registry import QUESTIONS, Question
from threadline.runtime.ask import PARTITIONS
from threadline.runtime.params import read_params
from threadline.runtime.services import Services

CHUNK_BYTES = 256 * 1024
READ = ("sk", "rk")
Req = Request[Any, Any, Any]
Headers = dict[str, str]
Render = Callable[[Any, Any, Headers], Response[bytes] | Stream]


def doc(question: Question) -> Doc:
    """What a question's route says of itself."""
    return Doc(
        summary=question.summary,
        tag=question.tag,
        keys=READ,
        params=question.params,
        path_params={name: _description(question.params, name) for name in question.in_path},
        answer=question.answer,
        errors=question.errors,
        media_types=question.media_types,
        choices={"stitch": PARTITIONS} if question.counts_people else {},
    )


def _description(struct: type, name: str) -> str:
    (_,), components = msgspec.json.schema_components([struct])
    return str(components[struct.__name__]["properties"][name]["description"])


def _route(question: Question) -> HTTPRouteHandler:
    path = question.path.replace("}", ":str}")

    @get(path, name=question.name, opt={"doc": doc(question)})
    async def handler(request: Req) -> Response[bytes] | Stream:
        services: Services = request.app.state.services
        in_path = {name: unquote(value) for name, value in request.path_params.items()}
        params: msgspec.Struct = read_params(request, question.params, in_path)
        answered = await services.asking.ask(question, request.state.project, params)
        headers = {} if answered.fresh else {"Threadline-Stale": "true"}
        render: Render = RENDERERS.get(question.name, _json)
        return render(answered.answer, params, headers)

    return handler


def _json(answer: object, params: Any, headers: Headers) -> Response[bytes]:
    return Response(msgspec.json.encode(answer), headers=headers, media_type="application/json")


def _users(answer: users.Users, params: users.UsersParams, headers: Headers) -> Response[bytes]:
    if params.format == "json":
        return _json(answer, params, headers)
    if answer.next_cursor:
        headers["Threadline-Next-Cursor"] = answer.next_cursor
    if params.format == "csv":
        return Response(user_csv(answer.rows), headers=headers, media_type="text/csv")
    lines = user_ndjson(answer.rows)
    return Response(lines, headers=headers, media_type="application/x-ndjson")


def _export(answer: export.Export, params: export.ExportParams, headers: Headers) -> Stream:
    headers["Threadline-Events"] = str(answer.events)
    headers["Threadline-Bots-Left-Out"] = str(answer.bots)
    if answer.warnings:
        headers["Threadline-Warnings"] = json.dumps(answer.warnings)
    headers["Content-Disposition"] = f'attachment; filename="events.{params.format}"'
    return Stream(
        _chunks(answer.file), media_type=export.MEDIA_TYPES[params.format], headers=headers
    )


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


# What is not always JSON.
RENDERERS: dict[str, Render] = {"users": _users, "export": _export}

ROUTES = [_route(question) for question in QUESTIONS.values()]
