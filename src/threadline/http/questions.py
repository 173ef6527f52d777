"""The read routes: parameters in, one question of the registry asked, its answer out."""

import json
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import unquote

import msgspec

from threadline.contract.policies import PARTITIONS, POLICIES
from threadline.http.answers import JSON, Answer, answer, answer_body
from threadline.http.doc import READ, Doc
from threadline.http.formats import Lines, UserCsv, account_csv, user_ndjson
from threadline.http.request import Request
from threadline.http.routing import Route
from threadline.questions import account_list, export, users, users_shapes
from threadline.questions.question import Question
from threadline.questions.registry import QUESTIONS
from threadline.questions.warned import Warnings
from threadline.runtime.ask import Answered
from threadline.runtime.params import read_params
from threadline.runtime.this_node import WRITTEN

STALE = (b"threadline-stale", b"true")
Render = Callable[[Answered, Any], Answer]


def doc(question: Question) -> Doc:
    """What a question's route says of itself."""
    return Doc(
        summary=question.summary,
        tag=question.tag,
        keys=READ,
        shared=question.name,
        params=question.params,
        path_params={name: _description(question.params, name) for name in question.in_path},
        answer=question.answer,
        errors=question.errors,
        media_types=question.media_types,
        choices={"stitch": PARTITIONS if question.counts_people else POLICIES},
        notes=question.notes,
    )


def _description(struct: type, name: str) -> str:
    (_,), components = msgspec.json.schema_components([struct])
    return str(components[struct.__name__]["properties"][name]["description"])


def _routes(question: Question) -> list[Route]:
    asked, said = partial(_ask, question), doc(question)
    return [Route("GET", path, asked, said) for path in question.paths]


async def _ask(question: Question, request: Request) -> Answer:
    in_path = {name: unquote(value) for name, value in request.in_path.items()}
    zone = request.project.timezone
    params: Any = read_params(request.query, question.params, in_path, zone)
    if question.name == "users" and params.format != "json" and params.limit is None:
        question = EVERYBODY
    anew = "no-cache" in request.header("cache-control")
    written = request.header(WRITTEN)
    answered = await request.services.asking.ask(question, request.project, params, anew, written)
    render: Render = RENDERERS.get(question.name, _json)
    rendered = render(answered, params)
    if not answered.fresh:
        rendered.headers.append(STALE)
    if answered.age_s is not None:
        rendered.headers.append((b"age", str(answered.age_s).encode()))
    return rendered


def _json(answered: Answered, params: Any) -> Answer:
    if answered.body is None:
        return answer(answered.answer)
    return Answer(200, [JSON], answered.body)


def _users(answered: Answered, params: users_shapes.UsersParams) -> Answer:
    found: users_shapes.Users | users_shapes.Everybody = answered.answer
    if isinstance(found, users_shapes.Everybody):
        return _everybody(found, params)
    if params.format == "json":
        return _json(answered, params)
    if params.format == "csv":
        lines = UserCsv(found.rows, params.columns).lines(found.rows)
    else:
        lines = user_ndjson(found.rows)
    return answer_body(lines, LISTS[params.format], _beside(found))


def _everybody(found: users_shapes.Everybody, params: users_shapes.UsersParams) -> Answer:
    """As long as there are users."""
    first, others = found.first, found.others
    written = UserCsv(first, params.columns).lines if params.format == "csv" else user_ndjson

    def pieces() -> Generator[bytes]:
        yield written(first)
        for rows in others:
            yield written(rows)

    lines = Lines(pieces(), others)
    return answer_body(lines, LISTS[params.format], _said(found.warnings))


def _said(warnings: Warnings) -> dict[str, str]:
    if warnings is msgspec.UNSET:
        return {}
    return {"Threadline-Warnings": json.dumps([warning.message for warning in warnings])}


def _accounts(answered: Answered, params: account_list.AccountsParams) -> Answer:
    found: account_list.Accounts = answered.answer
    if params.format == "json":
        return _json(answered, params)
    lines = account_csv(found.rows) if params.format == "csv" else user_ndjson(found.rows)
    return answer_body(lines, LISTS[params.format], _beside(found))


def _beside(found: users_shapes.Users | account_list.Accounts) -> dict[str, str]:
    """What a page of a list says beside its rows, which a file has no place for."""
    cursor = {"Threadline-Next-Cursor": found.next_cursor} if found.next_cursor else {}
    return cursor | _said(found.warnings)


def _export(answered: Answered, params: export.ExportParams) -> Answer:
    found: export.Export = answered.answer
    headers = {
        "Threadline-Events": str(found.events),
        "Threadline-Bots-Left-Out": str(found.bots),
        "Content-Disposition": f'attachment; filename="events.{params.format}"',
    }
    if found.warnings:
        headers["Threadline-Warnings"] = json.dumps(found.warnings)
    return answer_body(found.file, export.MEDIA_TYPES[params.format], headers)


LISTS = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}
EVERYBODY = replace(QUESTIONS["users"], ask=users.everybody, is_stream=True)

# What is not always JSON.
RENDERERS: dict[str, Render] = {"users": _users, "accounts": _accounts, "export": _export}

ROUTES = [route for question in QUESTIONS.values() for route in _routes(question)]
