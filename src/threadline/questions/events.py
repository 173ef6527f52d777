"""`GET /v1/query`: stored events as they are, newest first."""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from threadline.identity.compose import fill, where
from threadline.identity.resolution import PROJECT
from threadline.questions.answers import EventRow, event_columns, event_rows
from threadline.questions.context import Context
from threadline.questions.cursors import CursorText, read_cursor, write_cursor
from threadline.questions.parameters import EventName, IncludeBots, Limit, Range
from threadline.questions.warned import (
    Warned,
    bots_left_out,
    noted,
    unknown_events,
    unknown_sources,
)
from threadline.store import bound_ms


class Filters(Range, kw_only=True):
    """Which events; filters not given do not filter."""

    event: EventName | None = None
    source: str | None = None
    medium: str | None = None
    user_id: (
        Annotated[str, msgspec.Meta(description="As stored: untagged events have none.")] | None
    ) = None
    anonymous_id: str | None = None
    include_bots: IncludeBots = False


class EventsParams(Filters, kw_only=True):
    """Filters; those not given do not filter."""

    limit: Limit = 100
    cursor: CursorText | None = None


class Events(Warned):
    """`next_cursor` is null on the last page."""

    rows: list[EventRow]
    next_cursor: str | None


# The ids also name the places where such events lie, so that they are found without a scan.
FILTERS = {
    "from_": "timestamp >= {from_:DateTime64(3, 'UTC')}",
    "to": "timestamp < {to:DateTime64(3, 'UTC')}",
    "event": "event_name = {event:String}",
    "source": "source = {source:String}",
    "medium": "medium = {medium:String}",
    "user_id": f"""user_id = {{user_id:String}} AND visitor IN (
        SELECT visitor FROM links WHERE {PROJECT} AND user_id = {{user_id:String}}
        UNION ALL SELECT sipHash64('user', {{user_id:String}}))""",
    "anonymous_id": "anonymous_id = {anonymous_id:String}"
    " AND (visitor = sipHash64({anonymous_id:String}) OR anonymous_id_generated)",
    "cursor_at": "(timestamp, event_id) < ({cursor_at:DateTime64(3, 'UTC')}, {cursor_id:String})",
}

SQL = """
SELECT $columns, e.project_id AS project_id
FROM events AS e
$where
ORDER BY e.timestamp DESC, e.event_id DESC
LIMIT $limit"""


def ask(context: Context, params: EventsParams) -> Events:
    """Events that pass all filters, newest first, ties by the greater event_id. Raises
    `InvalidParams` for a cursor of another question."""
    reading, project_id = context.reading, context.project_id
    values = filter_values(params, project_id)
    question = f"query {project_id}"
    if params.cursor is not None:
        values |= read_cursor(question, params.cursor)
    slots = {
        "columns": event_columns(params.include_bots),
        "where": where(filter_conditions(params, values)),
        "limit": params.limit + 1,
    }
    rows = reading.query(fill(SQL, slots), values)
    page = rows[: params.limit]
    more = len(rows) > params.limit
    answer = Events(
        event_rows(page, project_id),
        write_cursor(question, page[-1], "timestamp", "event_id") if more else None,
    )
    if not rows and params.cursor is None:
        warnings = unknown_events(context, {"event": [params.event]})
        warnings += unknown_sources(context, {"source": params.source, "medium": params.medium})
        if not warnings and not params.include_bots:
            with_bots = msgspec.structs.replace(params, include_bots=True)
            warnings = bots_left_out(reading, filter_conditions(with_bots, values), values)
        answer.warnings = noted(warnings)
    return answer


def filter_values(filters: Filters, project_id: str) -> dict[str, object]:
    """The values of those filters that are given, by name."""
    given = {
        name: bound_ms(value.ms) if name in ("from_", "to") else value
        for name in FILTERS
        if (value := getattr(filters, name, None)) is not None
    }
    return {**given, "project_id": project_id}


def filter_conditions(filters: Filters, values: Mapping[str, object]) -> list[str]:
    """The conditions of these filters on events `e`."""
    people = [] if filters.include_bots else ["NOT e.is_bot"]
    given = [FILTERS[name] for name in values if name in FILTERS]
    return [f"e.{PROJECT}", *people, *given]
