"""Questions that people write in SQL: checked, and asked on a handle that can only read."""

import json
import os
import re
from string import Template
from typing import Any

import clickhouse_connect

from threadline.control import ControlError
from threadline.identity.compose import bound
from threadline.identity.relations import decided_devices
from threadline.identity.resolution import Resolution
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

ADDED = ("term", "content", "classifier_version")
COLUMNS = ("owner", "known", *EVENT_COLUMNS, "is_bot", *ADDED)

# A server that takes events may be running in the same process.
MEMORY_BYTES = min(4 * 1024**3, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4)
DISK_BYTES = 16 * 1024**3
ANSWER_BYTES = 256 * 1024**2
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
            raise too_long(self._seconds) from error
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


def too_long(seconds: int) -> ControlError:
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
