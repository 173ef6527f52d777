"""`threadline sql`: questions nobody has thought of yet, over the stitched events."""

import os
import sys
import threading
from collections.abc import Callable
from typing import Annotated, Any, cast

import typer

from threadline.cli import folders
from threadline.cli.keys import chosen_project
from threadline.cli.opening import open_store
from threadline.cli.options import Data, ProjectName, check_stitch, check_text
from threadline.cli.shown_sql import shown
from threadline.cli.table import as_table, terminal_width
from threadline.contract.policies import POLICIES, Policy
from threadline.contract.times import Timestamp
from threadline.control import Control, ControlError
from threadline.identity.resolution import resolve
from threadline.runtime.sql import FoundRows, Limits, SqlQuestions, machine_bytes
from threadline.runtime.sql_refused import SqlRefused, too_long
from threadline.runtime.sql_text import as_csv, as_json, plain

FORMATS = ("table", "csv", "json", "ndjson")
# The engine looks at the clock between blocks of rows only.
GRACE_S = 5
# A server that takes events may be running in the same process.
MEMORY_BYTES = min(4 * 1024**3, machine_bytes() // 4)
DISK_BYTES = 16 * 1024**3
ANSWER_BYTES = 256 * 1024**2


def sql(
    query: Annotated[
        str, typer.Argument(metavar="[SELECT]", help="ClickHouse's SQL; only SELECT.")
    ] = "",
    show: Annotated[
        str,
        typer.Option(
            metavar="QUESTION",
            help="Instead, print the SQL of a question of the API: '/v1/funnel?steps=a,b'.",
        ),
    ] = "",
    stitch: Annotated[str, typer.Option(help=f"{', '.join(POLICIES)}.")] = "next",
    project: ProjectName = None,
    format: Annotated[str, typer.Option(help="table, csv, json or ndjson.")] = "table",
    rows: Annotated[int, typer.Option(min=1, help="Return at most this many rows.")] = 1000,
    seconds: Annotated[int, typer.Option(min=1, help="Stop after this many seconds.")] = 60,
    include_bots: Annotated[
        bool, typer.Option(help="Include events of crawlers and other programs.")
    ] = False,
    as_of: Annotated[
        str, typer.Option(metavar="TIME", help="Answer with what was known at this time: ISO 8601.")
    ] = "",
    param: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="A value that the query binds (docs/sql.md); may be repeated.",
        ),
    ] = None,
    data: Data = None,
) -> None:
    """Query events with SQL. `stitched_events` holds the project's events, each with its owner.

    Its columns are those of `GET /v1/query`; `owner`: a user id where `known`, else the id of a
    visitor; `term`, `content`, `classifier_version` and `is_bot`. `events` holds them as they are
    stored, `visits` and `persons` a row for each of these (docs/sql.md). One SELECT, or
    DESCRIBE stitched_events; nothing is changed, nothing else can be read. Times are UTC. Works
    whether the server runs or not. With --show it prints the statements of a question, with their
    values, for clickhouse-client.

    Example: `threadline sql "SELECT source, uniq(owner) FROM stitched_events GROUP BY source"`
    """
    check_stitch(stitch)
    if format not in FORMATS:
        raise ControlError(f"--format {format}: choose one of {', '.join(FORMATS)}.")
    if bool(query) == bool(show):
        raise ControlError("Give one SELECT, or a question with --show.")
    chosen = folders.load(data)
    with Control.of(chosen) as control:
        found_project = chosen_project(control, project)
        definitions = control.definitions(found_project.project_id)
    with open_store(chosen) as store:
        if show:
            typer.echo(shown(store, found_project, show, definitions))
            return
        project_id, policy = found_project.project_id, cast(Policy, stitch)
        on = resolve(store, project_id, policy, as_of_ms=_read_as_of(as_of), bots=include_bots)
        asking = SqlQuestions(
            store,
            on,
            Limits(seconds, MEMORY_BYTES, DISK_BYTES, ANSWER_BYTES),
            in_memory=not chosen.store.startswith("chdb"),
            timeout_ms=found_project.visit_timeout_minutes * 60_000,
        )
        params = _read_params(param or [])
        try:
            found: FoundRows = within(
                seconds + GRACE_S, lambda: asking.answer(query, rows, params), seconds
            )
        except SqlRefused as error:
            raise ControlError(str(error)) from error
    _print(found.names, found.rows[:rows], format)
    if len(found.lines) > rows:
        typer.echo(f"Only the first {rows:,} rows are shown; --rows gives more.", err=True)


def _read_as_of(text: str) -> int | None:
    if not text:
        return None
    try:
        return Timestamp.parse(text).ms
    except ValueError as error:
        raise ControlError(f"--as-of {text}: {error}.") from None


def _read_params(given: list[str]) -> dict[str, object]:
    params: dict[str, object] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise ControlError(
                f"--param {text}: write a name and its value, such as day=2026-05-01."
            )
        check_text("--param", value)
        params[name] = value
    return params


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
        print(f"threadline: {too_long(allowed_s)}", file=sys.stderr, flush=True)
        os._exit(1)
    if errors:
        raise errors[0]
    return answers[0]


def _print(names: list[str], rows: list[list[Any]], format: str) -> None:
    if format == "table":
        text, left_out = as_table(names, [list(map(plain, row)) for row in rows], terminal_width())
        typer.echo(text)
        if left_out:
            typer.echo(f"No room for {', '.join(left_out)}; --format json shows all.", err=True)
    elif format == "csv":
        typer.echo(as_csv(names, rows), nl=False)
    else:
        lines = [as_json(dict(zip(names, row, strict=True))) for row in rows]
        text = "[" + ",\n".join(lines) + "]" if format == "json" else "\n".join(lines)
        if text:
            typer.echo(text)
