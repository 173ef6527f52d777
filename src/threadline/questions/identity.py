"""`GET /v1/identity/…`: shared devices, and how well people are known."""

from dataclasses import replace

import msgspec

from threadline.contract.times import format_utc
from threadline.identity.activity import ask_moments
from threadline.identity.ground import OBSERVED, Ground
from threadline.identity.stitch import (
    EVERYONE,
    FIRST_LINK,
    claimed_in_turns,
    fill,
    first_touches,
    shared,
)
from threadline.questions.answers import Limit, Stitched
from threadline.store import Store


class SharedParams(Stitched, kw_only=True):
    """How many of them."""

    limit: Limit = 100


class Seen(msgspec.Struct):
    """One user on a device: events that carried both ids."""

    user_id: str
    observations: int
    first_seen: str
    last_seen: str


class SharedDevice(msgspec.Struct):
    """`moving_share`: the part of the device's events whose owner differs between the policies
    `first` and `next`."""

    anonymous_id: str
    users: list[Seen]
    events: int
    moving_share: float


class SharedDevices(msgspec.Struct):
    """Devices that more than one person was seen on; those with most events first."""

    rows: list[SharedDevice]


# A turn's owner against the first owner, for every untagged event of a shared device.
SHARED_DEVICES = """
    WITH devices AS ({shared})
    SELECT any(o.anonymous_id) AS anonymous_id, o.visitor AS visitor,
        arraySort(groupArray((o.first_seen, o.user_id, o.observations, o.last_seen))) AS users,
        any(d.events) AS events, any(d.moving) / events AS moving_share
    FROM (
        SELECT e.visitor AS visitor, {person} AS user_id, any(e.anonymous_id) AS anonymous_id,
            count() AS observations,
            min(e.timestamp) AS first_seen, max(e.timestamp) AS last_seen
        FROM events AS e
        WHERE {received} AND {observed} AND {linked}
            AND e.visitor IN (SELECT visitor FROM devices)
        GROUP BY e.visitor, user_id
    ) AS o
    INNER JOIN (
        SELECT visitor, sum(found) AS events, sum(moves) AS moving
        FROM (
            SELECT t.visitor AS visitor, 1 AS found, t.user_id != f.user_id AS moves
            FROM ({turns}) AS t
            INNER JOIN ({first}) AS f ON f.visitor = t.visitor
            UNION ALL
            SELECT e.visitor AS visitor, 1 AS found, 0 AS moves
            FROM events AS e
            WHERE {received} AND e.user_id IS NOT NULL
                AND e.visitor IN (SELECT visitor FROM devices)
        )
        GROUP BY visitor
    ) AS d ON d.visitor = o.visitor
    GROUP BY o.visitor
    ORDER BY events DESC, anonymous_id
    LIMIT {limit}"""


def shared_devices(store: Store, ground: Ground, params: SharedParams) -> SharedDevices:
    """Every device with several users, with each of them. Whatever the policy: `next` alone has
    turns to compare with the first user."""
    ground = replace(ground, policy="next")
    sql = SHARED_DEVICES.format(
        shared=shared(ground),
        person=ground.person("assumeNotNull(e.user_id)"),
        received=ground.received,
        observed=OBSERVED,
        linked=ground.linked("e"),
        turns=claimed_in_turns(ground, EVERYONE, "e.visitor AS visitor, c.user_id AS user_id"),
        first=fill(FIRST_LINK, ground, EVERYONE),
        limit=params.limit,
    )
    return SharedDevices(
        [
            SharedDevice(
                row["anonymous_id"],
                [
                    Seen(user_id, observations, format_utc(first), format_utc(last))
                    for first, user_id, observations, last in row["users"]
                ],
                row["events"],
                row["moving_share"],
            )
            for row in store.query(sql, ground.bound)
        ]
    )


class StatsParams(Stitched, kw_only=True):
    """As of when, and under which policy persons are counted."""


class IdentityStats(msgspec.Struct):
    """`known_share`: users among persons. `median_seconds_to_known`: from a user's first touch to
    the first event that carries the user; null without users. `placeholder_ids`: how many ids were
    dropped or refused because they stand for nobody; whatever `as_of`."""

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
    SELECT
        (SELECT uniqExact(person) FROM ({moments})) AS persons,
        (SELECT count() FROM ({shared})) AS shared_devices,
        (
            SELECT (count(), quantileExactInclusiveOrNull(0.5)(
                dateDiff('millisecond', first_touch.timestamp, known_since)
            ))
            FROM ({touches})
        ) AS known,
        (
            SELECT (sum(devices), max(devices), avg(devices))
            FROM (
                SELECT l.user_id AS user_id, uniqExact(l.visitor) AS devices
                FROM {links} AS l GROUP BY l.user_id
            )
        ) AS linked"""


def stats(store: Store, ground: Ground, placeholder_ids: int) -> IdentityStats:
    """How well people are known. `placeholder_ids`: as counted at the door."""

    def sql(moments: str) -> str:
        return STATS.format(
            moments=moments,
            shared=shared(ground),
            touches=first_touches(ground),
            links=ground.links,
        )

    (row,) = ask_moments(store, ground, sql, ground.bound)
    users, median_ms = row["known"]
    links, most, mean = row["linked"]
    return IdentityStats(
        ground.policy,
        row["persons"],
        users,
        users / row["persons"] if row["persons"] else 0.0,
        links,
        row["shared_devices"],
        mean if links else 0.0,
        most,
        None if median_ms is None else median_ms / 1000,
        placeholder_ids,
    )
