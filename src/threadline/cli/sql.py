"""`threadline sql`: questions nobody has thought of yet, over the stitched events."""

import csv
import io
import json
import os
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Annotated, Any, cast

import clickhouse_connect
import typer

from threadline.cli import folders
from threadline.cli.keys import chosen_project
from threadline.cli.opening import open_store
from threadline.cli.options import Data, ProjectName
from threadline.cli.projects import POLICIES
from threadline.cli.shown_sql import shown
from threadline.cli.table import as_table, terminal_width
from threadline.contract.cells import escaped
from threadline.control import Control, ControlError
from threadline.identity.compose import bound
from threadline.identity.relations import decided_devices
from threadline.identity.resolution import Policy, Resolution, resolve
from threadline.identity.stitch import stitched_events
from threadline.questions.answers import EVENT_COLUMNS, event_columns
from threadline.questions.statement import (
    EVENTS,
    STITCHED,
    TABLES,
    NotAllowed,
    Statement,
    place_of,
    read_statement,
)
from threadline.runtime.admin_socket import SocketStore
from threadline.store import QueryTimeout, Store, StoreError
from threadline.store.errors import store_errors

FORMATS = ("table", "csv", "json", "ndjson")
ADDED = ("term", "content", "classifier_version")
COLUMNS = ("owner", "known", *EVENT_COLUMNS, "is_bot", *ADDED)

# A server that takes events may be running in the same process.
MEMORY_BYTES = min(4 * 1024**3, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4)
DISK_BYTES = 16 * 1024**3
ANSWER_BYTES = 256 * 1024**2
# The engine looks at the clock between blocks of rows only.
GRACE_S = 5

READS: dict[str, object] = {
    "timeout_overflow_mode": "throw",
    "timeout_before_checking_execution_speed": 0,
    "max_memory_usage": MEMORY_BYTES,
    "max_result_bytes": ANSWER_BYTES,
    "result_overflow_mode": "throw",
    "max_temporary_data_on_disk_size_for_query": DISK_BYTES,
    "allow_introspection_functions": 0,
    "date_time_output_format": "iso",
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_escape_forward_slashes": 0,
}

# A subquery, so that the number of rows is ours to say.
SELECT = Template("""
WITH stitched_events AS (
$events
)
SELECT * FROM (
$asked
) LIMIT $rows""")

DESCRIBED = Template("""
DESCRIBE TABLE (
WITH stitched_events AS (
$events
)
SELECT * FROM $table
)""")

TABLES_OF = """
    SELECT table, countIf(name = 'project_id') > 0 AS of_projects
    FROM system.columns WHERE database = currentDatabase() GROUP BY table"""


class Number(str):
    """A number as the engine wrote it."""

    __slots__ = ()


def sql(
    query: Annotated[
        str, typer.Argument(metavar="[SELECT]", help="ClickHouse's SQL; only SELECT.")
    ] = "",
    show: Annotated[
        str,
        typer.Option(
            metavar="QUESTION",
            help="Instead, print what a question of the API asks: '/v1/funnel?steps=a,b'.",
        ),
    ] = "",
    stitch: Annotated[str, typer.Option(help="any, first or next.")] = "next",
    project: ProjectName = None,
    format: Annotated[str, typer.Option(help="table, csv, json or ndjson.")] = "table",
    rows: Annotated[int, typer.Option(min=1, help="At most so many rows.")] = 1000,
    seconds: Annotated[int, typer.Option(min=1, help="Stop after so long.")] = 60,
    include_bots: Annotated[bool, typer.Option(help="With crawlers and other programs.")] = False,
    data: Data = None,
) -> None:
    """Ask with SQL. `stitched_events` holds the project's events with whose they are.

    Its columns are those of `GET /v1/query`; `owner`: a user id where `known`, else the id of a
    visitor; `term`, `content`, `classifier_version` and `is_bot`. `events` holds them as they are
    stored. One SELECT, or DESCRIBE stitched_events; nothing is changed, nothing else can be read.
    Times are UTC. Works whether the server runs or not. With --show it prints the statements of a
    question, with their values, for clickhouse-client.

    Example: `threadline sql "SELECT source, uniq(owner) FROM stitched_events GROUP BY source"`
    """
    if stitch not in POLICIES:
        raise ControlError(f"--stitch {stitch}: choose one of {', '.join(POLICIES)}.")
    if format not in FORMATS:
        raise ControlError(f"--format {format}: choose one of {', '.join(FORMATS)}.")
    if bool(query) == bool(show):
        raise ControlError("Give one SELECT, or a question with --show.")
    chosen = folders.load(data)
    with Control(Path(chosen.data)) as control:
        found_project = chosen_project(control, project)
    with open_store(chosen) as store:
        if show:
            typer.echo(shown(store, found_project, show, Path(chosen.data)))
            return
        project_id = found_project.project_id
        on = resolve(store, project_id, cast(Policy, stitch), bots=include_bots)
        asking = SqlQuestions(store, on, seconds, in_memory=not chosen.store.startswith("chdb"))
        names, found = within(seconds + GRACE_S, lambda: asking.answer(query, rows), seconds)
    _print(names, found[:rows], format)
    if len(found) > rows:
        typer.echo(f"Only the first {rows:,} rows are shown; --rows gives more.", err=True)


