"""`GET /v1/export`: all stored events that pass the filters, as a file."""

from typing import IO, Annotated, Literal, NamedTuple, cast

import msgspec

from threadline.contract.cells import escaped_sql
from threadline.identity.compose import fill, where
from threadline.questions.answers import EVENT_COLUMNS, event_columns
from threadline.questions.context import Context
from threadline.questions.events import Filters, filter_conditions, filter_values
from threadline.questions.streamed import EnginePipe
from threadline.questions.warned import unknown_events, unknown_sources

Format = Literal["ndjson", "csv", "parquet"]

ENGINE_FORMATS: dict[Format, str] = {
    "ndjson": "JSONEachRow",
    "csv": "CSVWithNames",
    "parquet": "Parquet",
}
MEDIA_TYPES: dict[Format, str] = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}


class ExportParams(Filters, kw_only=True):
    """Filters; those not given do not filter."""

    format: Annotated[
        Format,
        msgspec.Meta(
            description="Parquet keeps the types. In CSV an apostrophe stands before texts that a "
            "spreadsheet would run as a formula; `threadline import` takes it away again."
        ),
    ] = "ndjson"


class Export(NamedTuple):
    """`file`: open at its beginning, read once; to close it ends the question. `bots`: events of
    bots that pass the filters and were left out. `warnings`: sentences for whoever asked."""

    file: IO[bytes]
    events: int
    bots: int
    warnings: list[str]


# In the order in which they lie: visitor by visitor, each through time. Nothing has to be sorted,
# so memory does not grow with the answer.
SQL = """
SELECT $columns, e.received_at AS received_at
FROM events AS e
$where
ORDER BY e.project_id, e.visitor, e.timestamp"""

COUNTS = """
SELECT countIf(NOT e.is_bot OR {bots:Bool}) AS events, countIf(e.is_bot AND NOT {bots:Bool}) AS bots
FROM events AS e
$where"""

# Not text, or text that the server made.
PLAIN = frozenset(["timestamp", "is_bot", "properties"])


def ask(context: Context, params: ExportParams) -> Export:
    """The events as an open file; columns as in `/v1/query`, but `event` for the name as in what
    is sent, so that it can be imported again; and received_at.

    They come as they are read and lie nowhere in between: whoever reads slowly keeps the engine
    waiting. Raises what the store raises, as far as that is known before the first of them.
    """
    store, project_id = context.store, context.project_id
    values = filter_values(params, project_id)
    conditions = where(filter_conditions(params, values))
    sql = fill(SQL, {"columns": _columns(params), "where": conditions})
    everyone = msgspec.structs.replace(params, include_bots=True)
    counts = fill(COUNTS, {"where": where(filter_conditions(everyone, values))})
    with store.asking():
        (counted,) = store.query(counts, {**values, "bots": params.include_bots})
    file = EnginePipe(lambda path: store.save(sql, values, ENGINE_FORMATS[params.format], path))
    events, bots = int(counted["events"]), int(counted["bots"])
    return Export(cast(IO[bytes], file), events, bots, _warnings(context, params, events))


def _columns(params: ExportParams) -> str:
    if params.format != "csv":
        return event_columns(params.include_bots).replace("AS event_name", "AS event")
    names = [*EVENT_COLUMNS, "is_bot"] if params.include_bots else EVENT_COLUMNS
    return ", ".join(
        f"{f'e.{name}' if name in PLAIN else escaped_sql(f'e.{name}')}"
        f" AS {'event' if name == 'event_name' else name}"
        for name in names
    )


def _warnings(context: Context, params: ExportParams, events: int) -> list[str]:
    """Why there may be nothing."""
    if events:
        return []
    unknown = unknown_events(context, {"event": [params.event]})
    unknown += unknown_sources(context, {"source": params.source, "medium": params.medium})
    return [warning.message for warning in unknown]
