"""Traffic sources as numbers: source, medium and campaign in one column.

A number is carried through joins and sorted far faster than three names. Of the same timestamp the
smaller number comes first, which is always the same one. Numbers of direct visits are odd.
"""

from collections.abc import Mapping

from threadline.identity.resolution import PROJECT

# As events have it that say no more.
DIRECT = "cityHash64('direct', 'direct', '') * 2 + 1"
# Of a session without anything else.
INTERNAL = "0"

# The names behind the numbers: (place, source, medium, campaign).
NAMED_SOURCES: Mapping[str, str] = {
    "named_sources": f"""\
SELECT traffic_source, source, medium, campaign FROM traffic_sources WHERE {PROJECT}
UNION ALL
SELECT {DIRECT}, 'direct', 'direct', ''
UNION ALL
SELECT {INTERNAL}, 'internal', 'internal', ''"""
}

GROUPS = ("source", "medium", "campaign")