class SqlQuestions:
    """Questions in SQL about one project, each on a handle that can only read."""

    def __init__(
        self, store: Store | SocketStore, on: Resolution, seconds: int, in_memory: bool
    ) -> None:
        """`in_memory`: statements are parsed by an engine of our own."""
        self._store = store
        self._on = on
        self._values = dict(on.params)
        if on.decided:
            self._values |= decided_devices(store, on)
        self._seconds = seconds
        self._in_memory = in_memory
        self._tables = {
            str(row["table"]): bool(row["of_projects"]) for row in store.query(TABLES_OF, {})
        }

    def answer(self, text: str, rows: int) -> tuple[list[str], list[list[Any]]]:
        """The names of the columns, and at most one row more than asked for."""
        try:
            listed = self._store.query("SELECT name FROM system.databases", {})
            databases = frozenset(str(row["name"]) for row in listed)
            read = read_statement(text, self._parse, frozenset(self._tables), databases)
            return self._ask(read, rows)
        except NotAllowed as error:
            raise ControlError(f"{error} {_columns()}") from error
        except QueryTimeout as error:
            raise _too_long(self._seconds) from error
        except StoreError as error:
            raise ControlError(_explained(str(error), text)) from error

    def _ask(self, read: Statement, rows: int) -> tuple[list[str], list[list[Any]]]:
        if read.show_tables:
            return ["name"], [[name] for name in TABLES]
        more = ", ".join(f"e.{name} AS {name}" for name in ADDED)
        events = stitched_events(self._on, f"{event_columns(bots=True)}, {more}")
        if read.described:
            query = DESCRIBED.substitute(events=events, table=read.described)
            names, found = self.rows(query)
            return names[:2], [row[:2] for row in found]
        return self.rows(SELECT.substitute(events=events, asked=read.sql, rows=rows + 1))

    def rows(self, query: str) -> tuple[list[str], list[list[Any]]]:
        """Of a statement that was checked. Raises `StoreError`."""
        reads = {
            **READS,
            "max_execution_time": self._seconds,
            "additional_table_filters": self._filters(),
        }
        form = "JSONCompactEachRowWithNames"
        answer = self._store.query_read_only(query, bound(query, self._values), form, reads)
        lines = [
            json.loads(line, parse_int=Number, parse_float=Number)
            for line in answer.decode(errors="replace").removesuffix("\n").split("\n")
        ]
        return lines[0], lines[1:]

    def _filters(self) -> str:
        """Whatever a query names, the engine shows it this project's rows only."""
        project_id = str(self._on.params["project_id"]).replace("\\", "\\\\").replace("'", "\\'")
        own = f"project_id = '{project_id}'"
        conditions = {
            name: own if of_projects else "0" for name, of_projects in self._tables.items()
        }
        if not self._on.bots:
            conditions[EVENTS] = f"{own} AND NOT is_bot"
        return "{" + ", ".join(f"{_text(n)}: {_text(c)}" for n, c in conditions.items()) + "}"

    def _parse(self, function: str, text: str) -> str:
        query, values = f"SELECT {function}({{text:String}})", {"text": text}
        if not self._in_memory:
            answer = self._store.query_read_only(query, values, "TSVRaw", READS)
            return answer.decode().rstrip("\n")
        with store_errors():
            client = clickhouse_connect.get_client(interface="chdb")
            try:
                return bytes(client.raw_query(query, parameters=values, fmt="TSVRaw")).decode()
            finally:
                client.close()


