"""`GET /v1/users`: who they are and where they came from; `/v1/users/{user_id}`: one of them."""

from typing import Annotated, Literal

import msgspec

from threadline.contract.errors import NotFound
from threadline.contract.times import format_utc
from threadline.identity.person import Person, ask_of, events_of, with_aliases
from threadline.identity.resolution import PROJECT, USERS, conditions
from threadline.identity.stitch import THESE_USERS, conversions, first_touches
from threadline.questions import places
from threadline.questions.answers import (
    EventName,
    Limit,
    Ranged,
    Stitched,
    Touch,
    UserId,
    absent_is_null,
    seconds_between,
    shared_among,
)
from threadline.questions.context import Context
from threadline.questions.cursors import CursorText, read_cursor, write_cursor
from threadline.questions.warned import Warned, noted, unknown_events
from threadline.store import Query, Row, bound_ms


class UsersParams(Ranged, kw_only=True):
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
    "from_": "first_touch.timestamp >= {from_:DateTime64(3, 'UTC')}",
    "to": "first_touch.timestamp < {to:DateTime64(3, 'UTC')}",
    "source": "names.source = {source:String}",
    "medium": "names.medium = {medium:String}",
    "campaign": "names.campaign = {campaign:String}",
}
BEHIND_CURSOR = (
    "(known_since < {cursor_at:DateTime64(3, 'UTC')}"
    " OR (known_since = {cursor_at:DateTime64(3, 'UTC')} AND user_id > {cursor_id:String}))"
)

SQL = """
    SELECT user_id, first_touch, known_since,
        names.source AS source, names.medium AS medium, names.campaign AS campaign
    FROM ({touches}) AS t
    {names}
    WHERE {where}
    ORDER BY known_since DESC, user_id
    LIMIT {limit}"""

DEVICE_COUNTS = f"""
    SELECT l.user_id AS user_id, uniqExact(l.visitor) AS devices
    FROM %(links)s AS l
    WHERE l.{USERS}
    GROUP BY l.user_id"""

# The states hold no addresses; the few that go out are fetched from where the events lie.
TOUCH_DETAILS = f"""
    SELECT event_id, anonymous_id, url, referrer
    FROM events
    WHERE {PROJECT} AND visitor IN {{visitors:Array(UInt64)}}
        AND event_id IN {{event_ids:Array(String)}}"""

# If the event is forgotten between the two queries, the touch goes out without its details.
FORGOTTEN: Row = {"anonymous_id": None, "url": "", "referrer": ""}


def ask(context: Context, params: UsersParams) -> Users:
    """Users whose first touch passes the filters, with it. Raises `InvalidParams` for a cursor of
    another question."""
    reading, resolution = context.reading, context.resolution
    bound = dict(resolution.params)
    question = f"users {bound['project_id']}"
    where = []
    for name, condition in FILTERS.items():
        if (value := getattr(params, name)) is not None:
            bound[name] = bound_ms(value.ms) if name in ("from_", "to") else value
            where.append(condition)
    if params.cursor is not None:
        bound |= read_cursor(question, params.cursor)
        where.append(BEHIND_CURSOR)
    rows = reading.query(
        SQL.format(
            touches=first_touches(resolution),
            names=places.named("t.first_touch.place"),
            where=conditions(where),
            limit=params.limit + 1,
        ),
        bound,
    )
    page = rows[: params.limit]
    if not page:
        unknown = unknown_events(reading, bound, {"conversion": [params.conversion]})
        return Users([], None, [], resolution.policy, warnings=noted(unknown))
    touches = [row["first_touch"] for row in page]
    bound |= {
        "user_ids": with_aliases(reading, resolution, [row["user_id"] for row in page]),
        "visitors": [touch["visitor"] for touch in touches],
        "event_ids": [touch["event_id"] for touch in touches],
    }
    queries = [
        TOUCH_DETAILS,
        DEVICE_COUNTS % {"links": resolution.links},
        shared_among(resolution, THESE_USERS),
    ]
    if params.conversion is not None:
        bound["conversion"] = params.conversion
        queries.append(conversions(resolution, THESE_USERS))
    details, counted, shared, *converted = reading.query_all(*((query, bound) for query in queries))
    detail_of = {row["event_id"]: row for row in details}
    devices_of = {row["user_id"]: row["devices"] for row in counted}
    users = [
        User(
            row["user_id"],
            format_utc(row["known_since"]),
            _touch({**FORGOTTEN, **row, **touch, **detail_of.get(touch["event_id"], {})}),
            devices_of.get(row["user_id"], 0),
        )
        for row, touch in zip(page, touches, strict=True)
    ]
    for found in converted:
        converted_at = {row["user_id"]: row["converted_at"] for row in found}
        for user, touch in zip(users, touches, strict=True):
            at = converted_at.get(user.user_id)
            user.converted_at = at and format_utc(at)
            user.seconds_to_conversion = at and seconds_between(touch["timestamp"], at)
    unknown = []
    if not any(converted):
        unknown = unknown_events(reading, bound, {"conversion": [params.conversion]})
    return Users(
        users,
        write_cursor(question, page[-1], "known_since", "user_id")
        if len(rows) > params.limit
        else None,
        [row["anonymous_id"] for row in shared],
        resolution.policy,
        warnings=noted(unknown),
    )


