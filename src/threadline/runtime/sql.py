"""Questions that people write in SQL: checked, and asked on a handle that can only read.

The first check is `questions/statement`: what the statement names. The second is the engine's own:
whatever a query says, it sees one project's rows only, and can change neither data nor settings.
"""

import json
import os
from collections.abc import Mapping
from string import Template
from typing import Any, NamedTuple, Protocol

import clickhouse_connect

from threadline.contract.policies import PARTITIONS
from threadline.identity.compose import BOUND, bound
from threadline.identity.relations import decided_devices
from threadline.identity.resolution import Resolution
from threadline.questions.context import VISIT_TIMEOUT_MS
from threadline.questions.sql_tables import PARTITIONED, table
from threadline.questions.statement import (
    EVENTS,
    OURS,
    TABLES,
    CheckedStatement,
    NotAllowed,
    read_statement,
)
from threadline.runtime.sql_refused import Explained
from threadline.store import Params, Row
from threadline.store.errors import store_errors

READS: dict[str, object] = {
    "timeout_overflow_mode": "throw",
    "timeout_before_checking_execution_speed": 0,
    "result_overflow_mode": "throw",
    "allow_introspection_functions": 0,
    # Rows of other projects are filtered out before anything else looks at them. Conditions that
    # are merged, or moved to where rows are read, would be asked of those, too: what they calculate
    # may fail, and the error would tell what it failed on.
    "query_plan_merge_filters": 0,
    "optimize_move_to_prewhere": 0,
    "date_time_output_format": "iso",
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_escape_forward_slashes": 0,
    "output_format_json_validate_utf8": 1,
    "output_format_arrow_string_as_string": 1,
    "output_format_arrow_compression_method": "none",
    "output_format_parquet_string_as_string": 1,
}
LINES = "JSONCompactEachRowWithNamesAndTypes"

# A subquery, so that the number of rows is ours to say.
SELECT = Template("""$definitions
SELECT * FROM (
$asked
) LIMIT $rows""")
# Of its answer only rows are wanted.
COUNT = Template("""$definitions
SELECT count() AS found FROM (
SELECT * FROM (
$asked
) LIMIT $rows
)""")
DESCRIBED = Template("""
DESCRIBE TABLE (
$definitions
SELECT * FROM $table
)""")

TABLES_OF = """
    SELECT table, countIf(name = 'project_id') > 0 AS of_projects
    FROM system.columns WHERE database = currentDatabase() GROUP BY table"""
DATABASES = "SELECT name FROM system.databases"
FUNCTIONS = "SELECT DISTINCT lower(name) AS name FROM system.functions"
# No value of the user's has such a name.
OURS_BOUND = rf"{{{OURS}\1:"


class ReadOnly(Protocol):
    """What is asked of a store, wherever that is open."""

    def query(self, sql: str, params: Params) -> list[Row]: ...

    def query_read_only(
        self, sql: str, params: Params, format: str, settings: Mapping[str, object]
    ) -> bytes: ...


class Limits(NamedTuple):
    """What one statement may take: time, memory, disk beyond that, the answer, and threads (0:
    all)."""

    seconds: int
    memory_bytes: int
    disk_bytes: int
    answer_bytes: int
    threads: int = 0


def machine_bytes() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class Number(str):
    """A number as the engine wrote it."""

    __slots__ = ()


class FoundRows(NamedTuple):
    """Columns by name and type, and rows: of each a JSON list, as the engine wrote it."""

    names: list[str]
    types: list[str]
    lines: list[bytes]

    @property
    def rows(self) -> list[list[Any]]:
        """With numbers as the engine wrote them."""
        return [
            json.loads(line.decode(errors="replace"), parse_int=Number, parse_float=Number)
            for line in self.lines
        ]


NOTHING: Mapping[str, object] = {}


