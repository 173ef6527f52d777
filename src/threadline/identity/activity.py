"""The stitched relation once more, by the half hour: when was which person active?

That hardly needs events. The state `half_hours` keeps, of every half hour of a visitor, the first
timestamp and the last, and whose the last is tells all about it: an interval of ownership that
ended before it ended with its user being seen, and so is in the same half hour of that user. Only
where a day begins within the half hour, or the time that is asked about, its events are read.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from threadline.identity.compose import fill, where
from threadline.identity.resolution import FROM, HALF_HOUR, TO, Resolution, in_range
from threadline.store import Params
from threadline.store.states import HALF_HOUR_MS

# Of each bound of a range: which half hours may lie inside, and which reach across.
INSIDE = {
    "from_": f"half_hour >= intDiv(toUnixTimestamp64Milli({FROM}), {HALF_HOUR_MS})",
    "to": f"half_hour <= intDiv(toUnixTimestamp64Milli({TO}), {HALF_HOUR_MS})",
}
ACROSS = {
    name: f"(began < {bound} AND ended >= {bound})" for name, bound in (("from_", FROM), ("to", TO))
}
# No half hour reaches across the beginning of another.
ON_THE_HALF_HOUR = (":00:00.000", ":30:00.000")

EVERY_EVENT = """
SELECT visitor, user_hash, timestamp, user_hash != 0 AS known$of_events
FROM counted_events AS e
$inside"""
# The last timestamp of a half hour …
ENDS = """
SELECT visitor, user_hash, ended AS timestamp, known$of_stretches
FROM stretches
$stretches"""
# … and of half hours in which something changes every event.
EVENTS = f"""
UNION ALL
SELECT visitor, user_hash, timestamp, user_hash != 0 AS known$of_events
FROM counted_events AS e
WHERE {HALF_HOUR} IN (
    SELECT visitor, half_hour
    FROM stretches
    $stretches
)"""
WITHIN = """
SELECT *
FROM (
    $active
)
$inside"""


class Told(NamedTuple):
    """A column: SQL over a row of `stretches`, and over an event `e`."""

    of_stretch: str
    of_event: str


NOTHING: Mapping[str, Told] = {}
# The first timestamp of a stretch.
FIRST_OF_STRETCH = {"begins": Told("began", "e.timestamp")}


def active(
    resolution: Resolution,
    values: Params,
    changes: Sequence[str] = (),
    everything: bool = False,
    more: Mapping[str, Told] = NOTHING,
) -> str:
    """SQL for `considered` (visitor, user_hash, timestamp, known), as `person_events` takes it: so
    many of the times at which visitors were active that they tell in which stretches of time.
    `known`: as a user.

    Stretches end at `from_` and `to` in `values`, and where one of `changes` holds: conditions on
    a half hour of `stretches`, with its two timestamps `began` and `ended`. What lies outside of
    `from_` and `to` is left out, unless `everything` is wanted. `more`: columns beside those.
    """
    slots = {
        "of_stretches": "".join(f", {each.of_stretch} AS {name}" for name, each in more.items()),
        "of_events": "".join(f", {each.of_event} AS {name}" for name, each in more.items()),
    }
    inside = where([] if everything else in_range("timestamp", values))
    if resolution.as_of:
        return fill(EVERY_EVENT, {"inside": inside, **slots})
    cut = [name for name in ACROSS if name in values and not _on_the_half_hour(values[name])]
    changes = [*(ACROSS[name] for name in cut), *changes]
    overlaps = [] if everything else [INSIDE[name] for name in INSIDE if name in values]
    if not changes:
        sql = fill(ENDS, {"stretches": where(overlaps), **slots})
    else:
        # Nothing needless among the conditions: a constant made reading a third slower.
        apart = f"({' OR '.join(changes)})"
        sql = fill(ENDS, {"stretches": where([*overlaps, f"NOT {apart}"]), **slots}) + "\n"
        sql += fill(EVENTS, {"stretches": where([*overlaps, apart]), **slots})
    return fill(WITHIN, {"active": sql, "inside": inside}) if inside else sql


def _on_the_half_hour(bound: object) -> bool:
    return str(bound).endswith(ON_THE_HALF_HOUR)
