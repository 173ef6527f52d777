"""One user, whose events a question asks for.

What a user owns depends on a handful of devices. Knowing them first turns the stitched relation
into conditions on the primary key: most people have no shared device, and for them no join is left.
The answers are those of `stitch`, by the same claims.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from threadline.contract.errors import NotFound
from threadline.identity.reading import Reading, Reads
from threadline.identity.resolution import PROJECT, USERS, Resolution
from threadline.identity.stitch import THESE_USERS, Scope, claimed_in_turns, passing
from threadline.store import Params, Query, Row

USER = "{user_id:String}"

# Known since the first event that carries the user: as it is kept, and as of then.
KNOWN_SINCE = f"""
    SELECT min(first_touch.timestamp) AS known_since FROM user_touches
    WHERE {PROJECT} AND {USERS}%(people)s HAVING count() > 0"""
WAS_KNOWN_SINCE = f"""
    SELECT min(e.timestamp) AS known_since FROM events AS e
    WHERE %(received)s AND {THESE_USERS.tagged} HAVING count() > 0"""

# Where all their tagged events lie: on devices and, of events without one, at their own places.
FOUND = f"""
    SELECT groupUniqArray(visitor) AS devices,
        arrayMap(u -> sipHash64('user', u), {{user_ids:Array(String)}}) AS homes
    FROM links
    WHERE {PROJECT} AND {USERS}"""

BOTS_EVENTS = f"""
    SELECT count() AS events FROM events AS e
    WHERE e.{PROJECT} AND e.is_bot AND e.{USERS} AND e.visitor IN {{places:Array(UInt64)}}"""

DEVICES = f"""
    SELECT l.visitor AS visitor, any(l.anonymous_id) AS anonymous_id,
        uniqExact(l.user_id) > 1 AS shared,
        argMin(l.user_id, (l.first_seen, l.user_id)) = {USER} AS seen_first
    FROM %(links)s AS l
    WHERE l.visitor IN {{places:Array(UInt64)}}
    GROUP BY l.visitor
    HAVING countIf(l.user_id = {USER}) > 0
    ORDER BY anonymous_id"""


@dataclass(frozen=True)
class Person:
    """A user on a resolution.

    `user_id`: of the person, where the one asked for is an alias. `whole`: devices of which all
    untagged events are theirs; of those of `contested` some are and some are not. `bound` holds
    the values that the SQL of `events_of` needs.
    """

    user_id: str
    resolution: Resolution
    known_since: datetime
    devices: list[str]
    shared_devices: list[str]
    whole: frozenset[int]
    contested: frozenset[int]
    found: dict[str, object]

    @property
    def bound(self) -> dict[str, object]:
        return {**self.found, "whole": sorted(self.whole), "contested": sorted(self.contested)}


def ask_of(
    reading: Reading,
    resolution: Resolution,
    user_id: str,
    queries: Callable[[Person], Sequence[Query]],
) -> tuple[Person, list[list[Row]]]:
    """The person, and the answers to `queries`, which take the person's `events_of`.

    They may be called twice: first with somebody whose devices are theirs alone, as most people's
    are, while it is found out whether they are. Raises `NotFound` if no event that counts ever
    carried this id.
    """
    user, user_ids = same_person(reading, resolution, user_id)
    bound: dict[str, object] = {**resolution.params, "user_id": user, "user_ids": user_ids}
    known_since = WAS_KNOWN_SINCE if resolution.as_of else KNOWN_SINCE
    known_since %= {"received": resolution.received, "people": resolution.people}
    (found,), known = reading.query_all((FOUND, bound), (known_since, bound))
    bound["places"] = found["devices"] + found["homes"]
    if not known:
        raise NotFound(_nobody(reading, resolution, user_id, bound))
    likely = Person(
        user,
        resolution,
        known[0]["known_since"],
        devices=[],
        shared_devices=[],
        whole=frozenset(found["devices"]),
        contested=frozenset(),
        found=bound,
    )
    devices, *answers = reading.query_all(
        (DEVICES % {"links": resolution.links}, bound), *queries(likely)
    )
    shared = [device for device in devices if device["shared"]]
    person = replace(
        likely,
        devices=[device["anonymous_id"] for device in devices],
        shared_devices=[device["anonymous_id"] for device in shared],
        whole=frozenset(
            device["visitor"]
            for device in devices
            if {
                "any": True,
                "first": device["seen_first"],
                "next": not device["shared"],
            }[resolution.policy]
        ),
        contested=frozenset(device["visitor"] for device in shared if passing(resolution)),
    )
    if (person.whole, person.contested) != (likely.whole, likely.contested):
        answers = reading.query_all(*queries(person))
    return person, answers


def _nobody(reads: Reads, resolution: Resolution, user_id: str, bound: Params) -> str:
    """Why there is no such user."""
    (seen,) = reads.query(BOTS_EVENTS, bound)
    if resolution.bots or not seen["events"]:
        return f"There is no user {user_id!r} in this project."
    return (
        f"There is no user {user_id!r} but for {seen['events']} events that are left out, taken"
        " for crawlers' or other programs'; include_bots=true counts them."
    )


def same_person(reads: Reads, resolution: Resolution, user_id: str) -> tuple[str, list[str]]:
    """The user that this one is the same person as, and all users that are, itself included."""
    if not resolution.aliased:
        return user_id, [user_id]
    found = reads.query(
        f"SELECT canonical FROM {resolution.aliases} WHERE user_id = {USER}",
        {**resolution.params, "user_id": user_id},
    )
    person = str(found[0]["canonical"]) if found else user_id
    return person, with_aliases(reads, resolution, [person])


def with_aliases(reads: Reads, resolution: Resolution, persons: list[str]) -> list[str]:
    """These users and all that are the same person as one of them."""
    if not resolution.aliased:
        return persons
    others = reads.query(
        f"SELECT user_id FROM {resolution.aliases} WHERE canonical IN {{persons:Array(String)}}",
        {**resolution.params, "persons": persons},
    )
    return [*persons, *(row["user_id"] for row in others)]


CONTESTED = Scope(
    users=f"c.user_id = {USER}",
    devices="visitor IN {contested:Array(UInt64)}",
    tagged="FALSE",
)


def events_of(person: Person, columns: str, where: str = "TRUE") -> str:
    """SQL for the events this person owns, to which `GROUP BY`, `ORDER BY` and the like may be
    added. `columns` and `where` speak of the events as `e`."""
    plain = f"""
    SELECT {columns}
    FROM events AS e
    WHERE {person.resolution.received} AND {where}
        AND e.visitor IN {{places:Array(UInt64)}}
        AND (e.{USERS} OR (e.user_id IS NULL AND e.visitor IN {{whole:Array(UInt64)}}))"""
    if not person.contested:
        return plain
    in_turns = claimed_in_turns(person.resolution, CONTESTED, columns, where)
    return f"SELECT * FROM ({plain}    UNION ALL{in_turns})"
