"""One user, whose events a question asks for.

What a user owns depends on a handful of devices. Knowing them first turns the stitched relation
into conditions on the primary key: most people have no shared device, and for them no join is left.
The answers are those of `stitch`, by the same intervals of ownership.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from threadline.contract.errors import NotFound
from threadline.identity.compose import bound, compose, fill
from threadline.identity.reading import Reading, Reads
from threadline.identity.resolution import PROJECT, USERS, Resolution
from threadline.identity.stitch import WHERE_USERS_LIE, relations
from threadline.store import Params, Query, Row

# Known since the first event that carries the user: as it is kept, and as of then.
KNOWN_SINCE = f"""
SELECT min(r.known_since) AS known_since FROM user_touches AS r
WHERE {PROJECT} AND {USERS}
    $people
HAVING count() > 0"""
WAS_KNOWN_SINCE = f"""
SELECT min(e.timestamp) AS known_since FROM counted_events AS e
WHERE e.{USERS} AND e.{WHERE_USERS_LIE} HAVING count() > 0"""

# Where all their tagged events lie: on devices and, of events without one, at the users themselves.
FOUND = f"""
SELECT groupUniqArray(visitor) AS devices,
    arrayMap(u -> sipHash64('user', u), {{user_ids:Array(String)}}) AS homes
FROM links
WHERE {PROJECT} AND {USERS}"""

BOTS_EVENTS = f"""
SELECT count() AS events FROM events
WHERE {PROJECT} AND is_bot AND {USERS} AND visitor IN {{lies_at:Array(UInt64)}}"""

NEAR = "r.visitor IN {lies_at:Array(UInt64)}"
DEVICES = """
SELECT visitor, any(anonymous_id) AS anonymous_id,
    uniqExact(user_id) > 1 AS shared,
    argMin(user_id, (first_seen, user_id)) = {user_id:String} AS seen_first,
    argMax(user_id, (last_seen, user_id)) = {user_id:String} AS seen_last
FROM user_links
GROUP BY visitor
HAVING countIf(user_id = {user_id:String}) > 0
ORDER BY anonymous_id"""

# What a question about the person looks at: every event they own. Not by way of `counted_events`:
# so many columns take a millisecond more to plan wherever they pass.
OWNED = f"""
SELECT *, visitor, user_hash, traffic_source
FROM events
WHERE {PROJECT}
    $people
    $received
    AND visitor IN {{lies_at:Array(UInt64)}}
    AND ({USERS} OR (user_id IS NULL AND visitor IN {{exclusive:Array(UInt64)}}))"""
OWNED_BY_NEXT = f"""{OWNED}
UNION ALL
SELECT e.*
FROM counted_events AS e
ASOF INNER JOIN user_ownership AS o ON o.visitor = e.visitor AND e.timestamp <= o.until
WHERE o.user_id = {{user_id:String}} AND e.user_hash = 0
    AND e.visitor IN {{shared:Array(UInt64)}}"""
NOTHING: Mapping[str, str] = {}
SHARED = "SELECT arrayJoin({shared:Array(UInt64)}) AS visitor"
NEAR_SHARED = "r.visitor IN {shared:Array(UInt64)}"


@dataclass(frozen=True)
class Person:
    """A user on a resolution.

    `user_id`: of the person, where the one asked for is an alias. `exclusive`: devices of which all
    untagged events are theirs; of those of `shared` some are and some are not. `found`: values of
    the devices and users that were looked up.
    """

    user_id: str
    resolution: Resolution
    known_since: datetime
    devices: list[str]
    shared_devices: list[str]
    exclusive: frozenset[int]
    shared: frozenset[int]
    found: dict[str, object]

    @property
    def values(self) -> dict[str, object]:
        """What statements about them bind."""
        return {**self.found, "exclusive": sorted(self.exclusive), "shared": sorted(self.shared)}

    def compose(self, sql: str, beside: Mapping[str, str]) -> str:
        """A statement that names `owned_events`: every event of theirs, all columns; and perhaps
        relations of `beside`."""
        return compose(
            sql,
            {
                **relations(self.resolution, NEAR_SHARED),
                **beside,
                "shared_devices": SHARED,
                "owned_events": fill(
                    OWNED_BY_NEXT if self.shared else OWNED, self.resolution.slots
                ),
            },
        )


def ask_of(
    reading: Reading,
    resolution: Resolution,
    user_id: str,
    queries: Callable[[Person], Sequence[Query]],
    beside: Mapping[str, str] = NOTHING,
) -> tuple[Person, list[list[Row]]]:
    """The person, and the answers to `queries`, statements about their `owned_events` and the
    relations `beside`.

    They may be called twice: first with somebody whose devices are theirs alone, as most people's
    are, while it is found out whether they are. Raises `NotFound` if no event that counts ever
    carried this id.
    """
    likely = _find(reading, resolution, user_id)
    of_devices = compose(DEVICES, relations(resolution, NEAR))
    devices, *answers = reading.query_all(
        (of_devices, bound(of_devices, likely.found)), *_composed(likely, queries, beside)
    )
    person = _with_devices(likely, devices)
    if (person.exclusive, person.shared) != (likely.exclusive, likely.shared):
        answers = reading.query_all(*_composed(person, queries, beside))
    return person, answers


def _composed(
    person: Person, queries: Callable[[Person], Sequence[Query]], beside: Mapping[str, str]
) -> list[Query]:
    """With the relations they name, and the values these bind."""
    composed = [(person.compose(sql, beside), values) for sql, values in queries(person)]
    return [(sql, bound(sql, {**person.values, **values})) for sql, values in composed]


def _find(reading: Reading, resolution: Resolution, user_id: str) -> Person:
    """As if all their devices were theirs alone, but for `none`."""
    user = resolution.person(user_id)
    values: dict[str, object] = {
        **resolution.params,
        "user_id": user,
        "user_ids": resolution.same_people([user]),
    }
    known_since = fill(WAS_KNOWN_SINCE if resolution.as_of else KNOWN_SINCE, resolution.slots)
    (found,), known = reading.query_all(
        (FOUND, values), (compose(known_since, relations(resolution)), values)
    )
    values["lies_at"] = found["devices"] + found["homes"]
    if not known:
        raise NotFound(_nobody(reading, resolution, user_id, values))
    return Person(
        user,
        resolution,
        known[0]["known_since"],
        devices=[],
        shared_devices=[],
        exclusive=frozenset(found["devices"] if resolution.policy != "none" else ()),
        shared=frozenset(),
        found=values,
    )


def _with_devices(person: Person, devices: list[Row]) -> Person:
    """The same, with what is known of their devices."""
    policy = person.resolution.policy
    shared = [device for device in devices if device["shared"]]
    return replace(
        person,
        devices=[device["anonymous_id"] for device in devices],
        shared_devices=[device["anonymous_id"] for device in shared],
        exclusive=frozenset(
            device["visitor"]
            for device in devices
            if {
                "any": True,
                "first": device["seen_first"],
                "next": not device["shared"],
                "last": device["seen_last"],
                "none": False,
            }[policy]
        ),
        shared=frozenset(device["visitor"] for device in shared if policy == "next"),
    )


def _nobody(reads: Reads, resolution: Resolution, user_id: str, values: Params) -> str:
    """Why there is no such user."""
    (seen,) = reads.query(BOTS_EVENTS, values)
    if resolution.bots or not seen["events"]:
        return f"There is no user {user_id!r} in this project."
    return (
        f"There is no user {user_id!r} but for {seen['events']} events that are left out, taken"
        " for crawlers' or other programs'; include_bots=true counts them."
    )
