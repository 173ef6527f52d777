"""Where everybody came from first, kept in memory: of many people, putting together what the states
say of their devices takes most of the time of a question that looks at everybody's.

A row for a person, under each of the policies that leave an event one owner. What is kept (see
`large_tables`) is exact, as all that `kept` has. Until it is, and in small projects always, first
touches are worked out as `touches` does.

Relations, in the place of those of `touches`, and one that they stand on:

    people_touches  (person, is_user, user_id, known_since, first_touch)
"""

from collections.abc import Mapping

from threadline.identity.compose import compose, fill
from threadline.identity.large_tables import Large
from threadline.identity.lookups import OWNER
from threadline.identity.parts import CHANGED_TOUCHES
from threadline.identity.resolution import END, PROJECT, TOUCH_TYPE, Resolution
from threadline.identity.stitch import relations

TYPES = f"""
SELECT toUInt64(0) AS person, FALSE AS is_user, '' AS user_id, {END} AS known_since,
    toUInt8(0) AS off_page, {END} AS at, '' AS event_id, toUInt64(0) AS visitor,
    toUInt64(0) AS traffic_source"""
MADE = f"""
WITH touched AS (
    SELECT sipHash64('user', user_id) AS person, TRUE AS is_user, user_id, known_since,
        first_touch
    FROM first_touches
    UNION ALL
    SELECT person, FALSE AS is_user, '' AS user_id, {END} AS known_since, first_touch
    FROM nobodys_touches
)
SELECT person, is_user, user_id, known_since, first_touch.off_page AS off_page,
    first_touch.timestamp AS at, first_touch.event_id AS event_id,
    first_touch.visitor AS visitor, first_touch.traffic_source AS traffic_source
FROM touched
$these"""
STATES = f"""
SELECT (SELECT count() FROM visitor_touches WHERE {PROJECT})
    + (SELECT count() FROM user_touches WHERE {PROJECT}) AS rows"""

# Whoever was seen on a device that changed may have got another first touch, also if somebody has
# decided that it is not theirs: what they said there themselves is. What happened without a device
# lies at the user.
CHANGED_PEOPLE = f"""
SELECT DISTINCT $person_hash AS key
FROM (
    SELECT arrayJoin({{devices:Array(UInt64)}}) AS user_hash
    UNION ALL
    SELECT user_hash
    FROM links
    WHERE {PROJECT} AND visitor IN {{devices:Array(UInt64)}}
) AS r"""
PEOPLE = "{newer_people:Array(UInt64)}"
THESE = f"WHERE person IN {PEOPLE}"
TAGGED = f"""
SELECT *
FROM all_tagged_touches
WHERE sipHash64('user', user_id) IN {PEOPLE}"""
UNTAGGED = f"""
$untagged_touches
    AND visitor IN (
        SELECT arrayJoin({PEOPLE})
        UNION ALL
        SELECT visitor FROM user_links WHERE user_hash IN {PEOPLE}
    )"""

PEOPLE_TOUCHES = f"""
SELECT person, is_user, user_id, known_since,
    (off_page, at, event_id, visitor, traffic_source)::{TOUCH_TYPE} AS first_touch
FROM (
    $now
)"""
IN_THEIR_PLACE: Mapping[str, str] = {
    "first_touches": "SELECT user_id, first_touch, known_since FROM people_touches WHERE is_user",
    "first_touch_times": (
        "SELECT user_id, first_touch.timestamp AS first_touched_at, known_since"
        " FROM people_touches WHERE is_user"
    ),
    "nobodys_touches": "SELECT person, first_touch FROM people_touches WHERE NOT is_user",
    "first_events": "SELECT person, first_touch FROM people_touches",
}


def kept_touches() -> dict[str, str]:
    """The relations above."""
    return {"people_touches": fill(PEOPLE_TOUCHES, {"now": LARGE.now}), **IN_THEIR_PLACE}


def looks_at_everybodys(sql: str) -> bool:
    """Whether a statement names any of them."""
    return any(f"{name} AS (" in sql for name in IN_THEIR_PLACE)


def may_be_kept(resolution: Resolution) -> bool:
    """Whether there may be such tables for it."""
    return bool(resolution.kept) and resolution.policy in OWNER


def _made(resolution: Resolution, newer: bool) -> str:
    known = relations(resolution)
    if newer:
        untagged = {"untagged_touches": known["untagged_touches"]}
        known |= {
            "all_tagged_touches": known["tagged_touches"],
            "tagged_touches": fill(TAGGED, {}),
            "untagged_touches": fill(UNTAGGED, untagged),
        }
    return compose(fill(MADE, {"these": THESE if newer else ""}), known)


LARGE = Large(
    name="touches",
    like=TYPES,
    key="person",
    rows=STATES,
    changed=CHANGED_TOUCHES,
    changed_keys=CHANGED_PEOPLE,
    newer_keys="newer_people",
    made=_made,
)
