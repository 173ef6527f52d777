"""What the dictionaries of `kept` are filled from, and what says whether they still are so."""

from collections.abc import Mapping

from threadline.identity.resolution import SEVERAL

WRITTEN = "visitor IN (SELECT sipHash64(arrayJoin({written:Array(String)})))"
# Intervals of a device that goes from hand to hand end with every event of a user.
OTHER_OWNERS = f"""
SELECT countIf(d.person = {SEVERAL} OR (d.person, d.first, d.last) != $kept) AS others
FROM owners_now AS d"""

DEVICES = f"""
SELECT visitor, if(min(user_hash) = max(user_hash), min(user_hash), {SEVERAL}) AS person,
    argMin(user_hash, (first_seen, user_id)) AS first,
    argMax(user_hash, (last_seen, user_id)) AS last
FROM user_links
GROUP BY visitor"""
SHARED = f"""
SELECT visitor
FROM dictionary($devices)
WHERE person = {SEVERAL}"""
ANY_SHARED = f"""
SELECT count() AS shared
FROM dictionary($devices)
WHERE person = {SEVERAL}"""
# The first interval of a device begins before all events.
INTERVALS = """
SELECT visitor, lagInFrame(ends, 1, -1) OVER of_device + 1 AS since, ends AS until, user_hash
FROM (
    SELECT visitor, user_hash, toUnixTimestamp64Milli(until) AS ends
    FROM ownership
)
WINDOW of_device AS (
    PARTITION BY visitor ORDER BY ends ROWS BETWEEN 1 PRECEDING AND CURRENT ROW
)"""

# Columns and layout of each dictionary.
LAYOUTS: Mapping[str, tuple[str, str]] = {
    "devices": (
        "visitor UInt64, person UInt64, first UInt64, last UInt64",
        "LAYOUT(HASHED_ARRAY())",
    ),
    "intervals": (
        "visitor UInt64, since Int64, until Int64, user_hash UInt64",
        "LAYOUT(RANGE_HASHED()) RANGE(MIN since MAX until)",
    ),
}
