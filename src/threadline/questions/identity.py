"""`GET /v1/identity/…`: shared devices, and how well people are known."""

from dataclasses import replace

import msgspec

from threadline.contract.times import format_utc
from threadline.identity.activity import ask_moments
from threadline.identity.stitch import (
    EVERYONE,
    OWNERS,
    TURNS,
    fill,
    first_touch_times,
    shared,
)
from threadline.questions.answers import MAX_LIMIT, Limit, Stitched
from threadline.questions.context import Context
from threadline.questions.warned import Limited, cut_off, noted


class SharedDevicesParams(Stitched, kw_only=True):
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


class SharedDevices(Limited):
    """Devices that more than one person was seen on; those with most events first."""

    rows: list[SharedDevice]


# The owner whose turn it is against the first, for every untagged event of a shared device.
SHARED_DEVICES = """
    SELECT max(n.anonymous_id) AS anonymous_id,
        arraySort(
            groupArrayIf((first_seen, n.user_id, observations, last_seen), observations > 0)
        ) AS users,
        sum(found) AS events, sum(moving) / events AS moving_share
    FROM (
        SELECT e.visitor AS visitor, {person} AS user_hash,
            countIf(e.observed) AS observations,
            minIf(e.timestamp, e.observed) AS first_seen,
            maxIf(e.timestamp, e.observed) AS last_seen,
            count() AS found, countIf(e.user_hash = 0 AND c.user_hash != f.person) AS moving
        FROM (
            SELECT e.visitor AS visitor, e.timestamp AS timestamp, e.user_hash AS user_hash,
                e.user_hash != 0 AND {linked} AS observed
            FROM events AS e
            WHERE {received} AND e.visitor IN ({shared})
        ) AS e
        INNER JOIN ({first}) AS f ON f.visitor = e.visitor
        ASOF INNER JOIN ({turns}) AS c ON c.visitor = e.visitor AND e.timestamp <= c.until
        GROUP BY e.visitor, user_hash
    ) AS s
    LEFT JOIN (
        SELECT l.visitor AS visitor, l.user_hash AS user_hash, any(l.user_id) AS user_id,
            any(l.anonymous_id) AS anonymous_id
        FROM {links} AS l
        GROUP BY l.visitor, l.user_hash
    ) AS n ON n.visitor = s.visitor AND n.user_hash = s.user_hash
    GROUP BY s.visitor
    ORDER BY events DESC, anonymous_id
    LIMIT {limit}"""


def shared_devices(context: Context, params: SharedDevicesParams) -> SharedDevices:
    """Every device with several users, with each of them. Whatever the policy: `next` alone has
    turns to compare with the first user."""
    reading, resolution = context.reading, replace(context.resolution, policy="next")
    sql = SHARED_DEVICES.format(
        person=resolution.person_hash("e.user_hash"),
        linked=resolution.linked("e"),
        received=resolution.received,
        shared=shared(resolution),
        first=fill(OWNERS["first"], resolution, EVERYONE),
        turns=fill(TURNS, resolution, EVERYONE),
        links=resolution.links,
        limit=params.limit + 1,
    )
    rows = reading.query(sql, resolution.params)
    answer = SharedDevices(
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
            for row in rows[: params.limit]
        ]
    )
    if len(rows) > params.limit:
        answer.truncated, answer.warnings = True, noted([cut_off(params.limit, MAX_LIMIT)])
    return answer


class IdentityStatsParams(Stitched, kw_only=True):
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
                dateDiff('millisecond', first_touched_at, known_since)
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


def stats(context: Context, params: IdentityStatsParams) -> IdentityStats:
    """How well people are known."""
    reading, resolution = context.reading, context.resolution

    def sql(moments: str) -> str:
        return STATS.format(
            moments=moments,
            shared=shared(resolution),
            touches=first_touch_times(resolution),
            links=resolution.links,
        )

    (row,) = ask_moments(reading, resolution, sql, resolution.params)
    users, median_ms = row["known"]
    links, most, mean = row["linked"]
    return IdentityStats(
        resolution.policy,
        row["persons"],
        users,
        users / row["persons"] if row["persons"] else 0.0,
        links,
        row["shared_devices"],
        mean if links else 0.0,
        most,
        None if median_ms is None else median_ms / 1000,
        context.placeholder_ids(),
    )
