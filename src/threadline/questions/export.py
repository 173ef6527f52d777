"""`GET /v1/export`: all stored events that pass the filters, as a file."""

import difflib
import os
import shutil
import threading
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Annotated, Literal, NamedTuple

import msgspec

from threadline.contract.cells import escaped_sql
from threadline.contract.errors import Unavailable
from threadline.identity.compose import fill, where
from threadline.questions.answers import EVENT_COLUMNS, event_columns
from threadline.questions.context import Context
from threadline.questions.events import Filters, filter_conditions, filter_values
from threadline.store import Store, StoreError, free_bytes

Format = Literal["ndjson", "csv", "parquet"]

ENGINE_FORMATS: dict[Format, str] = {
    "ndjson": "JSONEachRow",
    "csv": "CSVWithNames",
    "parquet": "Parquet",
}
MEDIA_TYPES: dict[Format, str] = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}

# Events have to find room on the same disk, so an export leaves some: that much, on a small disk a
# part of it.
RESERVE_BYTES = 1024**3
RESERVE_SHARE = 0.05
CHUNK_BYTES = 1024**2
LOOK_EVERY_BYTES = 16 * CHUNK_BYTES


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
    """`file`: open at its beginning, and gone when it is closed. `bots`: events of bots that pass
    the filters and were left out. `warnings`: sentences for whoever asked."""

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

NAMES = """
SELECT DISTINCT toString(event_name) AS name FROM events
WHERE project_id = {project_id:String}
LIMIT 10000"""

# Not text, or text that the server made.
PLAIN = frozenset(["timestamp", "is_bot", "properties"])


def ask(context: Context, params: ExportParams) -> Export:
    """The events as an open file; columns as in `/v1/query`, but `event` for the name as in what
    is sent, so that it can be imported again; and received_at.

    It lies in the context's folder without a name, whatever becomes of this process. Raises
    `Unavailable` if
    the disk has no room for it.
    """
    store, project_id, folder = context.store, context.project_id, context.folder
    values = filter_values(params, project_id)
    conditions = where(filter_conditions(params, values))
    sql = fill(SQL, {"columns": _columns(params), "where": conditions})
    everyone = msgspec.structs.replace(params, include_bots=True)
    counts = fill(COUNTS, {"where": where(filter_conditions(everyone, values))})
    (counted,) = store.query(counts, {**values, "bots": params.include_bots})
    reserve = min(RESERVE_BYTES, int(shutil.disk_usage(folder).total * RESERVE_SHARE))
    file: IO[bytes] = TemporaryFile(dir=folder, prefix="export-")  # noqa: SIM115 - closed by the caller
    try:
        _write(store, sql, values, ENGINE_FORMATS[params.format], file, folder, reserve)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    events, bots = int(counted["events"]), int(counted["bots"])
    return Export(file, events, bots, _warnings(store, project_id, params, events))


def _columns(params: ExportParams) -> str:
    if params.format != "csv":
        return event_columns(params.include_bots).replace("AS event_name", "AS event")
    names = [*EVENT_COLUMNS, "is_bot"] if params.include_bots else EVENT_COLUMNS
    return ", ".join(
        f"{f'e.{name}' if name in PLAIN else escaped_sql(f'e.{name}')}"
        f" AS {'event' if name == 'event_name' else name}"
        for name in names
    )


def _write(
    store: Store,
    sql: str,
    values: dict[str, object],
    format: str,
    file: IO[bytes],
    folder: Path,
    reserve: int,
) -> None:
    """By way of a pipe, so that somebody looks at the disk while the engine writes."""
    _check_room(folder, reserve)
    reading, writing = os.pipe()
    failed: list[Exception] = []

    def copy() -> None:
        with os.fdopen(reading, "rb", buffering=0) as source:
            try:
                _copy(source, file, folder, reserve)
            except Exception as error:  # noqa: BLE001 - it is raised below
                failed.append(error)  # the engine finds the pipe closed, and stops

    copier = threading.Thread(target=copy, name="threadline-export")
    copier.start()
    try:
        store.save(sql, values, format, Path(f"/dev/fd/{writing}"))
    except (StoreError, OSError):
        if not failed:
            raise
    finally:
        os.close(writing)
        copier.join()
    if failed:
        raise failed[0]


def _copy(source: IO[bytes], file: IO[bytes], folder: Path, reserve: int) -> None:
    since = 0
    while chunk := source.read(CHUNK_BYTES):
        file.write(chunk)
        since += len(chunk)
        if since >= LOOK_EVERY_BYTES:
            since = 0
            _check_room(folder, reserve)
    file.flush()


def _check_room(folder: Path, reserve: int) -> None:
    if free_bytes(folder) < reserve:
        raise Unavailable(
            "The disk has no room for this export: new events need what is left. Free some space, "
            "or export less at a time with from and to."
        )


def _warnings(store: Store, project_id: str, params: ExportParams, events: int) -> list[str]:
    if events or params.event is None:
        return []
    names = [str(row["name"]) for row in store.query(NAMES, {"project_id": project_id})]
    if params.event in names:
        return []
    close = difflib.get_close_matches(params.event, names, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return [f"This project has no event of the name {params.event}.{hint}"]
