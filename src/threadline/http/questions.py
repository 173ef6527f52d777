"""The read routes: parameters in, one question of the registry asked, its answer out."""

import json
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import unquote

import msgspec

from threadline.contract.policies import PARTITIONS, POLICIES
from threadline.http.answers import Answer, answer, answer_body
from threadline.http.doc import READ, Doc
from threadline.http.formats import Lines, UserCsv, account_csv, user_ndjson
from threadline.http.request import Request
from threadline.http.routing import Route
from threadline.questions import account_list, export, users
from threadline.questions.registry import QUESTIONS, Question
from threadline.questions.warned import Warnings
from threadline.runtime.params import read_params

STALE = (b"threadline-stale", b"true")
Render = Callable[[Any, Any], Answer]


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
    params: Any = read_params(request.query, question.params, in_path)
    if question.name == "users" and params.format != "json" and params.limit is None:
        question = EVERYBODY
    anew = "no-cache" in request.header("cache-control")
    answered = await request.services.asking.ask(question, request.project, params, anew)
    render: Render = RENDERERS.get(question.name, _json)
    rendered = render(answered.answer, params)
    if not answered.fresh:
        rendered.headers.append(STALE)
    if answered.age_s is not None:
        rendered.headers.append((b"age", str(answered.age_s).encode()))
    return rendered


def _json(found: object, params: Any) -> Answer:
    return answer(found)


def _users(found: users.Users | users.Everybody, params: users.UsersParams) -> Answer:
    if isinstance(found, users.Everybody):
        return _everybody(found, params)
    if params.format == "json":
        return answer(found)
    headers = _said(found.warnings)
    if found.next_cursor:
        headers["Threadline-Next-Cursor"] = found.next_cursor
    if params.format == "csv":
        lines = UserCsv(found.rows, params.columns).lines(found.rows)
        return answer_body(lines, USER_FILES["csv"], headers)
    return answer_body(user_ndjson(found.rows), USER_FILES["ndjson"], headers)


def _everybody(found: users.Everybody, params: users.UsersParams) -> Answer:
    """As long as there are users."""
    first, others = found.first, found.others
    written = UserCsv(first, params.columns).lines if params.format == "csv" else user_ndjson

    def pieces() -> Generator[bytes]:
        yield written(first)
        for rows in others:
            yield written(rows)

    lines = Lines(pieces(), others)
    return answer_body(lines, USER_FILES[params.format], _said(found.warnings))


def _said(warnings: Warnings) -> dict[str, str]:
    """What a file has no place for."""
    if warnings is msgspec.UNSET:
        return {}
    return {"Threadline-Warnings": json.dumps([warning.message for warning in warnings])}


def _accounts(found: account_list.Accounts, params: account_list.AccountsParams) -> Answer:
    if params.format == "json":
        return answer(found)
    headers = {"Threadline-Next-Cursor": found.next_cursor} if found.next_cursor else {}
    if params.format == "csv":
        return answer_body(account_csv(found.rows), "text/csv; charset=utf-8", headers)
    return answer_body(user_ndjson(found.rows), "application/x-ndjson", headers)


def _export(found: export.Export, params: export.ExportParams) -> Answer:
    headers = {
        "Threadline-Events": str(found.events),
        "Threadline-Bots-Left-Out": str(found.bots),
        "Content-Disposition": f'attachment; filename="events.{params.format}"',
    }
    if found.warnings:
        headers["Threadline-Warnings"] = json.dumps(found.warnings)
    return answer_body(found.file, export.MEDIA_TYPES[params.format], headers)


USER_FILES = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}
EVERYBODY = replace(QUESTIONS["users"], ask=users.everybody, is_stream=True)

# What is not always JSON.
RENDERERS: dict[str, Render] = {"users": _users, "accounts": _accounts, "export": _export}

ROUTES = [route for question in QUESTIONS.values() for route in _routes(question)]
