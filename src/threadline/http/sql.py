"""`POST /v1/sql`: one SELECT over the project's tables, for tools that speak SQL."""

import json
from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import msgspec

from threadline.contract.decoding import decode
from threadline.contract.errors import Busy, InvalidParams, InvalidPayload, Unavailable
from threadline.contract.replies import Notice
from threadline.contract.times import now_ms
from threadline.http.answers import Answer, answer_body
from threadline.http.doc import Doc
from threadline.http.questions import STALE
from threadline.http.request import Request
from threadline.http.routing import Route
from threadline.questions.parameters import Stitched
from threadline.questions.warned import AnswerWarning, Limited, cut_off
from threadline.runtime.asking_sql import SqlAnswer, SqlAsked
from threadline.runtime.memory import MIB
from threadline.runtime.params import read_params
from threadline.runtime.sql_refused import SqlLimit, SqlRefused
from threadline.runtime.sql_text import as_csv

MAX_ROWS = 100_000
Format = Literal["json", "csv", "arrow", "parquet"]


class AnswerForm(NamedTuple):
    """A form of the answer. `engine`: the engine's name of it, where that writes the file."""

    media_type: str
    engine: str = ""


KINDS: dict[Format, AnswerForm] = {
    "json": AnswerForm("application/json"),
    "csv": AnswerForm("text/csv; charset=utf-8"),
    "arrow": AnswerForm("application/vnd.apache.arrow.stream", "ArrowStream"),
    "parquet": AnswerForm("application/vnd.apache.parquet", "Parquet"),
}
BY_MEDIA_TYPE = {kind.media_type.partition(";")[0]: name for name, kind in KINDS.items()}


class SqlParams(Stitched, kw_only=True):
    """Beside the statement. `stitch`: by default the project's, or `next` where that is `any`."""

    limit: Annotated[
        int, msgspec.Meta(ge=1, le=MAX_ROWS, description="Rows in one answer, at most.")
    ] = 10_000
    format: (
        Annotated[
            Format, msgspec.Meta(description="Of the answer. Default: as `Accept` says, else json.")
        ]
        | None
    ) = None


Value = str | int | float | bool | None


class Sql(msgspec.Struct, kw_only=True):
    """One SELECT, in ClickHouse's SQL, and the values of its `{name:Type}`."""

    query: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=100_000,
            description="Over the tables stitched_events, events, visits and persons.",
        ),
    ]
    params: Annotated[
        dict[str, Value | list[Value]],
        msgspec.Meta(description="Values of `{name:Type}` in the query, by name."),
    ] = {}


class SqlColumn(msgspec.Struct):
    """A column of the answer. `type`: ClickHouse's."""

    name: str
    type: str


Row = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "object"})]


class SqlRows(Limited, kw_only=True):
    """The rows of the SELECT, in its order; the other forms have the same. The header
    `Threadline-Truncated` says, too, that `limit` left some out."""

    columns: list[SqlColumn]
    rows: list[Row]
    stitch: str


async def ask(request: Request) -> Answer:
    """Counted by how it ends."""
    counted = request.services.metrics.sql.labels
    try:
        answered = await _ask(request)
    except SqlLimit as error:
        counted("limited").inc()
        raise Unavailable(str(error)) from error
    except SqlRefused as error:
        counted("refused").inc()
        raise InvalidPayload(str(error), fieldErrors={"query": [str(error)]}) from error
    except (InvalidPayload, InvalidParams):
        counted("refused").inc()
        raise
    except Busy:
        counted("busy").inc()
        raise
    counted("answered").inc()
    return answered


async def _ask(request: Request) -> Answer:
    params = read_params(request.query, SqlParams)
    notices: list[Notice] = []
    body = decode(await request.body(MIB), Sql, now_ms(), notices)
    name = params.format or _accepted(request.header("accept"))
    kind = KINDS[name]
    asked = SqlAsked(body.query, body.params, params.limit, kind.engine)
    found = await request.services.asking_sql.ask(request.project, params, asked)
    warnings = [AnswerWarning(each.code, None, each.message) for each in notices]
    if found.truncated:
        warnings.append(cut_off(params.limit, MAX_ROWS))
    size = len(found.file) + sum(map(len, found.rows.lines))
    rendered = await request.services.beside(size, lambda: RENDERED[name](found, warnings))
    given = answer_body(rendered, kind.media_type, _headers(found, name, warnings))
    if not found.fresh:
        given.headers.append(STALE)
    return given


def _accepted(accept: str) -> Format:
    """The first form that is named there."""
    for part in accept.split(","):
        media_type = part.partition(";")[0].strip().lower()
        if media_type in BY_MEDIA_TYPE:
            return BY_MEDIA_TYPE[media_type]
    return "json"


def _headers(found: SqlAnswer, name: Format, warnings: list[AnswerWarning]) -> dict[str, str]:
    """What a file has no place for."""
    headers = {"Threadline-Truncated": "true"} if found.truncated else {}
    if name != "json":
        headers["Content-Disposition"] = f'attachment; filename="answer.{name}"'
        if warnings:
            headers["Threadline-Warnings"] = json.dumps([each.message for each in warnings])
    return headers


def _json(found: SqlAnswer, warnings: list[AnswerWarning]) -> bytes:
    names = [msgspec.json.encode(name) for name in found.rows.names]
    lists = msgspec.json.Decoder(list[msgspec.Raw])
    return msgspec.json.encode(
        SqlRows(
            columns=list(map(SqlColumn, found.rows.names, found.rows.types)),
            rows=[_row(names, lists.decode(line)) for line in found.rows.lines],
            stitch=found.policy,
            truncated=found.truncated or msgspec.UNSET,
            warnings=warnings or msgspec.UNSET,
        )
    )


def _row(names: list[bytes], values: list[msgspec.Raw]) -> msgspec.Raw:
    """An object, with its values as the engine wrote them."""
    fields = (b"%b:%b" % field for field in zip(names, values, strict=True))
    return msgspec.Raw(b"{%b}" % b",".join(fields))


def _csv(found: SqlAnswer, warnings: list[AnswerWarning]) -> bytes:
    return as_csv(found.rows.names, found.rows.rows).encode()


def _file(found: SqlAnswer, warnings: list[AnswerWarning]) -> bytes:
    return found.file


RENDERED: dict[Format, Callable[[SqlAnswer, list[AnswerWarning]], bytes]] = {
    "json": _json,
    "csv": _csv,
    "arrow": _file,
    "parquet": _file,
}

ROUTES = [
    Route(
        "POST",
        "/v1/sql",
        ask,
        Doc(
            summary="Ask in SQL: one SELECT over the project's events, visits and persons",
            tag="SQL",
            keys=("rk",),
            scope="sql",
            params=SqlParams,
            body=Sql,
            answer=SqlRows,
            media_types=tuple(kind.media_type for kind in KINDS.values()),
        ),
    )
]
