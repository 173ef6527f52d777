"""The stitched relation: whose event is it? Every question about people is built on this module.

Nothing here is stored. A policy is a relation of *ownership*: "untagged events on this device,
until this time, are this user's". Joined to the events when the question is asked, it decides the
answer; a later login, or another policy, makes other owners.

    any    every user ever seen on the device owns all of its untagged events
    first  the first user seen there owns them all
    next   each stretch belongs to whoever logs in at its end; what follows the last login, to
           whom logged in last
    last   the latest user seen there owns them all
    none   nobody owns any: they stay the anonymous visitor's

Events that carry a user belong to that user under every policy. What counts at all, and which
users are the same person, is the resolution's to say (`identity/relations.py`).

Relations, beside those of `relations`. A question that names `person_events` or `owned_events` says
what it looks at in `considered` (visitor, user_hash, timestamp, …), with `user_id` for the latter.

    owners            (visitor, person)           whose a device is, by hash; `SEVERAL` if it goes
                                                  from hand to hand
    first_owners      (visitor, person)           who was seen there first; `last_owners`: who last
    ownership         (visitor, user_hash, until) intervals in which shared devices are somebody's;
                                                  they follow each other without a gap
    person_events     (person, is_nobodys, …considered)
                                                  every event once, with the person it belongs to:
                                                  of a user the hash of the id, of an anonymous
                                                  visitor, who `is_nobodys`, `visitor`. Not for
                                                  `any`, under which an event may have several
                                                  owners
    device_owners     (visitor, user_id)          who owns all untagged events of which device
    user_ownership    (visitor, user_id, until)   `ownership` by user id
    owned_events      (owner, …considered)        every event of users, tagged or not. Under `any`
                                                  one event may come for several owners, never twice
                                                  for one

`touches` adds who came from where first, and `lookups` has some of these where owners are kept in
memory.
"""

from collections.abc import Mapping

from threadline.identity.compose import compose, fill
from threadline.identity.lookups import lookups
from threadline.identity.relations import what_counts
from threadline.identity.resolution import END, PROJECT, SEVERAL, USERS, Policy, Resolution
from threadline.identity.touches import (
    FIRST_EVENTS,
    NOBODYS_TOUCHES,
    NOBODYS_TOUCHES_AS_TAGGED,
    UNTAGGED_TOUCHES_BY_NEXT,
    touches,
)

# Devices of the users bound by `user_ids`: persons, and users that are the same.
OF_USERS = f"visitor IN (SELECT visitor FROM links WHERE {PROJECT} AND {USERS})"
# They bring every tagged event within reach of the primary key: it lies on a device of the user or,
# without one, at the user (see schema, `visitor`).
WHERE_USERS_LIE = f"""visitor IN (
        SELECT visitor FROM links WHERE {PROJECT} AND {USERS}
        UNION ALL
        SELECT sipHash64('user', arrayJoin({{user_ids:Array(String)}}))
    )"""

FIRST_OWNERS = """
SELECT visitor, argMin(user_hash, (first_seen, user_id)) AS person
FROM user_links
GROUP BY visitor"""

LAST_OWNERS = """
SELECT visitor, argMax(user_hash, (last_seen, user_id)) AS person
FROM user_links
GROUP BY visitor"""

OWNERS_BY_NEXT = f"""
SELECT visitor, if(least = greatest, least, {SEVERAL}) AS person
FROM devices"""

# On a shared device an interval ends with the last observation in a row of the same person. Who was
# seen last has what comes after, too. Persons seen at the same instant: the smallest takes what
# came before, the greatest what comes after.
OWNERSHIP = f"""
SELECT visitor, user_hash, if(next_hash = 0, {END}, timestamp) AS until
FROM (
    SELECT visitor, user_hash, timestamp,
        lagInFrame(timestamp, 1, {END}) OVER seen AS previous,
        leadInFrame(user_hash) OVER seen AS next_hash
    FROM observations
    WINDOW seen AS (
        PARTITION BY visitor ORDER BY timestamp, user_id
        ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING
    )
)
WHERE next_hash != user_hash AND (next_hash = 0 OR previous != timestamp)"""

USER_OWNERSHIP = """
SELECT o.visitor AS visitor, n.user_id AS user_id, o.until AS until
FROM ownership AS o
INNER JOIN (
    SELECT visitor, user_hash, any(user_id) AS user_id
    FROM user_links
    GROUP BY visitor, user_hash
) AS n ON n.visitor = o.visitor AND n.user_hash = o.user_hash"""

PERSON_EVENTS = """
SELECT if(o.person != 0, o.person, e.seen) AS person, o.person = 0 AND e.untagged AS is_nobodys,
    e.* EXCEPT (seen, untagged)
FROM (
    SELECT $seen AS seen, r.user_hash = 0 AS untagged, r.* EXCEPT (visitor, user_hash)
    FROM considered AS r
) AS e
LEFT ANY JOIN owners AS o ON o.visitor = e.seen"""

PERSON_EVENTS_AS_TAGGED = """
SELECT $seen AS person, r.user_hash = 0 AS is_nobodys, r.* EXCEPT (visitor, user_hash)
FROM considered AS r"""

