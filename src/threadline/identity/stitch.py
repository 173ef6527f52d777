"""The stitched relation: whose event is it? Every question about people is built on this module.

Nothing here is stored. A policy is a relation of *claims*: "untagged events on this device, until
this moment, count for this user". Joined to the events when the question is asked, it decides the
answer; a later login, or another policy, makes other claims.

    any    every user ever seen on the device claims all of its untagged events
    first  the first user seen there claims them all
    next   each stretch belongs to whoever logs in at its end; what follows the last login, to
           whom logged in last

Events that carry a user belong to that user under every policy. What counts at all, and which
users are the same person, is the resolution's to say (`identity/resolution.py`).
"""

from typing import NamedTuple

from threadline.identity.resolution import PROJECT, TOUCH, USERS, Policy, Resolution

# No event is later than this (see contract).
END = "toDateTime64('2299-01-01 00:00:00', 3, 'UTC')"


class Scope(NamedTuple):
    """The people a question is about: conditions on a claim `c`, on visitors of links, and on
    tagged events `e`."""

    users: str
    devices: str
    tagged: str


EVERYONE = Scope(users="TRUE", devices="TRUE", tagged="TRUE")

# Bound by `user_ids`: persons, and the users that are the same. The devices bring every tagged
# event within reach of the primary key: it lies on a device of the user or, without one, at the
# user's own place (see schema, `visitor`).
THESE_USERS = Scope(
    users=f"c.{USERS}",
    devices=f"visitor IN (SELECT visitor FROM links WHERE {PROJECT} AND {USERS})",
    tagged=f"""e.{USERS} AND e.visitor IN (
        SELECT visitor FROM links WHERE {PROJECT} AND {USERS}
        UNION ALL
        SELECT sipHash64('user', arrayJoin({{user_ids:Array(String)}}))
    )""",
)

EVERY_LINK = """
    SELECT l.visitor AS visitor, l.user_id AS user_id
    FROM %(links)s AS l
    WHERE %(devices)s
    GROUP BY l.visitor, l.user_id"""

FIRST_LINK = """
    SELECT l.visitor AS visitor, argMin(l.user_id, (l.first_seen, l.user_id)) AS user_id
    FROM %(links)s AS l
    WHERE %(devices)s
    GROUP BY l.visitor"""

SOLE_LINK = """
    SELECT l.visitor AS visitor, any(l.user_id) AS user_id
    FROM %(links)s AS l
    WHERE %(devices)s
    GROUP BY l.visitor
    HAVING min(l.user_hash) = max(l.user_hash)"""

# Devices that more than one person was seen on.
SHARED = """
    SELECT l.visitor FROM %(device_users)s AS l WHERE l.least != l.greatest AND %(devices)s"""

# On a shared device a turn ends with the last observation in a row of the same person. Who was seen
# last has what comes after, too. Persons seen at the same instant: the smallest takes what came
# before, the greatest what comes after.
TURNS = f"""
    SELECT visitor, user_hash, if(next_hash = 0, {END}, timestamp) AS until
    FROM (
        SELECT visitor, user_hash, timestamp,
            lagInFrame(timestamp, 1, {END}) OVER seen AS before,
            leadInFrame(user_hash) OVER seen AS next_hash
        FROM %(observations)s
        WINDOW seen AS (
            PARTITION BY visitor ORDER BY timestamp, user_id
            ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING
        )
    )
    WHERE next_hash != user_hash AND (next_hash = 0 OR before != timestamp)"""

# The same with the names of persons.
USERS_TURNS = f"""
    SELECT t.visitor AS visitor, n.user_id AS user_id, t.until AS until
    FROM ({TURNS}) AS t
    INNER JOIN (
        SELECT l.visitor AS visitor, l.user_hash AS user_hash, any(l.user_id) AS user_id
        FROM %(links)s AS l
        WHERE %(devices)s
        GROUP BY l.visitor, l.user_hash
    ) AS n ON n.visitor = t.visitor AND n.user_hash = t.user_hash"""

# The lasting claims once more, as numbers, for questions that count. SEVERAL: a device that goes
# from hand to hand.
SEVERAL = 1
OWNERS: dict[Policy, str] = {
    "first": """
        SELECT l.visitor AS visitor, argMin(l.user_hash, (l.first_seen, l.user_id)) AS person
        FROM %(links)s AS l GROUP BY l.visitor""",
    "next": f"""
        SELECT d.visitor AS visitor, if(d.least = d.greatest, d.least, {SEVERAL}) AS person
        FROM %(device_users)s AS d""",
}

# Claims that hold for all time need only what is known of a device as a whole; the others have to
# look at its events.
LASTING_CLAIMS: dict[Policy, str] = {"any": EVERY_LINK, "first": FIRST_LINK, "next": SOLE_LINK}
PASSING_CLAIMS: dict[Policy, str] = {"next": USERS_TURNS}