def _text(value: str) -> str:
    escapes = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escapes}'"


def within(wait_s: int, ask: Callable[[], Any], allowed_s: int) -> Any:
    """What `ask` answers within `wait_s`. Where the engine does not hear of the time it was
    allowed, as in one long calculation, the command ends all the same."""
    answers: list[Any] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            answers.append(ask())
        except Exception as error:  # noqa: BLE001 - it is raised below
            errors.append(error)

    thread = threading.Thread(target=run, name="threadline-sql", daemon=True)
    thread.start()
    # The engine would be waited for at the end of the process, so what it does not stop ends hard.
    try:
        thread.join(wait_s)
    except KeyboardInterrupt:
        os._exit(130)
    if thread.is_alive():
        print(f"threadline: {_too_long(allowed_s)}", file=sys.stderr, flush=True)
        os._exit(1)
    if errors:
        raise errors[0]
    return answers[0]


def _too_long(seconds: int) -> ControlError:
    return ControlError(
        f"The query took longer than {seconds} s; ask for less, or give it more with --seconds."
    )


def _columns() -> str:
    return f"Columns of {STITCHED}: {', '.join(COLUMNS)}."


def _explained(message: str, text: str) -> str:
    """The engine's message without what is not the user's: the query around theirs."""
    if "Multi-statements" in message:
        return f"Only one SELECT is answered at a time, and this is several. {_columns()}"
    if "parseQueryToJSON" in message and "Syntax error" not in message:
        return f"Only SELECT is answered. {_columns()}"
    if "Syntax error" in message:
        place = place_of(message, text)
        if place:
            line, column, near = place
            near = f"near {near!r}" if near else "at its end"
            return (
                f"Syntax error in line {line}, column {column}, {near}. "
                f"Only SELECT is answered, in ClickHouse's SQL. {_columns()}"
            )
    said = re.sub(r"^.*?DB::Exception: ", "", " ".join(message.split()))
    said = re.split(r":? In scope | \(version |: While processing |: while executing ", said)[0]
    hint = _columns() if "UNKNOWN_IDENTIFIER" in message or "MISSING_COLUMNS" in message else ""
    return f"{said.rstrip('. ')}. {hint}".rstrip()


def _print(names: list[str], rows: list[list[Any]], format: str) -> None:
    if format == "table":
        text, left_out = as_table(names, [list(map(_plain, row)) for row in rows], terminal_width())
        typer.echo(text)
        if left_out:
            typer.echo(f"No room for {', '.join(left_out)}; --format json shows all.", err=True)
    elif format == "csv":
        table = io.StringIO(newline="")
        writer = csv.writer(table, lineterminator="\n")
        writer.writerows([names, *([_cell(value) for value in row] for row in rows)])
        typer.echo(table.getvalue(), nl=False)
    else:
        lines = [_json(dict(zip(names, row, strict=True))) for row in rows]
        text = "[" + ",\n".join(lines) + "]" if format == "json" else "\n".join(lines)
        if text:
            typer.echo(text)


def _json(value: Any) -> str:
    """JSON, with numbers as the engine wrote them."""
    if isinstance(value, Number):
        return value
    if isinstance(value, list):
        return "[" + ",".join(map(_json, value)) + "]"
    if isinstance(value, dict):
        return (
            "{"
            + ",".join(f"{json.dumps(n, ensure_ascii=False)}:{_json(v)}" for n, v in value.items())
            + "}"
        )
    return json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, str) else _json(value)


def _cell(value: Any) -> str:
    text = _plain(value)
    return text if isinstance(value, Number) else escaped(text)
