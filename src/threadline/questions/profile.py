"""`GET /v1/users/{user_id}`: one user, their devices, traits, first and last touch."""

import msgspec

from threadline.contract.errors import NotFound
from threadline.contract.times import format_utc
from threadline.identity.compose import fill
from threadline.identity.person import Person, ask_of
from threadline.identity.resolution import USERS
from threadline.identity.stitch import OF_USERS
from threadline.identity.visits import Wanted, visits_of_one
from threadline.questions.answers import FORGOTTEN, Touch, touch_row
from threadline.questions.context import Context
from threadline.questions.parameters import Stitched, UserId
from threadline.questions.traffic_sources import DIRECT_NAMES
from threadline.questions.traits import latest_said
from threadline.store import Query, Row
from threadline.store.states import OFF_PAGE


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


# The smallest tuple is the first event, one on a page before all others; ties by event_id. The last
# touch is that of the last visit that has one, and the event it came with; without any it is the
# last event.
FIRST_AND_LAST = f"""
WITH last_touch AS (
    SELECT touches[-1] AS touch
    FROM touches
), shown AS (
    SELECT (e.timestamp, e.event_id, e.anonymous_id, toString(e.source), toString(e.medium),
        toString(e.campaign), toString(e.channel), e.url, e.referrer) AS event,
        {OFF_PAGE} AS off_page,
        (toUnixTimestamp64Milli(e.timestamp), e.visitor) = (l.touch.1, l.touch.3) AS is_last,
        (l.touch.2 % 2, e.traffic_source != l.touch.2) AS unlike
    FROM owned_events AS e
    LEFT JOIN last_touch AS l ON TRUE
)
SELECT min((off_page, event)).2 AS first, max(event) AS last_event,
    argMinIf(event, (unlike, event), is_last) AS last_touch,
    countIf(is_last) > 0 AS has_last, argMinIf(unlike.1, (unlike, event), is_last) AS last_is_direct
FROM shown
HAVING count() > 0"""

# The state has it, without the address.
KEPT_TOUCH = """
SELECT f.first_touch AS first_touch, n.source AS source, n.medium AS medium,
    n.campaign AS campaign, n.channel AS channel
FROM first_touches AS f
LEFT ANY JOIN named_sources AS n ON n.traffic_source = f.first_touch.traffic_source
WHERE f.user_id IN {user_ids:Array(String)}"""

DEVICES = """
SELECT anonymous_id, min(timestamp) AS first_seen, max(timestamp) AS last_seen
FROM owned_events
WHERE NOT anonymous_id_generated
GROUP BY anonymous_id
ORDER BY first_seen, anonymous_id"""

# Of each trait the call that said it last, newest first. What the engine cannot take apart, such as
# a number that is too large for it, stands for itself.
TRAITS = f"""
WITH said AS (
    SELECT timestamp, event_id, properties, JSONExtractKeys(properties) AS names
    FROM counted_events
    WHERE visitor IN {{lies_at:Array(UInt64)}} AND {USERS}
        AND event_name = '$$identify' AND properties != '{{}}'
){latest_said("if(empty(names), [properties], names)")}"""


def ask(context: Context, params: ProfileParams) -> Profile:
    """One user's profile. Raises `NotFound` if no event ever carried this id."""
    user_id = params.user_id

    values = {"visit_timeout_ms": context.visit_timeout_ms}

    def queries(person: Person) -> list[Query]:
        return [(fill(sql, {}), values) for sql in (FIRST_AND_LAST, DEVICES, TRAITS)]

    person, (touches, seen, identifies) = ask_of(
        context.reading, context.resolution, user_id, queries, visits_of_one(Wanted(("arrivals",)))
    )
    kept = _kept(context, person)
    if not touches and kept is None:
        raise NotFound(
            f"The user {user_id!r} has no events any more: they are older than the project keeps"
            " them, or are just being forgotten."
        )
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
    first, last = _first_and_last(touches, kept)
    return Profile(
        person.user_id,
        context.resolution.policy,
        format_utc(person.known_since),
        _traits(identifies),
        touch_row(first),
        touch_row(last),
        devices,
        person.shared_devices,
    )


def _kept(context: Context, person: Person) -> Row | None:
    """The first touch, where it may have outlived its event."""
    if not context.touches_outlive or context.as_of_ms is not None:
        return None
    users = context.resolution.same_people([person.user_id])
    near = f"r.{OF_USERS}"
    rows = context.reading.query(*context.query(KEPT_TOUCH, {"user_ids": users}, near=near))
    if not rows:
        return None
    (row,) = rows
    return {**FORGOTTEN, **row["first_touch"], **row}


def _first_and_last(touches: list[Row], kept: Row | None) -> tuple[Row, Row]:
    """Of one who has no event any more, the first touch is the last that is known, too."""
    if not touches:
        assert kept
        return kept, kept
    (found,) = touches
    first: Row = dict(zip(Touch.__struct_fields__, found["first"], strict=True))
    # The state knows all there ever were; of what is there, its details are, too.
    if kept and kept["event_id"] != first["event_id"]:
        first = kept
    return first, _last_touch(found)


def _last_touch(found: Row) -> Row:
    """Of a direct visit, whose first event may be internal, that it is direct; so is the last event
    where there never was a touch."""
    last = found["last_touch"] if found["has_last"] else found["last_event"]
    touch = dict(zip(Touch.__struct_fields__, last, strict=True))
    is_direct = found["last_is_direct"] or not found["has_last"]
    return {**touch, **DIRECT_NAMES} if is_direct else touch


def _traits(identifies: list[Row]) -> dict[str, msgspec.Raw]:
    # Decoded only one level deep: values go out exactly as they came in.
    merged: dict[str, msgspec.Raw] = {}
    for row in reversed(identifies):
        merged |= msgspec.json.decode(row["properties"], type=dict[str, msgspec.Raw])
    return merged
