"""`threadline sql`: questions nobody has thought of yet, over the stitched events."""

import sys
from pathlib import Path
from typing import Annotated, cast

import typer

from threadline.cli import folders
from threadline.cli.doctor import open_store
from threadline.cli.keys import chosen_project
from threadline.cli.options import Data, ProjectName
from threadline.cli.projects import POLICIES
from threadline.control import Control, ControlError
from threadline.identity.ground import Policy, ground
from threadline.identity.stitch import stitched_events
from threadline.questions.answers import event_columns

FORMATS = {
    "table": "PrettyCompactMonoBlock",
    "csv": "CSVWithNames",
    "ndjson": "JSONEachRow",
}

MORE = "e.term AS term, e.content AS content, e.classifier_version AS classifier_version"

# As a subquery it can only be a SELECT.
SQL = """
WITH stitched_events AS ({events})
SELECT * FROM (
{asked}
) LIMIT {rows}
SETTINGS max_execution_time = {seconds}, date_time_output_format = 'iso'"""


def sql(
    query: Annotated[str, typer.Argument(metavar="SELECT", help="ClickHouse's SQL; only SELECT.")],
    stitch: Annotated[str, typer.Option(help="any, first or next.")] = "next",
    project: ProjectName = None,
    format: Annotated[str, typer.Option(help="table, csv or ndjson.")] = "table",
    rows: Annotated[int, typer.Option(min=1, help="At most so many rows.")] = 1000,
    seconds: Annotated[int, typer.Option(min=1, help="Stop after so long.")] = 60,
    include_bots: Annotated[bool, typer.Option(help="With crawlers and other programs.")] = False,
    data: Data = None,
) -> None:
    """Ask with SQL. `stitched_events` holds the project's events with whose they are.

    Its columns are those of `GET /v1/query`; `owner`: a user id where `known`, else the id of a
    visitor; `term`, `content`, `classifier_version` and `is_bot`. Read only. Works whether the
    server runs or not.

    Example: `threadline sql "SELECT source, uniq(owner) FROM stitched_events GROUP BY source"`
    """
    if stitch not in POLICIES:
        raise ControlError(f"--stitch {stitch}: choose one of {', '.join(POLICIES)}.")
    if format not in FORMATS:
        raise ControlError(f"--format {format}: choose one of {', '.join(FORMATS)}.")
    chosen = folders.load(data)
    with Control(Path(chosen.data)) as control:
        project_id = chosen_project(control, project).project_id
    with open_store(chosen) as store:
        on = ground(store, project_id, cast(Policy, stitch), bots=include_bots)
        asked = SQL.format(
            events=stitched_events(on, f"{event_columns(bots=True)}, {MORE}"),
            asked=query.strip().rstrip(";"),
            rows=rows,
            seconds=seconds,
        )
        sys.stdout.buffer.write(store.query_bytes(asked, on.bound, FORMATS[format]))
