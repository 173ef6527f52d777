"""One user, looked up before the question is asked.

What a user owns depends on a handful of devices. Knowing them first turns the stitched relation
into conditions on the primary key: most people have no shared device, and for them no join is left.
The answers are those of `stitch`, by the same claims.
"""

from dataclasses import dataclass
from datetime import datetime

from threadline.contract.errors import NotFound
from threadline.identity.ground import PROJECT, USERS, Ground
from threadline.identity.stitch import THESE_USERS, Scope, claimed_in_turns, passing
from threadline.store import Store

USER = "{user_id:String}"

# Known since the first event that carries the user: as it is kept, and as of then.
KNOWN_SINCE = f"""
    SELECT min(first_touch.timestamp) FROM user_touches
    WHERE {PROJECT} AND {USERS}%(people)s HAVING count() > 0"""
WAS_KNOWN_SINCE = f"""
    SELECT min(e.timestamp) FROM events AS e
    WHERE %(received)s AND {THESE_USERS.tagged} HAVING count() > 0"""

# Where all their tagged events lie: on their devices and at their own places.
FOUND = f"""
    SELECT arrayConcat(
            groupUniqArray(visitor), arrayMap(u -> sipHash64('user', u), {{user_ids:Array(String)}})
        ) AS places,
        (%s) AS known_since
    FROM links
    WHERE {PROJECT} AND {USERS}"""

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
    """A user on a ground.

    `user_id`: of the person, where the one asked for is an alias. `bound` holds the values that the
    SQL of `events_of` needs. `contested`: some untagged events on shared devices are theirs and
    some are not.
    """

    user_id: str
    ground: Ground
    known_since: datetime
    devices: list[str]
    shared_devices: list[str]
    contested: bool
    bound: dict[str, object]


def find_person(store: Store, ground: Ground, user_id: str) -> Person:
    """Raises `NotFound` if no event that counts ever carried this id."""
    person, user_ids = same_person(store, ground, user_id)
    bound: dict[str, object] = {**ground.bound, "user_id": person, "user_ids": user_ids}
    known_since = WAS_KNOWN_SINCE if ground.as_of else KNOWN_SINCE
    known_since %= {"received": ground.received, "people": ground.people}
    (found,) = store.query(FOUND % known_since, bound)
    if found["known_since"] is None:
        raise NotFound(f"There is no user {user_id!r} in this project.")
    bound["places"] = found["places"]
    devices = store.query(DEVICES % {"links": ground.links}, bound)
    bound["whole"] = [
        device["visitor"]
        for device in devices
        if {
            "any": True,
            "first": device["seen_first"],
            "next": not device["shared"],
        }[ground.policy]
    ]
    shared = [device for device in devices if device["shared"]]
    bound["contested"] = [device["visitor"] for device in shared]
    return Person(
        person,
        ground,
        found["known_since"],
        [device["anonymous_id"] for device in devices],
        [device["anonymous_id"] for device in shared],
        passing(ground) and bool(shared),
        bound,
    )


def same_person(store: Store, ground: Ground, user_id: str) -> tuple[str, list[str]]:
    """The user that this one is the same person as, and all users that are, itself included."""
    if not ground.aliased:
        return user_id, [user_id]
    found = store.query(
        f"SELECT canonical FROM {ground.aliases} WHERE user_id = {USER}",
        {**ground.bound, "user_id": user_id},
    )
    person = str(found[0]["canonical"]) if found else user_id
    return person, with_aliases(store, ground, [person])


def with_aliases(store: Store, ground: Ground, persons: list[str]) -> list[str]:
    """These users and all that are the same person as one of them."""
    if not ground.aliased:
        return persons
    others = store.query(
        f"SELECT user_id FROM {ground.aliases} WHERE canonical IN {{persons:Array(String)}}",
        {**ground.bound, "persons": persons},
    )
    return [*persons, *(row["user_id"] for row in others)]


CONTESTED = Scope(
    users=f"c.user_id = {USER}",
    devices="visitor IN {contested:Array(UInt64)}",
    tagged="FALSE",
)


def events_of(person: Person, columns: str) -> str:
    """SQL for the events this person owns. `columns` speaks of the events as `e`."""
    plain = f"""
    SELECT {columns}
    FROM events AS e
    WHERE {person.ground.received}
        AND e.visitor IN {{places:Array(UInt64)}}
        AND (e.{USERS} OR (e.user_id IS NULL AND e.visitor IN {{whole:Array(UInt64)}}))"""
    if not person.contested:
        return plain
    return f"{plain} UNION ALL {claimed_in_turns(person.ground, CONTESTED, columns)}"