def lasting_claims(resolution: Resolution, scope: Scope = EVERYONE) -> str:
    """SQL for (visitor, user_id): who claims all untagged events of which device."""
    return fill(LASTING_CLAIMS[resolution.policy], resolution, scope)


def passing(resolution: Resolution) -> bool:
    """Whether shared devices go from hand to hand under this policy."""
    return resolution.policy in PASSING_CLAIMS


def shared(resolution: Resolution, scope: Scope = EVERYONE) -> str:
    """SQL for (visitor): devices in scope that more than one person was seen on."""
    return fill(SHARED, resolution, scope)


def shared_devices(resolution: Resolution, scope: Scope) -> str:
    """SQL for (anonymous_id): the names of the same devices."""
    return f"""
    SELECT any(l.anonymous_id) AS anonymous_id
    FROM {resolution.links} AS l
    WHERE l.visitor IN ({shared(resolution, scope)})
    GROUP BY l.visitor
    ORDER BY anonymous_id"""


def claimed_in_turns(
    resolution: Resolution, scope: Scope, columns: str, where: str = "TRUE"
) -> str:
    """SQL for `columns` of the untagged events that turns give to users in scope.

    Turns follow each other without a gap, so an event's is the one that ends next: a join that
    does not grow with the number of turns on a device. `columns` may name the claim as `c`.
    """
    return f"""
    SELECT {columns}
    FROM events AS e
    ASOF INNER JOIN ({fill(PASSING_CLAIMS[resolution.policy], resolution, scope)}) AS c
        ON c.visitor = e.visitor AND e.timestamp <= c.until
    WHERE {scope.users} AND {resolution.received} AND e.user_hash = 0 AND {where}
        AND e.visitor IN ({shared(resolution, scope)})"""


def owned_events(resolution: Resolution, scope: Scope, columns: str, where: str = "TRUE") -> str:
    """SQL for (owner, …columns): every event of the users in scope, whether tagged or claimed.

    `columns` and `where` speak of the events as `e`. Under `any` one event may appear for several
    owners, never twice for one.
    """
    parts = [
        f"""
    SELECT {resolution.person("assumeNotNull(e.user_id)")} AS owner, {columns}
    FROM events AS e
    WHERE {resolution.received} AND e.user_id IS NOT NULL AND {scope.tagged} AND {where}""",
        f"""
    SELECT c.user_id AS owner, {columns}
    FROM events AS e
    INNER JOIN (
        SELECT c.* FROM ({lasting_claims(resolution, scope)}) AS c WHERE {scope.users}
    ) AS c ON c.visitor = e.visitor
    WHERE {resolution.received} AND e.user_id IS NULL AND {_of("e", scope.devices)} AND {where}""",
    ]
    if passing(resolution):
        parts.append(claimed_in_turns(resolution, scope, f"c.user_id AS owner, {columns}", where))
    return "\n    UNION ALL".join(parts)


def stitched_events(resolution: Resolution, columns: str) -> str:
    """SQL for (owner, known, …columns): every event with whose it is, for people who write SQL.

    `owner` is a user id where `known`, else the id of a visitor who is nobody's. Under `any` an
    event appears once for each owner.
    """
    return f"""
    SELECT owner, TRUE AS known, * EXCEPT (owner)
    FROM ({owned_events(resolution, EVERYONE, columns)})
    UNION ALL
    SELECT e.anonymous_id AS owner, FALSE AS known, {columns}
    FROM events AS e
    WHERE {resolution.received} AND e.user_id IS NULL
        AND e.visitor NOT IN (SELECT l.visitor FROM {resolution.links} AS l)"""


def plain_events(resolution: Resolution, columns: dict[str, str], where: str = "TRUE") -> str:
    """SQL for the columns (name: expression on events `e`) of every event that counts."""
    named = ", ".join(f"{sql} AS {name}" for name, sql in columns.items()) or "1"
    return f"SELECT {named} FROM events AS e WHERE {resolution.received} AND {where}"


def person_events(resolution: Resolution, columns: dict[str, str], where: str = "TRUE") -> str:
    """SQL for (person, …columns): every event once, with the person it belongs to, for questions
    that count.

    `person` is a UInt64: of a user the hash of the id, of an anonymous visitor `visitor`. `columns`
    (name: expression) and `where` speak of the events as `e`. For `first` and `next` only: under
    `any` an event may have several owners.
    """
    moments = {"seen": seen_at(resolution), "moment": "e.timestamp", **columns}
    return persons(resolution, plain_events(resolution, moments, where))


def seen_at(resolution: Resolution) -> str:
    """SQL for whom an event `e` shows: a user, or a visitor, who may be somebody's."""
    return f"if(e.user_hash = 0, e.visitor, {resolution.person_hash('e.user_hash')})"


