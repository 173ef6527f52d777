"""Values of dimensions by how frequent they are, for who is about to write one.

They are counted among the events of some visitors: of those whose number lies below a limit, which
is one stretch of the table. Of frequent events that takes few visitors, of rare ones more.
"""

import msgspec

from threadline.identity.compose import all_of, fill
from threadline.identity.resolution import PROJECT
from threadline.questions.context import Context
from threadline.questions.dimensions import (
    DID,
    DIMENSIONS,
    TRAITS,
    json_text,
    key_of,
    nearest_dimension,
    scope_of,
)
from threadline.questions.dimensions import NAMES as ALL_DIMENSIONS
from threadline.questions.filters import refused
from threadline.store import Params

# So many events are enough to tell which values are frequent. To find them, no more than that are
# looked at.
ENOUGH = 20_000
MOST_READ = 500_000
# Longer values nobody chooses from a list.
LONGEST = 200
LAST_VISITOR = 2**64 - 1
# One stretch of the table.
OF_SOME = "e.visitor <= {until:UInt64} AND e.event_name IN {named:Array(String)}"

COUNTS = """
SELECT toString(event_name) AS event, sumIf(s.events, $kind) AS having,
    sumIf(s.events, type = 0) AS events
FROM names AS s
WHERE $conditions
GROUP BY event"""

BY_FREQUENCY = f"""
SELECT $value AS value, count() AS count
FROM events AS e
WHERE $conditions AND {OF_SOME}
GROUP BY value
HAVING value != '' AND length(value) <= {LONGEST}
    AND startsWith(lowerUTF8(value), lowerUTF8({{search:String}}))
ORDER BY count DESC, value
LIMIT $limit"""

EVENT_NAMES = """
SELECT toString(event_name) AS value, sum(s.events) AS count
FROM names AS s
WHERE $conditions AND type = 0 AND startsWith(lowerUTF8(event_name), lowerUTF8({search:String}))
GROUP BY value
ORDER BY count DESC, value
LIMIT $limit"""

# What visits and people have of an event.
OF_EVENTS = ("visit.entry_", "visit.exit_", "visit.", "first.", "last.")
IDENTIFY = "$identify"


# A value of `each`, a key and what it holds in JSON, as text.
AS_TEXT = "if(startsWith(each.2, '\"'), JSONExtractString(each.2), each.2)"


class NamedValue(msgspec.Struct):
    """How often it came, among the events that were looked at."""

    value: str
    count: int


class Values(msgspec.Struct):
    """`share`: of the visitors, at least so many were looked at; 1: all of them."""

    of: str
    share: float
    rows: list[NamedValue]


def until(all_events: int, wanted: int, enough: int = ENOUGH, most: int = MOST_READ) -> int:
    """Up to which visitor to look, of a project with so many events, for `enough` of those that
    are `wanted`."""
    share = min(1.0, most / max(1, all_events), enough / max(1, wanted))
    return LAST_VISITOR if share >= 1 else int(share * LAST_VISITOR)


def values_by_frequency(
    context: Context, of: str, event: str | None, search: str, bots: bool, limit: int
) -> Values:
    """Values of a dimension. `event`: of only such events. Raises `InvalidParams`."""
    values: dict[str, object] = {"project_id": context.project_id, "search": search}
    slots = {"conditions": all_of([PROJECT, *([] if bots else ["NOT is_bot"])]), "limit": limit}
    if of in ("event", "event_name", DID):
        return Values(of, 1.0, _rows(context, fill(EVENT_NAMES, slots), values))
    slots["value"] = _value(of, values)
    slots["kind"] = "type != 0 AND name = {key:String}" if "key" in values else "type = 0"
    came = context.reading.query(fill(COUNTS, slots), values)
    if of.startswith(TRAITS):
        event = IDENTIFY
    having = {
        row["event"]: row["having"]
        for row in came
        if row["having"] and event in (None, row["event"])
    }
    last = until(sum(row["events"] for row in came), sum(having.values()))
    values |= {"named": list(having), "until": last}
    rows = _rows(context, fill(BY_FREQUENCY, slots), values)
    return Values(of, round(last / LAST_VISITOR, 4), rows)


def _value(of: str, values: dict[str, object]) -> str:
    """SQL for the value of an event `e`."""
    if key := key_of(of):
        values["key"] = key
        return json_text("e.properties", "{key:String}")
    if scope_of(of) is None:
        raise refused("values_of", f"there is no dimension {of!r}; {_hint(of)}")
    found = DIMENSIONS.get(of_events(of))
    if found is None or found.scope != "event":
        raise refused("values_of", f"the values of {of} cannot be listed")
    return f"toString({found.sql})"


def of_events(of: str) -> str:
    """The dimension of events that one of visits or people is of: `path` for `visit.entry_path`."""
    return of.removeprefix(next((prefix for prefix in OF_EVENTS if of.startswith(prefix)), ""))


def _hint(of: str) -> str:
    near = nearest_dimension(of, ALL_DIMENSIONS)
    return f"did you mean {near}?" if near else f"there are {', '.join(ALL_DIMENSIONS)}"


def _rows(context: Context, sql: str, values: Params) -> list[NamedValue]:
    return [NamedValue(row["value"], row["count"]) for row in context.reading.query(sql, values)]
