"""`GET /v1/identity/…`: shared devices, whose an event is and why, how well people are known."""

from dataclasses import replace
from typing import Annotated

import msgspec

from threadline.contract.errors import InvalidParams, NotFound
from threadline.contract.times import Moment, format_ms, format_utc
from threadline.identity.ground import Ground
from threadline.identity.stitch import (
    EVERYONE,
    FIRST_LINK,
    claimed_in_turns,
    fill,
    first_touches,
    person_events,
    shared,
)
from threadline.questions.answers import Limit, Stitched, bound_ms, utc_ms
from threadline.store import Row, Store


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
        WHERE {received} AND e.user_id IS NOT NULL AND NOT e.anonymous_id_made AND {linked}
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


class ExplainParams(Stitched, kw_only=True):
    """An event that is stored, or a device and a time."""

    event_id: str | None = None
    anonymous_id: str | None = None
    at: Annotated[Moment, msgspec.Meta(description="ISO 8601.")] | None = None


class Observation(msgspec.Struct):
    """An event that carried a user on this device. `user_id` is the person's, aliases resolved."""

    user_id: str
    timestamp: str
    event_id: str
    event: str


class Owner(msgspec.Struct):
    """Whose it is under a policy; nobody's: the anonymous visitor. `because` says why, and
    `decided_by` which observations did."""

    owners: list[str]
    because: str
    decided_by: list[Observation]


class Explanation(msgspec.Struct):
    """One event, or one moment on a device, under each policy."""

    event_id: str | None
    anonymous_id: str
    at: str
    user_id: str | None
    policies: dict[str, Owner]


EVENT = """
    SELECT e.timestamp AS timestamp, e.anonymous_id AS anonymous_id, e.user_id AS user_id,
        e.anonymous_id_made AS made
    FROM events AS e
    WHERE {received} AND e.event_id = {{event_id:String}}
    LIMIT 1"""

OBSERVATIONS = """
    SELECT {person} AS person, e.timestamp AS timestamp, e.event_id AS event_id,
        e.event_name AS event
    FROM events AS e
    WHERE {received} AND e.visitor = sipHash64({{anonymous_id:String}})
        AND e.user_id IS NOT NULL AND NOT e.anonymous_id_made AND {linked} AND {where}
    ORDER BY {order}
    LIMIT {each} 1000"""

EARLIEST = "e.timestamp, person, e.event_id"
LATEST = "e.timestamp DESC, person DESC, e.event_id"


def explain(store: Store, ground: Ground, params: ExplainParams) -> Explanation:
    """Whose an event is under each policy, and which observations decided it.

    Raises `NotFound` for an event that is not stored, `InvalidParams` if neither an event nor a
    device and a time are given.
    """
    made, tagged = False, None
    if params.event_id is not None:
        bound = {**ground.bound, "event_id": params.event_id}
        found = store.query(EVENT.format(received=ground.received), bound)
        if not found:
            raise NotFound(f"There is no event {params.event_id!r} in this project.")
        anonymous_id, at_ms = found[0]["anonymous_id"], utc_ms(found[0]["timestamp"])
        tagged, made = found[0]["user_id"], found[0]["made"]
    elif params.anonymous_id is not None and params.at is not None:
        anonymous_id, at_ms = params.anonymous_id, params.at.ms
    else:
        message = "Give event_id, or anonymous_id and at"
        raise InvalidParams(f"{message}.", fieldErrors={"event_id": [message]})
    asked = {**ground.bound, "anonymous_id": anonymous_id, "at": bound_ms(at_ms)}

    def observed(order: str, where: str = "TRUE", each: str = "1 BY person LIMIT") -> list[Row]:
        if made:
            return []
        sql = OBSERVATIONS.format(
            person=ground.person("assumeNotNull(e.user_id)"),
            received=ground.received,
            linked=ground.linked("e"),
            where=where,
            order=order,
            each=each,
        )
        return store.query(sql, asked)

    if tagged is not None:
        person = store.query(
            f"SELECT {ground.person('{tagged:String}')} AS person", {**asked, "tagged": tagged}
        )[0]["person"]
        because = f"The event carries the user {tagged!r}"
        because += f", who is the same person as {person!r}." if person != tagged else "."
        policies = {p: Owner([person], because, []) for p in ("any", "first", "next")}
    else:
        policies = _policies(
            observed(EARLIEST),
            observed(EARLIEST, "e.timestamp >= {at:DateTime64(3, 'UTC')}"),
            observed(LATEST),
        )
    return Explanation(params.event_id, anonymous_id, format_ms(at_ms), tagged, policies)


def _policies(seen: list[Row], later: list[Row], latest: list[Row]) -> dict[str, Owner]:
    """From the first observation of each person, the first at or after the moment, and the last."""
    if not seen:
        because = "Nobody was ever seen on this device: the event is the anonymous visitor's."
        return {policy: Owner([], because, []) for policy in ("any", "first", "next")}
    first = seen[0]
    if later:
        deciding = later[0]
        next_because = (
            f"The first to be seen here from then on is {deciding['person']!r}, at "
            f"{format_utc(deciding['timestamp'])}: the stretch before that login is theirs."
        )
    else:
        deciding = latest[0]
        next_because = (
            f"Nobody was seen here afterwards; the last before was {deciding['person']!r}, at "
            f"{format_utc(deciding['timestamp'])}."
        )
    everybody = ", ".join(repr(row["person"]) for row in seen)
    return {
        "any": Owner(
            sorted(row["person"] for row in seen),
            f"Seen on this device: {everybody}. It counts for each of them.",
            [_observation(row) for row in seen],
        ),
        "first": Owner(
            [first["person"]],
            f"The first ever seen on this device is {first['person']!r}, at "
            f"{format_utc(first['timestamp'])}.",
            [_observation(first)],
        ),
        "next": Owner([deciding["person"]], next_because, [_observation(deciding)]),
    }


def _observation(row: Row) -> Observation:
    return Observation(row["person"], format_utc(row["timestamp"]), row["event_id"], row["event"])


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
        (SELECT uniqExact(person) FROM ({events})) AS persons,
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
    sql = STATS.format(
        events=person_events(ground, {}),
        shared=shared(ground),
        touches=first_touches(ground),
        links=ground.links,
    )
    (row,) = store.query(sql, ground.bound)
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