class SqlQuestions:
    """Questions in SQL about one project, each on a handle that can only read."""

    def __init__(
        self,
        store: ReadOnly,
        on: Resolution,
        limits: Limits,
        in_memory: bool,
        timeout_ms: int = VISIT_TIMEOUT_MS,
    ) -> None:
        """`in_memory`: statements are parsed by an engine of our own. `timeout_ms`: visits end
        where nothing happens for longer."""
        self._store = store
        self._on = on
        self._limits = limits
        self._in_memory = in_memory
        self._timeout_ms = timeout_ms
        values = {**on.params, "visit_timeout_ms": timeout_ms}
        if on.decided:
            values |= decided_devices(store, on)
        self._values = {OURS + name: value for name, value in values.items()}
        self._tables = {
            str(row["table"]): bool(row["of_projects"]) for row in store.query(TABLES_OF, {})
        }

    def answer(self, text: str, rows: int, params: Mapping[str, object] = NOTHING) -> FoundRows:
        """At most one row more than asked for. Raises `SqlRefused`, `StoreAway`."""
        with Explained(text, self._limits.seconds):
            read = self._read(text, params)
            if read.show_tables:
                return FoundRows(["name"], ["String"], [json.dumps([t]).encode() for t in TABLES])
            if read.described:
                query = DESCRIBED.substitute(
                    definitions=self._definitions(read), table=read.described
                )
                _, _, *described = self._lines(query, {})
                columns = [json.dumps(json.loads(line)[:2]).encode() for line in described]
                return FoundRows(["name", "type"], ["String", "String"], columns)
            names, types, *lines = self._lines(self._filled(SELECT, read, rows + 1), params)
            return FoundRows(json.loads(names), json.loads(types), lines)

    def file(
        self, text: str, rows: int, format: str, params: Mapping[str, object] = NOTHING
    ) -> tuple[bytes, bool]:
        """The answer in one of the engine's formats, at most so many rows, and whether there were
        more. Raises as `answer`."""
        with Explained(text, self._limits.seconds):
            read = self._read(text, params)
            if not read.sql:
                raise NotAllowed("What tables and columns there are is answered as JSON or CSV.")
            answer = self.asked(self._filled(SELECT, read, rows), format, params)
            # Afterwards: what has come in between can only make it more.
            counted = self._lines(self._filled(COUNT, read, rows + 1), params)[-1]
            return answer, int(json.loads(counted)[0]) > rows

    def asked(self, query: str, format: str, params: Mapping[str, object] = NOTHING) -> bytes:
        """The answer to a statement that was checked. Raises `StoreError`."""
        reads = {
            **READS,
            "max_execution_time": self._limits.seconds,
            "max_memory_usage": self._limits.memory_bytes,
            "max_temporary_data_on_disk_size_for_query": self._limits.disk_bytes,
            "max_result_bytes": self._limits.answer_bytes,
            "additional_table_filters": self._filters(),
        }
        if self._limits.threads:
            reads["max_threads"] = self._limits.threads
        values = bound(query, {**params, **self._values})
        return self._store.query_read_only(query, values, format, reads)

    def _lines(self, query: str, params: Mapping[str, object]) -> list[bytes]:
        return self.asked(query, LINES, params).removesuffix(b"\n").split(b"\n")

    def _read(self, text: str, params: Mapping[str, object]) -> CheckedStatement:
        databases, functions = (
            frozenset(str(row["name"]) for row in self._store.query(listed, {}))
            for listed in (DATABASES, FUNCTIONS)
        )
        read = read_statement(
            text, self._parse, frozenset(self._tables), databases, functions, params
        )
        if self._on.policy not in PARTITIONS and (people := read.composed & PARTITIONED):
            raise NotAllowed(
                f"Under stitch={self._on.policy} an event is several people's, so there are no "
                f"{' and '.join(sorted(people))}; choose one of {', '.join(PARTITIONS)}."
            )
        return read

    def _filled(self, template: Template, read: CheckedStatement, rows: int) -> str:
        return template.substitute(definitions=self._definitions(read), asked=read.sql, rows=rows)

    def _definitions(self, read: CheckedStatement) -> str:
        """WITH of the tables that it reads, on names of values that are only ours."""
        texts = {name: table(name, self._on, self._timeout_ms) for name in sorted(read.composed)}
        parts = [f"{name} AS (\n{BOUND.sub(OURS_BOUND, text)}\n)" for name, text in texts.items()]
        return f"WITH {', '.join(parts)}" if parts else ""

    def _filters(self) -> str:
        """Whatever a query names, the engine shows it this project's rows only."""
        own = f"project_id = {_text(str(self._on.params['project_id']))}"
        conditions = {
            name: own if of_projects else "0" for name, of_projects in self._tables.items()
        }
        if not self._on.bots:
            conditions[EVENTS] += " AND NOT is_bot"
        if self._on.as_of:
            then = f"toDateTime64({_text(str(self._on.params['as_of']))}, 3, 'UTC')"
            conditions[EVENTS] += f" AND received_at <= {then}"
        return "{" + ", ".join(f"{_text(n)}: {_text(c)}" for n, c in conditions.items()) + "}"

    def _parse(self, function: str, text: str) -> str:
        query, values = f"SELECT {function}({{text:String}})", {"text": text}
        if not self._in_memory:
            limits = {"max_execution_time": self._limits.seconds}
            answer = self._store.query_read_only(query, values, "TSVRaw", {**READS, **limits})
            return answer.decode(errors="replace").rstrip("\n")
        with store_errors():
            client = clickhouse_connect.get_client(interface="chdb")
            try:
                return bytes(client.raw_query(query, parameters=values, fmt="TSVRaw")).decode()
            finally:
                client.close()


def _text(value: str) -> str:
    escapes = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escapes}'"
