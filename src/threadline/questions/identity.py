"""`GET /v1/identity/…`: shared devices, and how well people are known."""

from dataclasses import replace
from typing import Annotated

import msgspec

from threadline.contract.times import format_utc
from threadline.identity.activity import active
from threadline.identity.person import ask_of
from threadline.identity.stitch import OF_USERS
from threadline.questions.context import Context
from threadline.questions.parameters import MAX_LIMIT, Limit, Stitched
from threadline.questions.warned import Limited, cut_off, noted
from threadline.store import Row


class SharedDevicesParams(Stitched, kw_only=True):
    """How many of them, and whose."""

    limit: Limit = 100
    user_id: (
        Annotated[str, msgspec.Meta(description="Only devices that this user was seen on.")] | None
    ) = None


class UserOnDevice(msgspec.Struct):
    """One user on a device: events that carried both ids."""

    user_id: str
    observations: int
    first_seen: str
    last_seen: str


class SharedDevice(msgspec.Struct):
    """`moving_shares`: the part of the device's events that `first`, `last` and `none` each give to
    another owner than `next` does; `moving_share` is that of `first`."""

    anonymous_id: str
    users: list[UserOnDevice]
    events: int
    moving_share: float
    moving_shares: dict[str, float]


class SharedDevices(Limited):
    """Devices that more than one person was seen on; those with most events first."""

    rows: list[SharedDevice]


# Of every event of a shared device: whom it shows, whose interval it is in, and who was first and
# last.
SHARED_DEVICES = """
WITH seen AS (
    SELECT r.visitor AS visitor, r.timestamp AS timestamp, r.user_hash AS user_hash,
        $person_hash AS person, r.user_hash != 0 $linked AS observed
    FROM counted_events AS r
    WHERE r.visitor IN (SELECT visitor FROM shared_devices)
), persons_seen AS (
    SELECT e.visitor AS visitor, e.person AS user_hash,
        countIf(e.observed) AS observations,
        minIf(e.timestamp, e.observed) AS first_seen,
        maxIf(e.timestamp, e.observed) AS last_seen,
        count() AS found, countIf(e.user_hash = 0) AS untagged,
        countIf(e.user_hash = 0 AND o.user_hash != f.person) AS not_firsts,
        countIf(e.user_hash = 0 AND o.user_hash != l.person) AS not_lasts
    FROM seen AS e
    INNER JOIN first_owners AS f ON f.visitor = e.visitor
    INNER JOIN last_owners AS l ON l.visitor = e.visitor
    ASOF INNER JOIN ownership AS o ON o.visitor = e.visitor AND e.timestamp <= o.until
    GROUP BY e.visitor, user_hash
), names AS (
    SELECT visitor, user_hash, any(user_id) AS user_id, any(anonymous_id) AS anonymous_id
    FROM user_links
    GROUP BY visitor, user_hash
)
SELECT max(n.anonymous_id) AS anonymous_id,
    arraySort(
        groupArrayIf((first_seen, n.user_id, observations, last_seen), observations > 0)
    ) AS users,
    sum(found) AS events,
    (sum(not_firsts) / events, sum(not_lasts) / events, sum(untagged) / events) AS moving
FROM persons_seen AS s
LEFT JOIN names AS n ON n.visitor = s.visitor AND n.user_hash = s.user_hash
GROUP BY s.visitor
ORDER BY events DESC, anonymous_id
LIMIT $limit"""


def shared_devices(context: Context, params: SharedDevicesParams) -> SharedDevices:
    """Every device with several users, with each of them. Whatever the policy: `next` alone has
    intervals to compare with the first user. Raises `NotFound` for a `user_id` that no event ever
    carried."""
    by_next = replace(context, policy="next")
    slots = {**by_next.resolution.slots, "limit": params.limit + 1}
    values, near = {}, ""
    if params.user_id is not None:
        user = by_next.resolution.person(params.user_id)
        values = {"user_ids": by_next.resolution.same_people([user])}
        near = f"r.{OF_USERS}"
    rows = by_next.reading.query(*by_next.query(SHARED_DEVICES, values, slots, near=near))
    if params.user_id is not None and not rows:
        ask_of(by_next.reading, by_next.resolution, params.user_id, lambda person: [])
    answer = SharedDevices([_shared_device(row) for row in rows[: params.limit]])
    if len(rows) > params.limit:
        answer.truncated, answer.warnings = True, noted([cut_off(params.limit, MAX_LIMIT)])
    return answer


def _shared_device(row: Row) -> SharedDevice:
    users = [
        UserOnDevice(user_id, observations, format_utc(first), format_utc(last))
        for first, user_id, observations, last in row["users"]
    ]
    moving = dict(zip(("first", "last", "none"), row["moving"], strict=True))
    return SharedDevice(row["anonymous_id"], users, row["events"], moving["first"], moving)


class IdentityStatsParams(Stitched, kw_only=True):
    """As of when, and under which policy persons are counted."""


class IdentityStats(msgspec.Struct):
    """`known_share`: users among persons. `median_seconds_to_known`: from a user's first touch to
    the first event that carries the user (0 where a server spoke first); null without users.
    `placeholder_ids`: how many ids were dropped or refused because they stand for nobody; whatever
    `as_of`."""

    stitch: str
    persons: int
    users: int
    known_share: float
    links: int
    shared_devices: int
    devices_per_user: float
    most_devices_of_a_user: int
    median_seconds_to_known: float | None
    placeholder_ids: int


STATS = """
WITH considered AS (
    $active
), linked AS (
    SELECT user_id, uniqExact(visitor) AS devices
    FROM user_links
    GROUP BY user_id
)
SELECT
    (SELECT uniqExact(person) FROM person_events) AS persons,
    (SELECT count() FROM shared_devices) AS shared_count,
    (
        SELECT (count(), quantileExactInclusiveOrNull(0.5)(
            greatest(0, dateDiff('millisecond', first_touched_at, known_since))
        ))
        FROM first_touch_times
    ) AS known,
    (SELECT (sum(devices), max(devices), avg(devices)) FROM linked) AS linked_devices"""


def stats(context: Context, params: IdentityStatsParams) -> IdentityStats:
    """How well people are known."""
    (row,) = context.ask(STATS, {}, {"active": active(context.resolution, {})})
    users, median_ms = row["known"]
    links, most, mean = row["linked_devices"]
    return IdentityStats(
        context.resolution.policy,
        row["persons"],
        users,
        users / row["persons"] if row["persons"] else 0.0,
        links,
        row["shared_count"],
        mean if links else 0.0,
        most,
        None if median_ms is None else median_ms / 1000,
        context.placeholder_ids,
    )
