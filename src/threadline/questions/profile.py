"""`GET /v1/users/{user_id}`: one user, their devices, traits, first and last touch."""

import msgspec

from threadline.contract.errors import NotFound
from threadline.contract.times import format_utc
from threadline.identity.compose import fill
from threadline.identity.person import Person, ask_of
from threadline.identity.resolution import USERS
from threadline.identity.visits import Wanted, visits_of_one
from threadline.questions.answers import Touch, touch_row
from threadline.questions.context import Context
from threadline.questions.parameters import Stitched, UserId
from threadline.questions.traffic_sources import DIRECT_NAMES
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

DEVICES = """
SELECT anonymous_id, min(timestamp) AS first_seen, max(timestamp) AS last_seen
FROM owned_events
WHERE NOT anonymous_id_generated
GROUP BY anonymous_id
ORDER BY first_seen, anonymous_id"""

# Newest first, so that the limit keeps the traits that count.
TRAITS = f"""
SELECT properties
FROM counted_events
WHERE visitor IN {{lies_at:Array(UInt64)}} AND {USERS}
    AND event_name = '$$identify' AND properties != '{{}}'
ORDER BY timestamp DESC, event_id DESC
LIMIT 1000"""


def ask(context: Context, params: ProfileParams) -> Profile:
    """One user's profile. Raises `NotFound` if no event ever carried this id."""
    user_id = params.user_id

    values = {"visit_timeout_ms": context.visit_timeout_ms}

    def queries(person: Person) -> list[Query]:
        return [(fill(sql, {}), values) for sql in (FIRST_AND_LAST, DEVICES, TRAITS)]

    person, (touches, seen, identifies) = ask_of(
        context.reading, context.resolution, user_id, queries, visits_of_one(Wanted(("arrivals",)))
    )
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
    (found,) = touches
    first = dict(zip(Touch.__struct_fields__, found["first"], strict=True))
    return Profile(
        person.user_id,
        context.resolution.policy,
        format_utc(person.known_since),
        _traits(identifies),
        touch_row(first),
        touch_row(_last_touch(found)),
        devices,
        person.shared_devices,
    )


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
