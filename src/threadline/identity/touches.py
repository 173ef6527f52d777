"""Where everybody came from first: of all that a person owns the first event on a page, else the
first of all. The states have it of each user's own events and of each device's untagged ones, so
the cost grows with devices and users, not with events; only on devices that go from hand to hand
events are read.

Relations, on those of `stitch`:

    first_touches      (user_id, first_touch, known_since)       one row for every user
    first_touch_times  (user_id, first_touched_at, known_since)  the same, of which only when
    owned_touches      (user_id, touch, known)                   what `first_touches` are the
                                                                 first of
    owned_touch_times  (user_id, off_page, at, known)            and `first_touch_times`
    nobodys_touches    (person, first_touch)                     of visitors who are nobody's
    first_events       (person, first_touch)                     of all, as `person_events` names
                                                                 them
"""

from collections.abc import Mapping

from threadline.identity.compose import fill
from threadline.identity.resolution import END, TOUCH, TOUCH_TYPE
from threadline.store.states import OFF_PAGE

FIRST_TOUCHES = """
SELECT user_id, $first, min(known) AS known_since
FROM $touches
GROUP BY user_id"""

OWNED_TOUCHES = """
SELECT user_id, $of_state, known_since AS known
FROM tagged_touches
$untagged"""

UNTAGGED_TOUCHES = f"""
UNION ALL
SELECT o.user_id AS user_id, $of_state, {END} AS known
FROM untagged_touches AS t
INNER JOIN $owners AS o ON o.visitor = t.visitor"""

UNTAGGED_TOUCHES_BY_NEXT = f"""{UNTAGGED_TOUCHES}
UNION ALL
SELECT o.user_id AS user_id, $of_event, {END} AS known
FROM counted_events AS e
ASOF INNER JOIN user_ownership AS o ON o.visitor = e.visitor AND e.timestamp <= o.until
WHERE e.user_hash = 0 AND e.visitor IN (SELECT visitor FROM shared_devices)"""

# The smallest of an array is found faster than min(tuple), which compares value by value.
WHOLE = {
    "touches": "owned_touches",
    "first": "arrayMin(groupArray(touch)) AS first_touch",
    "of_state": "first_touch AS touch",
    "of_event": f"{TOUCH} AS touch",
    "of_kept": f"(off_page, at, event_id, t.visitor, t.traffic_source)::{TOUCH_TYPE} AS touch",
}
# The same, of which only when is wanted.
WHEN = {
    "touches": "owned_touch_times",
    "first": "if(min(off_page), min(at), minIf(at, NOT off_page)) AS first_touched_at",
    "of_state": "first_touch.off_page AS off_page, first_touch.timestamp AS at",
    "of_event": f"{OFF_PAGE} AS off_page, e.timestamp AS at",
    "of_kept": "off_page, at",
}

FIRST_EVENTS = """
SELECT sipHash64('user', user_id) AS person, first_touch
FROM first_touches
UNION ALL
SELECT person, first_touch
FROM nobodys_touches"""

NOBODYS_TOUCHES = """
SELECT t.visitor AS person, arrayMin(groupArray(t.first_touch)) AS first_touch
FROM untagged_touches AS t
WHERE t.visitor NOT IN (SELECT visitor FROM user_links)
GROUP BY t.visitor"""

NOBODYS_TOUCHES_AS_TAGGED = """
SELECT t.visitor AS person, arrayMin(groupArray(t.first_touch)) AS first_touch
FROM untagged_touches AS t
GROUP BY t.visitor"""

TOUCHES: Mapping[str, Mapping[str, str]] = {"first_touches": WHOLE, "first_touch_times": WHEN}


def touches(untagged: str = UNTAGGED_TOUCHES, owners: str = "device_owners") -> dict[str, str]:
    """The relations of `TOUCHES`, and what they are the first of. `untagged`: how untagged events
    come to owners, whom the relation `owners` names."""
    found: dict[str, str] = {}
    for name, of in TOUCHES.items():
        found[name] = fill(FIRST_TOUCHES, of)
        owned = fill(untagged, {**of, "owners": owners})
        found[of["touches"]] = fill(OWNED_TOUCHES, {**of, "untagged": owned})
    return found