def _touch(row: Row) -> Touch:
    fields = absent_is_null({name: row[name] for name in Touch.__struct_fields__})
    return Touch(**{**fields, "timestamp": format_utc(row["timestamp"])})


class ProfileParams(Stitched, kw_only=True):
    """The policy that decides which untagged events count for the user."""

    user_id: UserId


class Device(msgspec.Struct):
    """First and last event that the user owns there; `shared`: others were seen on it, too."""

    anonymous_id: str
    first_seen: str
    last_seen: str
    shared: bool


class Profile(msgspec.Struct):
    """One user. `traits`: of each trait the latest value any `$identify` event brought."""

    user_id: str
    stitch: str
    known_since: str
    traits: dict[str, msgspec.Raw]
    first_touch: Touch
    last_touch: Touch
    devices: list[Device]
    shared_devices: list[str]


# The smallest tuple is the first event, the greatest the last; ties by event_id.
FIRST_AND_LAST = """
    SELECT min(touch) AS first, max(touch) AS last
    FROM ({owned})
    HAVING count() > 0"""
TOUCH = """(e.timestamp, e.event_id, e.anonymous_id, toString(e.source), toString(e.medium),
    toString(e.campaign), e.url, e.referrer) AS touch"""

DEVICES = """
    SELECT anonymous_id, min(timestamp) AS first_seen, max(timestamp) AS last_seen
    FROM ({owned})
    WHERE NOT anonymous_id_made
    GROUP BY anonymous_id
    ORDER BY first_seen, anonymous_id"""

# Newest first, so that the limit keeps the traits that count.
TRAITS = f"""
    SELECT properties
    FROM events AS e
    WHERE %(received)s AND visitor IN {{places:Array(UInt64)}} AND {USERS}
        AND event_name = '$identify' AND properties != '{{}}'
    ORDER BY timestamp DESC, event_id DESC
    LIMIT 1000"""


def profile(context: Context, params: ProfileParams) -> Profile:
    """One user's profile. Raises `NotFound` if no event ever carried this id."""
    reading, resolution, user_id = context.reading, context.resolution, params.user_id

    def queries(person: Person) -> list[Query]:
        seen = events_of(person, "e.anonymous_id, e.anonymous_id_made, e.timestamp")
        return [
            (FIRST_AND_LAST.format(owned=events_of(person, TOUCH)), person.bound),
            (DEVICES.format(owned=seen), person.bound),
            (TRAITS % {"received": resolution.received}, person.bound),
        ]

    person, (touches, seen, identifies) = ask_of(reading, resolution, user_id, queries)
    if not touches:
        raise NotFound(f"The user {user_id!r} is being forgotten.")
    devices = [
        Device(
            row["anonymous_id"],
            format_utc(row["first_seen"]),
            format_utc(row["last_seen"]),
            row["anonymous_id"] in person.shared_devices,
        )
        for row in seen
        if row["anonymous_id"] in person.devices
    ]
    first, last = (
        dict(zip(Touch.__struct_fields__, touches[0][name], strict=True))
        for name in ("first", "last")
    )
    return Profile(
        person.user_id,
        resolution.policy,
        format_utc(person.known_since),
        _traits(identifies),
        _touch(first),
        _touch(last),
        devices,
        person.shared_devices,
    )


def _traits(identifies: list[Row]) -> dict[str, msgspec.Raw]:
    # Decoded only one level deep: values go out exactly as they came in.
    merged: dict[str, msgspec.Raw] = {}
    for row in reversed(identifies):
        merged |= msgspec.json.decode(row["properties"], type=dict[str, msgspec.Raw])
    return merged
