"""`GET /v1/users/{user_id}/events`: everything one person did, from before they were known."""

from typing import Annotated, Literal

import msgspec

from threadline.contract.times import format_utc
from threadline.identity.compose import fill, where
from threadline.identity.person import Person, ask_of
from threadline.questions.answers import EventRow, bound_time, event_columns, event_rows
from threadline.questions.context import Context
from threadline.questions.cursors import CursorText, read_cursor, write_cursor
from threadline.questions.parameters import Limit, Stitched, UserId
from threadline.store import Query


class JourneyParams(Stitched, kw_only=True):
    """Which part of the journey, in which order, under which policy."""

    user_id: UserId
    phase: Annotated[
        Literal["before", "after", "all"],
        msgspec.Meta(description="`before`: earlier than the first event with this user_id."),
    ] = "all"
    order: Literal["asc", "desc"] = "asc"
    limit: Limit = 100
    cursor: CursorText | None = None


class Journey(msgspec.Struct):
    """`shared_devices`: devices of this user that others were seen on, too."""

    rows: list[EventRow]
    next_cursor: str | None
    known_since: str
    shared_devices: list[str]
    stitch: str


SQL = """
SELECT $columns, e.project_id AS project_id
FROM owned_events AS e
$where
ORDER BY e.timestamp $order, e.event_id $order
LIMIT $limit"""

PHASES = {
    "before": "e.timestamp < {known_since:DateTime64(3, 'UTC')}",
    "after": "e.timestamp >= {known_since:DateTime64(3, 'UTC')}",
}
BEYOND_CURSOR = {
    "asc": "(e.timestamp, e.event_id) > ({cursor_at:DateTime64(3, 'UTC')}, {cursor_id:String})",
    "desc": "(e.timestamp, e.event_id) < ({cursor_at:DateTime64(3, 'UTC')}, {cursor_id:String})",
}


def ask(context: Context, params: JourneyParams) -> Journey:
    """The events this user owns on this resolution. Raises `NotFound` for an unknown user,
    `InvalidParams` for a cursor of another question."""
    project_id = context.project_id
    question = f"journey {project_id} {params.order} {params.user_id}"
    conditions = [PHASES[params.phase]] if params.phase in PHASES else []
    cursor: dict[str, object] = {}
    if params.cursor is not None:
        cursor = read_cursor(question, params.cursor)
        conditions.append(BEYOND_CURSOR[params.order])
    slots = {
        "columns": event_columns(params.include_bots),
        "where": where(conditions),
        "order": params.order.upper(),
        "limit": params.limit + 1,
    }

    def queries(person: Person) -> list[Query]:
        return [(fill(SQL, slots), {"known_since": bound_time(person.known_since), **cursor})]

    person, (rows,) = ask_of(context.reading, context.resolution, params.user_id, queries)
    page = rows[: params.limit]
    more = len(rows) > params.limit
    return Journey(
        event_rows(page, project_id),
        write_cursor(question, page[-1], "timestamp", "event_id") if more else None,
        format_utc(person.known_since),
        person.shared_devices,
        context.resolution.policy,
    )