def persons(resolution: Resolution, seen: str) -> str:
    """SQL for (person, …columns) from SQL for (seen, moment, …columns): whose each moment is.
    `seen`: as by `seen_at`."""
    owned = f"""
    FROM ({seen}) AS e
    LEFT ANY JOIN ({fill(OWNERS[resolution.policy], resolution, EVERYONE)}) AS o
        ON o.visitor = e.seen"""
    if not passing(resolution):
        return f"""
    SELECT if(o.person != 0, o.person, e.seen) AS person, e.* EXCEPT (seen, moment){owned}"""
    return f"""
    SELECT multiIf(
            o.person = 0, e.seen,
            o.person != {SEVERAL}, o.person,
            c.user_hash
        ) AS person,
        e.* EXCEPT (seen, moment){owned}
    ASOF LEFT JOIN ({fill(TURNS, resolution, EVERYONE)}) AS c
        ON c.visitor = if(o.person = {SEVERAL}, e.seen, 0) AND e.moment <= c.until"""


def first_touches(resolution: Resolution) -> str:
    """SQL for (user_id, first_touch, known_since): one row for every user.

    It comes from the states, so that the cost grows with devices and users, not with events.
    """
    # The smallest of an array is found faster than min(tuple), which compares value by value.
    smallest = "arrayMin(groupArray(touch)) AS first_touch"
    return _firsts(resolution, "first_touch", TOUCH, smallest)


def first_touch_times(resolution: Resolution) -> str:
    """SQL for (user_id, first_touched_at, known_since): the same, of which only when is wanted."""
    return _firsts(
        resolution, "first_touch.timestamp", "e.timestamp", "min(touch) AS first_touched_at"
    )


def _firsts(resolution: Resolution, of_state: str, of_event: str, smallest: str) -> str:
    # A link that comes twice, before parts are merged, changes no minimum.
    claims = resolution.links if resolution.policy == "any" else f"({lasting_claims(resolution)})"
    parts = [
        f"""
        SELECT user_id, {of_state} AS touch, first_touch.timestamp AS known
        FROM {resolution.user_touches}""",
        f"""
        SELECT c.user_id AS user_id, v.{of_state} AS touch, {END} AS known
        FROM {resolution.visitor_touches} AS v
        INNER JOIN {claims} AS c ON c.visitor = v.visitor""",
    ]
    if passing(resolution):
        columns = f"c.user_id AS user_id, {of_event} AS touch, {END} AS known"
        parts.append(claimed_in_turns(resolution, EVERYONE, columns))
    return f"""
    SELECT user_id, {smallest}, min(known) AS known_since
    FROM ({"        UNION ALL".join(parts)})
    GROUP BY user_id"""


def first_events(resolution: Resolution) -> str:
    """SQL for (person, first): as `first_touches`, but of all persons, as `person_events` names
    them."""
    return f"""
    SELECT sipHash64('user', user_id) AS person, first_touch AS first
    FROM ({first_touches(resolution)})
    UNION ALL
    SELECT v.visitor AS person, min(v.first_touch) AS first
    FROM {resolution.visitor_touches} AS v
    WHERE v.visitor NOT IN (SELECT l.visitor FROM {resolution.links} AS l)
    GROUP BY v.visitor"""


def conversions(resolution: Resolution, scope: Scope) -> str:
    """SQL for (user_id, converted_at): the first owned event named `conversion`, where there is
    one."""
    owned = owned_events(resolution, scope, "e.timestamp", "e.event_name = {conversion:String}")
    return f"""
    SELECT owner AS user_id, min(timestamp) AS converted_at
    FROM ({owned})
    GROUP BY owner"""


def persons_conversions(resolution: Resolution) -> str:
    """SQL for (person, converted_at): the same of everyone, as `person_events` names them, and
    under the same policies."""
    named = person_events(resolution, {"at": "e.timestamp"}, "e.event_name = {conversion:String}")
    return f"SELECT person, min(at) AS converted_at FROM ({named}) GROUP BY person"


def fill(sql: str, resolution: Resolution, scope: Scope) -> str:
    """One of the queries above, for these people on this resolution."""
    filled = {
        "links": resolution.links,
        "device_users": resolution.device_users,
        "devices": _of("l", scope.devices),
    }
    # Of a few devices the events themselves are close at hand.
    many = scope is EVERYONE and not resolution.as_of
    observations = resolution.turning_observations if many else resolution.observations
    return sql % {**filled, "observations": observations(SHARED % filled)}


def _of(alias: str, condition: str) -> str:
    """A condition that begins with `visitor`, on the visitor of this table."""
    return condition.replace("visitor IN", f"{alias}.visitor IN", 1)
