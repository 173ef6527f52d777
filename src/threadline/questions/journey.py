"""`GET /v1/users/{user_id}/events`: everything one person did, from before they were known."""

from typing import Annotated, Literal

import msgspec

from threadline.contract.times import format_utc
from threadline.identity.ground import Ground, conditions
from threadline.identity.person import events_of, find_person
from threadline.questions.answers import (
    CursorText,
    EventRow,
    Limit,
    Stitched,
    bound_time,
    event_columns,
    event_row,
    read_cursor,
    write_cursor,
)
from threadline.store import Store


class Params(Stitched, kw_only=True):
    """Which part of the journey, in which order, under which policy."""

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
    SELECT *
    FROM ({owned})
    WHERE {where}
    ORDER BY timestamp {order}, event_id {order}
    LIMIT {limit}"""

PHASES = {
    "all": "TRUE",
    "before": "timestamp < {known_since:DateTime64(3, 'UTC')}",
    "after": "timestamp >= {known_since:DateTime64(3, 'UTC')}",
}


def ask(store: Store, ground: Ground, params: Params, user_id: str) -> Journey:
    """The events this user owns on this ground. Raises `NotFound` for an unknown user."""
    person = find_person(store, ground, user_id)
    bound = {**person.bound, "known_since": bound_time(person.known_since)}
    where = [PHASES[params.phase]]
    if params.cursor:
        bound |= read_cursor(params.cursor)
        side = ">" if params.order == "asc" else "<"
        where.append(
            f"(timestamp, event_id) {side} "
            "({cursor_at:DateTime64(3, 'UTC')}, {cursor_id:String})"
        )
    sql = SQL.format(
        owned=events_of(person, event_columns(params.include_bots)),
        where=conditions(where),
        order=params.order.upper(),
        limit=params.limit + 1,
    )
    rows = store.query(sql, bound)
    page = rows[: params.limit]
    more = len(rows) > params.limit
    return Journey(
        [event_row(row) for row in page],
        write_cursor(page[-1], "timestamp", "event_id") if more else None,
        format_utc(person.known_since),
        person.shared_devices,
        ground.policy,
    )
