"""One user, looked up before the question is asked.

What a user owns depends on a handful of devices. Knowing them first turns the stitched relation
into conditions on the primary key: most people have no shared device, and for them no join is left.
The answers are those of `stitch`, by the same claims.
"""

from dataclasses import dataclass
from datetime import datetime

from threadline.contract.errors import NotFound
from threadline.identity.stitch import PROJECT, Policy, Scope, claimed_in_turns
from threadline.store import Store

USER = "{user_id:String}"

DEVICES = f"""
    SELECT l.visitor AS visitor, any(l.anonymous_id) AS anonymous_id,
        uniqExact(l.user_id) > 1 AS shared,
        argMin(l.user_id, (l.first_seen, l.user_id)) = {USER} AS seen_first
    FROM links AS l
    WHERE {PROJECT} AND visitor IN (
        SELECT visitor FROM links WHERE {PROJECT} AND user_id = {USER}
    )
    GROUP BY l.visitor
    ORDER BY anonymous_id"""

KNOWN_SINCE = f"""
    SELECT min(first_touch.timestamp) AS known_since, sipHash64('user', {USER}) AS home
    FROM user_touches
    WHERE {PROJECT} AND user_id = {USER}
    HAVING count() > 0"""


@dataclass(frozen=True)
class Person:
    """A user under a policy.

    `bound` holds the values that the SQL of `events_of` needs. `contested`: some untagged events
    on shared devices are theirs and some are not.
    """

    user_id: str
    policy: Policy
    known_since: datetime
    shared_devices: list[str]
    contested: bool
    bound: dict[str, object]


def find_person(store: Store, project_id: str, user_id: str, policy: Policy) -> Person:
    """Raises `NotFound` if no stored event ever carried this id."""
    bound: dict[str, object] = {"project_id": project_id, "user_id": user_id}
    known = store.query(KNOWN_SINCE, bound)
    if not known:
        raise NotFound(f"There is no user {user_id!r} in this project.")
    devices = store.query(DEVICES, bound)
    whole = {
        "any": [device["visitor"] for device in devices],
        "first": [device["visitor"] for device in devices if device["seen_first"]],
        "next": [device["visitor"] for device in devices if not device["shared"]],
    }[policy]
    shared = [device for device in devices if device["shared"]]
    bound["places"] = [known[0]["home"], *(device["visitor"] for device in devices)]
    bound["whole"] = whole
    bound["contested"] = [device["visitor"] for device in shared]
    return Person(
        user_id,
        policy,
        known[0]["known_since"],
        [device["anonymous_id"] for device in shared],
        policy == "next" and bool(shared),
        bound,
    )


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
    WHERE e.{PROJECT} AND e.visitor IN {{places:Array(UInt64)}} AND (
        e.user_id = {USER}
        OR (e.user_id IS NULL AND e.visitor IN {{whole:Array(UInt64)}})
    )"""
    if not person.contested:
        return plain
    return f"{plain} UNION ALL {claimed_in_turns(CONTESTED, columns)}"
