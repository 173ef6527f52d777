"""Traffic sources as numbers: source, medium, campaign and channel in one column.

A number is carried through joins and sorted far faster than four names. Of the same timestamp the
smaller number comes first, which is always the same one. Numbers of direct visits are odd.
"""

from collections.abc import Mapping
from typing import Literal

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

Scope = Literal["event", "visit", "first"]
# Of each way to say whose source is meant, what stands before its name.
PREFIXES: Mapping[str, Scope] = {"event_": "event", "visit.": "visit", "first.": "first"}
SCOPED = tuple(f"{prefix}{name}" for prefix in PREFIXES for name in GROUPS)


def scope_of(group: str, plain: Scope) -> tuple[Scope, str]:
    """Whose source a group means, and which part of it. `plain`: where it does not say."""
    for prefix, scope in PREFIXES.items():
        if group.startswith(prefix):
            return scope, group.removeprefix(prefix)
    return plain, group


# Where each visit came from, and where each person came from first, for what joins on them.
VISIT_SOURCES = """
SELECT person, device, fromUnixTimestamp64Milli(started, 'UTC') AS started,
    arrival.2 AS traffic_source
FROM visits"""
FIRST_SOURCES = "SELECT person, first_touch.traffic_source AS traffic_source FROM first_events"
