"""`GET /v1/users`: who they are and where they came from."""

from typing import Annotated, Literal

import msgspec

from threadline.contract.times import format_utc
from threadline.identity.compose import where
from threadline.identity.resolution import PROJECT, USERS
from threadline.identity.stitch import OF_USERS, WHERE_USERS_LIE
from threadline.questions.answers import (
    SHARED_DEVICES,
    Touch,
    seconds_between,
    touch_row,
)
from threadline.questions.context import Context
from threadline.questions.cursors import CursorText, read_cursor, write_cursor
from threadline.questions.filters import Filtered
from threadline.questions.parameters import EventName, Limit
from threadline.questions.warned import Warned, noted, unknown_events, unknown_sources
from threadline.store import Query, Row, bound_ms


class UsersParams(Filtered, kw_only=True):
    """Filters speak of the first touch."""

    source: str | None = None
    medium: str | None = None
    campaign: str | None = None
    conversion: (
        Annotated[
            EventName, msgspec.Meta(description="Event name; adds converted_at to each user.")
        ]
        | None
    ) = None
    limit: Limit = 100
    cursor: CursorText | None = None
    format: Annotated[
        Literal["json", "ndjson", "csv"],
        msgspec.Meta(
            description="For ndjson and csv the cursor is in the header `Threadline-Next-Cursor`."
        ),
    ] = "json"


class User(msgspec.Struct, omit_defaults=True):
    """`converted_at` and `seconds_to_conversion` appear when `conversion` is asked for."""

    user_id: str
    known_since: str
    first_touch: Touch
    devices: Annotated[int, msgspec.Meta(description="Devices the user was seen on.")]
    converted_at: str | msgspec.UnsetType | None = msgspec.UNSET
    seconds_to_conversion: float | msgspec.UnsetType | None = msgspec.UNSET


class Users(Warned):
    """Those known last come first."""

    rows: list[User]
    next_cursor: str | None
    shared_devices: list[str]
    stitch: str


FILTERS = {
    "from_": "t.first_touch.timestamp >= {from_:DateTime64(3, 'UTC')}",
    "to": "t.first_touch.timestamp < {to:DateTime64(3, 'UTC')}",
    "source": "n.source = {source:String}",
    "medium": "n.medium = {medium:String}",
    "campaign": "n.campaign = {campaign:String}",
}
BEHIND_CURSOR = (
    "(known_since < {cursor_at:DateTime64(3, 'UTC')}"
    " OR (known_since = {cursor_at:DateTime64(3, 'UTC')} AND user_id > {cursor_id:String}))"
)

SQL = """
SELECT t.user_id AS user_id, t.first_touch AS first_touch, t.known_since AS known_since,
    n.source AS source, n.medium AS medium, n.campaign AS campaign, n.channel AS channel
FROM first_touches AS t
LEFT ANY JOIN named_sources AS n ON n.traffic_source = t.first_touch.traffic_source
$where
ORDER BY known_since DESC, user_id
LIMIT $limit"""

DEVICE_COUNTS = f"""
SELECT user_id, uniqExact(visitor) AS devices
FROM user_links
WHERE {USERS}
GROUP BY user_id"""

# The states hold no addresses; the few that go out are fetched from where the events lie.
TOUCH_DETAILS = f"""
SELECT event_id, anonymous_id, url, referrer
FROM events
WHERE {PROJECT} AND visitor IN {{visitors:Array(UInt64)}}
    AND event_id IN {{event_ids:Array(String)}}"""

CONVERSIONS = f"""
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        e.user_id AS user_id
    FROM counted_events AS e
    WHERE e.event_name = {{conversion:String}} AND e.{WHERE_USERS_LIE}
)
SELECT owner AS user_id, min(timestamp) AS converted_at
FROM owned_events
WHERE owner IN {{user_ids:Array(String)}}
GROUP BY owner"""

# If the event is forgotten between the two queries, the touch goes out without its details.
FORGOTTEN: Row = {"anonymous_id": None, "url": "", "referrer": ""}


def ask(context: Context, params: UsersParams) -> Users:
    """Users whose first touch passes the filters, with it. Raises `InvalidParams` for a cursor of
    another question."""
    question = f"users {context.project_id}"
    rows = _first_touches(context, params, question)
    page, policy = rows[: params.limit], context.resolution.policy
    if not page:
        unknown = unknown_events(context, {"conversion": [params.conversion]})
        asked = {name: getattr(params, name) for name in ("source", "medium", "campaign")}
        unknown += unknown_sources(context, asked)
        return Users([], None, [], policy, warnings=noted(unknown))
    details, counted, shared, *converted = context.reading.query_all(*_about(context, params, page))
    users = _users(page, details, counted)
    for found in converted:
        _add_conversions(users, page, found)
    unknown = []
    if not any(converted):
        unknown = unknown_events(context, {"conversion": [params.conversion]})
    more = len(rows) > params.limit
    return Users(
        users,
        write_cursor(question, page[-1], "known_since", "user_id") if more else None,
        [row["anonymous_id"] for row in shared],
        policy,
        warnings=noted(unknown),
    )


def _first_touches(context: Context, params: UsersParams, question: str) -> list[Row]:
    """One row more than wanted, if there are so many."""
    values: dict[str, object] = {}
    conditions = []
    for name, condition in FILTERS.items():
        if (value := getattr(params, name)) is not None:
            values[name] = bound_ms(value.ms) if name in ("from_", "to") else value
            conditions.append(condition)
    if params.cursor is not None:
        values |= read_cursor(question, params.cursor)
        conditions.append(BEHIND_CURSOR)
    return context.ask(SQL, values, {"where": where(conditions), "limit": params.limit + 1})


def _about(context: Context, params: UsersParams, page: list[Row]) -> list[Query]:
    """What there is to say of these users besides."""
    touches = [row["first_touch"] for row in page]
    values = {
        "user_ids": context.resolution.same_people([row["user_id"] for row in page]),
        "visitors": [touch["visitor"] for touch in touches],
        "event_ids": [touch["event_id"] for touch in touches],
        "conversion": params.conversion,
    }
    queries = [
        context.query(TOUCH_DETAILS, values),
        context.query(DEVICE_COUNTS, values),
        context.query(SHARED_DEVICES, values, {"limit": ""}, near=f"r.{OF_USERS}"),
    ]
    if params.conversion is not None:
        queries.append(context.query(CONVERSIONS, values, near=f"r.{OF_USERS}"))
    return queries


def _users(page: list[Row], details: list[Row], counted: list[Row]) -> list[User]:
    detail_of = {row["event_id"]: row for row in details}
    devices_of = {row["user_id"]: row["devices"] for row in counted}
    users = []
    for row in page:
        touch = row["first_touch"]
        shown = {**FORGOTTEN, **row, **touch, **detail_of.get(touch["event_id"], {})}
        devices = devices_of.get(row["user_id"], 0)
        known_since = format_utc(row["known_since"])
        users.append(User(row["user_id"], known_since, touch_row(shown), devices))
    return users


def _add_conversions(users: list[User], page: list[Row], found: list[Row]) -> None:
    converted_at = {row["user_id"]: row["converted_at"] for row in found}
    for user, row in zip(users, page, strict=True):
        at = converted_at.get(user.user_id)
        user.converted_at = at and format_utc(at)
        # A server may have said so before the first page did.
        user.seconds_to_conversion = at and max(
            0.0, seconds_between(row["first_touch"]["timestamp"], at)
        )