# An event on a device that goes from hand to hand is in the interval that ends next: a join that
# does not grow with the number of them on a device.
PERSON_EVENTS_BY_NEXT = f"""
SELECT
    multiIf(o.person = 0, e.seen, o.person != {SEVERAL}, o.person, c.user_hash) AS person,
    o.person = 0 AND e.untagged AS is_nobodys, e.* EXCEPT (seen, untagged)
FROM (
    SELECT $seen AS seen, r.user_hash = 0 AS untagged, r.* EXCEPT (visitor, user_hash)
    FROM considered AS r
) AS e
LEFT ANY JOIN owners AS o ON o.visitor = e.seen
ASOF LEFT JOIN ownership AS c
    ON c.visitor = if(o.person = {SEVERAL}, e.seen, 0) AND e.timestamp <= c.until"""

EVERY_OWNER = """
SELECT visitor, user_id
FROM user_links
GROUP BY visitor, user_id"""

FIRST_OWNER = """
SELECT visitor, argMin(user_id, (first_seen, user_id)) AS user_id
FROM user_links
GROUP BY visitor"""

LAST_OWNER = """
SELECT visitor, argMax(user_id, (last_seen, user_id)) AS user_id
FROM user_links
GROUP BY visitor"""

SOLE_OWNER = """
SELECT visitor, any(user_id) AS user_id
FROM user_links
GROUP BY visitor
HAVING min(user_hash) = max(user_hash)"""

TAGGED_EVENTS = """
SELECT $event_person AS owner, r.*
FROM considered AS r
WHERE r.user_hash != 0"""

OWNED_EVENTS = f"""{TAGGED_EVENTS}
UNION ALL
SELECT o.user_id AS owner, e.*
FROM considered AS e
INNER JOIN device_owners AS o ON o.visitor = e.visitor
WHERE e.user_hash = 0"""

OWNED_EVENTS_BY_NEXT = f"""{OWNED_EVENTS}
UNION ALL
SELECT o.user_id AS owner, e.*
FROM considered AS e
ASOF INNER JOIN user_ownership AS o ON o.visitor = e.visitor AND e.timestamp <= o.until
WHERE e.user_hash = 0 AND e.visitor IN (SELECT visitor FROM shared_devices)"""

# For people who write SQL: `owner` is a user id where `known`, else the id of a visitor who is
# nobody's.
STITCHED_EVENTS = """
WITH considered AS (
    SELECT $columns, visitor, user_hash
    FROM counted_events AS e
)
SELECT owner, TRUE AS known, * EXCEPT (owner, visitor, user_hash)
FROM owned_events
UNION ALL
SELECT anonymous_id AS owner, FALSE AS known, * EXCEPT (visitor, user_hash)
FROM considered
WHERE user_id IS NULL
    $nobodys"""
NOBODYS = "AND visitor NOT IN (SELECT visitor FROM user_links)"


OF_ALL: Mapping[str, str] = {
    "first_owners": FIRST_OWNERS,
    "last_owners": LAST_OWNERS,
    "first_events": FIRST_EVENTS,
    "nobodys_touches": NOBODYS_TOUCHES,
    "ownership": OWNERSHIP,
    "user_ownership": USER_OWNERSHIP,
    "person_events": PERSON_EVENTS,
    "owned_events": OWNED_EVENTS,
}
BY_POLICY: Mapping[Policy, Mapping[str, str]] = {
    # A link that comes twice, before parts are merged, changes no minimum.
    "any": {"device_owners": EVERY_OWNER, **touches(owners="user_links")},
    "first": {"device_owners": FIRST_OWNER, "owners": FIRST_OWNERS, **touches()},
    "next": {
        "device_owners": SOLE_OWNER,
        "owners": OWNERS_BY_NEXT,
        "person_events": PERSON_EVENTS_BY_NEXT,
        "owned_events": OWNED_EVENTS_BY_NEXT,
        **touches(UNTAGGED_TOUCHES_BY_NEXT),
    },
    "last": {"device_owners": LAST_OWNER, "owners": LAST_OWNERS, **touches()},
    "none": {
        "person_events": PERSON_EVENTS_AS_TAGGED,
        "owned_events": TAGGED_EVENTS,
        "nobodys_touches": NOBODYS_TOUCHES_AS_TAGGED,
        **touches(untagged=""),
    },
}


def relations(resolution: Resolution, near: str = "") -> dict[str, str]:
    """All relations on this resolution, by name. `near`: as for `what_counts`."""
    texts = {**OF_ALL, **BY_POLICY[resolution.policy]}
    filled = {name: fill(text, resolution.slots) for name, text in texts.items()}
    found = {**what_counts(resolution, near), **filled}
    return found if near else found | lookups(resolution)


def stitched_events(resolution: Resolution, columns: str) -> str:
    """SQL for (owner, known, …columns): every event with whose it is, for people who write SQL.
    `columns` speak of events `e`, and have their `timestamp`, `user_id` and `anonymous_id`."""
    nobodys = "" if resolution.policy == "none" else NOBODYS
    slots = {"columns": columns, "nobodys": nobodys}
    return compose(fill(STITCHED_EVENTS, slots), relations(resolution))
