"""`GET /v1/export`: all stored events that pass the filters, as a file."""

import os
from pathlib import Path
from tempfile import mkstemp
from typing import Annotated, BinaryIO, Literal

import msgspec

from threadline.questions.answers import event_columns
from threadline.questions.events import Filters, bound_filters, passing
from threadline.store import Store

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


class Params(Filters, kw_only=True):
    """Filters; those not given do not filter."""

    format: Annotated[Format, msgspec.Meta(description="Parquet keeps the types.")] = "ndjson"


# In the order in which they lie: visitor by visitor, each through time. Nothing has to be sorted,
# so memory does not grow with the answer.
SQL = """
    SELECT {columns}, e.received_at AS received_at
    FROM events AS e
    WHERE {where}
    ORDER BY e.project_id, e.visitor, e.timestamp"""


def ask(store: Store, project_id: str, params: Params, folder: Path) -> BinaryIO:
    """The events as an open file; columns as in `/v1/query`, but `event` for the name as in what
    is sent, so that it can be imported again; and received_at.

    It lies in `folder` without a name, and is gone when it is closed.
    """
    bound = bound_filters(params, project_id)
    columns = event_columns(params.include_bots).replace("AS event_name", "AS event")
    sql = SQL.format(columns=columns, where=passing(params, bound))
    handle, name = mkstemp(dir=folder, prefix="export-")
    os.close(handle)
    try:
        store.save(sql, bound, ENGINE_FORMATS[params.format], Path(name))
        return open(name, "rb")
    finally:
        os.unlink(name)
