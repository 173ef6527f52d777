"""`GET /v1/users/{user_id}/events`: everything one person did, from before they were known."""

from typing import Annotated, Literal

import msgspec

from threadline.contract.errors import NotFound
from threadline.contract.times import format_utc
from threadline.identity.stitch import PROJECT, THESE_USERS, USERS, Policy, owned_events
from threadline.questions.answers import (
    CursorText,
    EventRow,
    Limit,
    StitchText,
    conditions,
    event_columns,
    event_row,
    read_cursor,
    shared_among,
    write_cursor,
)
from threadline.store import Store


class Params(msgspec.Struct, kw_only=True):
    """Which part of the journey, in which order, under which policy."""

    phase: Annotated[
        Literal["before", "after", "all"],
        msgspec.Meta(description="`before`: earlier than the first event with this user_id."),
    ] = "all"
    order: Literal["asc", "desc"] = "asc"
    stitch: StitchText | None = None
    limit: Limit = 100
    cursor: CursorText | None = None


class Journey(msgspec.Struct):
    """`shared_devices`: devices of this user that others were seen on, too."""

    rows: list[EventRow]
    next_cursor: str | None
    known_since: str
    shared_devices: list[str]
    stitch: str


KNOWN_SINCE = f"""
    SELECT count() AS found, min(first_touch.timestamp) AS known_since
    FROM user_touches
    WHERE {PROJECT} AND {USERS}"""

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


def ask(store: Store, project_id: str, user_id: str, params: Params, policy: Policy) -> Journey:
    """The events this user owns under the policy. Raises `NotFound` for an unknown user."""
    bound: dict[str, object] = {"project_id": project_id, "user_ids": [user_id]}
    known = store.query(KNOWN_SINCE, bound)[0]
    if not known["found"]:
        raise NotFound(f"There is no user {user_id!r} in this project.")
    bound["known_since"] = known["known_since"].isoformat(sep=" ", timespec="milliseconds")
    where = [PHASES[params.phase]]
    if params.cursor:
        bound |= read_cursor(params.cursor)
        side = ">" if params.order == "asc" else "<"
        where.append(
            f"(timestamp, event_id) {side} "
            "({cursor_at:DateTime64(3, 'UTC')}, {cursor_id:String})"
        )
    sql = SQL.format(
        owned=owned_events(policy, THESE_USERS, event_columns("e")),
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
        format_utc(known["known_since"]),
        shared_among(store, THESE_USERS, bound),
        policy,
    )
