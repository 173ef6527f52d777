"""Relations of `stitch` in which owners are looked up where they are kept (see `kept`), instead of
joined: under the policies that leave each event one owner."""

from collections.abc import Mapping

from threadline.identity.compose import fill
from threadline.identity.resolution import END, SEVERAL, Policy, Resolution
from threadline.identity.touches import TOUCHES
from threadline.store.states import OFF_PAGE

# What `devices` says under a policy; under `next` that may be `SEVERAL`.
OWNER: Mapping[Policy, str] = {"first": "first", "next": "person", "last": "last"}

PERSON_EVENTS = """
SELECT if(e.owner = 0, e.seen, e.owner) AS person, e.owner = 0 AND e.untagged AS is_nobodys,
    e.* EXCEPT (seen, owner, untagged)
FROM (
    SELECT $seen AS seen, $owner_of_seen AS owner, r.user_hash = 0 AS untagged,
        r.* EXCEPT (visitor, user_hash)
    FROM considered AS r
) AS e"""
PERSON_EVENTS_BY_NEXT = f"""
SELECT multiIf(e.owner = 0, e.seen, e.owner != {SEVERAL}, e.owner, $owner_then) AS person,
    e.owner = 0 AND e.untagged AS is_nobodys, e.* EXCEPT (seen, owner, untagged)
FROM (
    SELECT $seen AS seen, $owner_of_seen AS owner, r.user_hash = 0 AS untagged,
        r.* EXCEPT (visitor, user_hash)
    FROM considered AS r
) AS e"""

# Everybody who is owned of has an event that carries the id, which a number does not tell.
FIRST_TOUCHES = f"""
SELECT max(id) AS user_id, $first, min(known) AS known_since
FROM (
    SELECT sipHash64('user', user_id) AS person, user_id AS id, $of_state, known_since AS known
    FROM tagged_touches
    UNION ALL
    SELECT $owner_of_touch AS person, '' AS id, $of_state, {END} AS known
    FROM untagged_touches AS t
    WHERE $owner_of_touch > {SEVERAL}
    $of_shared
)
GROUP BY person"""
OF_SHARED = f"""
UNION ALL
SELECT t.person AS person, '' AS id, $of_kept, {END} AS known
FROM {{kept:Identifier}}.{{shared_touches:Identifier}} AS t"""
# What is in that table (see `kept_tables`).
SHARED_TOUCHES = f"""
SELECT visitor, person, first.1 AS off_page, first.2 AS at, first.3 AS event_id,
    first.4 AS traffic_source
FROM (
    SELECT e.visitor AS visitor, $owner_of_event AS person,
        min(({OFF_PAGE}, e.timestamp, e.event_id, e.traffic_source)) AS first
    FROM counted_events AS e
    WHERE e.user_hash = 0 AND e.visitor IN (SELECT visitor FROM shared_devices)
        $near
    GROUP BY visitor, person
)"""

NOBODYS_TOUCHES = """
SELECT t.visitor AS person, arrayMin(groupArray(t.first_touch)) AS first_touch
FROM untagged_touches AS t
WHERE $owner_of_touch = 0
GROUP BY t.visitor"""

# Where an interval of ownership is kept there are several, and without a gap.
OWNERSHIP = """
SELECT visitor, user_hash, fromUnixTimestamp64Milli(until, 'UTC') AS until
FROM $intervals"""
SHARED_DEVICES = """
SELECT DISTINCT visitor
FROM $intervals"""

OF_TABLES: Mapping[str, str] = {
    "shared_devices": SHARED_DEVICES,
    "ownership": OWNERSHIP,
}


def shared_touches(resolution: Resolution, near: str) -> dict[str, str]:
    """The relation that the table of that name is filled from. `near`: a condition on visitors."""
    assert resolution.kept
    owner = resolution.kept.interval("e.visitor", "e.timestamp")
    slots = {"owner_of_event": owner, "near": near}
    return {"shared_touches": fill(SHARED_TOUCHES, slots)}


def lookups(resolution: Resolution) -> dict[str, str]:
    """Those relations of `stitch` and `touches` that are others where owners are kept."""
    kept, policy = resolution.kept, resolution.policy
    if not kept:
        return {}
    intervals = {"intervals": kept.intervals}
    found = {name: fill(text, intervals) for name, text in OF_TABLES.items()}
    if policy not in OWNER:
        return found
    by_next = policy == "next" and kept.is_shared
    slots = {
        **resolution.slots,
        "owner_of_seen": kept.device("seen", OWNER[policy]),
        "owner_of_touch": kept.device("t.visitor", OWNER[policy]),
        "owner_then": kept.interval("e.seen", "e.timestamp"),
    }
    found["person_events"] = fill(PERSON_EVENTS_BY_NEXT if by_next else PERSON_EVENTS, slots)
    found["nobodys_touches"] = fill(NOBODYS_TOUCHES, slots)
    for name, columns in TOUCHES.items():
        of_shared = fill(OF_SHARED, {**slots, **columns}) if by_next else ""
        found[name] = fill(FIRST_TOUCHES, {**slots, **columns, "of_shared": of_shared})
    return found
