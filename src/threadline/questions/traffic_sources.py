"""Traffic sources as numbers: source, medium, campaign and channel in one column.

A number is carried through joins and sorted far faster than four names. Of the same timestamp the
smaller number comes first, which is always the same one. Numbers of direct visits are odd.
"""

from collections.abc import Mapping

from threadline.identity.resolution import PROJECT
from threadline.identity.visits import DIRECT

DIRECT_NAMES = {"source": "direct", "medium": "direct", "campaign": "", "channel": "Direct"}
# What has fallen out of the time in which touches are looked for.
OUTSIDE = "0"
OUTSIDE_WINDOW = "outside_window"

# The names behind the numbers: (traffic_source, source, medium, campaign, channel).
NAMED_SOURCES: Mapping[str, str] = {
    "named_sources": f"""\
SELECT traffic_source, source, medium, campaign, channel FROM traffic_sources WHERE {PROJECT}
UNION ALL
SELECT {DIRECT}, 'direct', 'direct', '', 'Direct'
UNION ALL
SELECT {OUTSIDE}, '{OUTSIDE_WINDOW}', '{OUTSIDE_WINDOW}', '{OUTSIDE_WINDOW}', '{OUTSIDE_WINDOW}'"""
}

GROUPS = ("source", "medium", "campaign", "channel")
