"""`GET /v1/users/{user_id}`: one user, their devices, traits, first and last touch."""

import msgspec

from threadline.contract.errors import NotFound
from threadline.contract.times import format_utc
from threadline.identity.compose import fill
from threadline.identity.person import Person, ask_of
from threadline.identity.resolution import USERS
from threadline.questions.answers import Touch, touch_row
from threadline.questions.context import Context
from threadline.questions.parameters import Stitched, UserId
from threadline.store import Query, Row


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
WITH touches AS (
    SELECT (e.timestamp, e.event_id, e.anonymous_id, toString(e.source), toString(e.medium),
        toString(e.campaign), e.url, e.referrer) AS touch
    FROM owned_events AS e
)
SELECT min(touch) AS first, max(touch) AS last
FROM touches
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

    def queries(person: Person) -> list[Query]:
        return [(fill(sql, {}), {}) for sql in (FIRST_AND_LAST, DEVICES, TRAITS)]

    person, (touches, seen, identifies) = ask_of(
        context.reading, context.resolution, user_id, queries
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
    first, last = (
        dict(zip(Touch.__struct_fields__, touches[0][name], strict=True))
        for name in ("first", "last")
    )
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


def _traits(identifies: list[Row]) -> dict[str, msgspec.Raw]:
    # Decoded only one level deep: values go out exactly as they came in.
    merged: dict[str, msgspec.Raw] = {}
    for row in reversed(identifies):
        merged |= msgspec.json.decode(row["properties"], type=dict[str, msgspec.Raw])
    return merged
