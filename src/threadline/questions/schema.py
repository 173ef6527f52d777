"""`GET /v1/schema`: which events there are, with the properties they have, and which traits.

Names, types, counts and times are those of the state `names`. No state keeps values: examples, and
values by how frequent they are, come from the events of some visitors, as many as can be read in
the time that somebody waits who types.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from threadline.contract.times import format_utc
from threadline.identity.compose import all_of, fill
from threadline.identity.resolution import PROJECT
from threadline.questions.context import Context
from threadline.questions.named_values import (
    AS_TEXT,
    IDENTIFY,
    LONGEST,
    OF_SOME,
    Values,
    until,
    values_by_frequency,
)
from threadline.questions.parameters import MAX_LIMIT, EventName, IncludeBots, Limit
from threadline.questions.warned import AnswerWarning, Limited, cut_off, noted
from threadline.store import Row

# Of one event.
MOST_PROPERTIES = 200
EXAMPLES = 5
# Events that are looked at for examples: of one kind, and where there are many, of each of them
# and of all together.
ENOUGH_OF_ONE = 5000
ENOUGH_OF_EACH = 1000
MOST_OF_ALL = 100_000
# By the first character of a value in JSON, as the state keeps it.
TYPES: Mapping[int, str] = {
    ord('"'): "string",
    ord("0"): "number",
    ord("t"): "boolean",
    ord("{"): "object",
    ord("["): "array",
    ord("n"): "null",
}


class SchemaParams(msgspec.Struct, kw_only=True):
    """Everything there is, unless it is narrowed."""

    event: EventName | None = None
    values_of: (
        Annotated[
            str,
            msgspec.Meta(
                description="A dimension, whose values are to be listed instead, the most frequent "
                "first: `source`, `path`, `properties.plan`, `traits.plan`; `event` for names of "
                "events.",
            ),
        ]
        | None
    ) = None
    search: Annotated[
        str,
        msgspec.Meta(
            max_length=200,
            description="Only names, or with `values_of` values, that begin with this text; case "
            "does not matter.",
        ),
    ] = ""
    limit: Annotated[Limit, msgspec.Meta(description="Events, or values.")] = 100
    include_bots: IncludeBots = False


class Property(msgspec.Struct, kw_only=True):
    """A key of properties. `types`: of its values, the most frequent first: string, number,
    boolean, object, array, null. `count`: events that have it. `examples`: frequent values."""

    name: str
    types: list[str]
    count: int
    first_seen: str
    last_seen: str
    examples: list[str]


class Rest(msgspec.Struct):
    """What was left out: how many names, and how often they came."""

    names: int
    count: int


class SchemaEvent(msgspec.Struct, kw_only=True):
    """`other`: properties beyond the 200 most frequent."""

    event: str
    count: int
    first_seen: str
    last_seen: str
    properties: list[Property]
    other: Rest | msgspec.UnsetType = msgspec.UNSET


class Schema(Limited, kw_only=True):
    """Events and traits, the most frequent first. Traits are what `$identify` events bring. With
    `values_of`, `values` instead. `other`: events beyond `limit`."""

    events: list[SchemaEvent] | msgspec.UnsetType = msgspec.UNSET
    other: Rest | msgspec.UnsetType = msgspec.UNSET
    traits: list[Property] | msgspec.UnsetType = msgspec.UNSET
    values: Values | msgspec.UnsetType = msgspec.UNSET


# An empty key is a key; the event itself has the type 0.
NAMES = f"""
WITH named AS (
    SELECT event_name, name, type = 0 AS is_event, sumMap([type], [s.events]) AS types,
        sum(s.events) AS count, min(s.first_seen) AS since, max(s.last_seen) AS until,
        $found AS is_found
    FROM names AS s
    WHERE $conditions
    GROUP BY event_name, name, is_event
), shown AS (
    SELECT event_name, sumIf(count, is_event) AS came, max(is_event AND is_found) AS is_all,
        toUInt64(count() OVER ()) AS all_events, sum(came) OVER () AS all_came
    FROM named
    GROUP BY event_name
    HAVING max(is_found)
    ORDER BY came DESC, event_name
    LIMIT $limit
)
SELECT toString(n.event_name) AS event, n.name AS name, n.is_event AS is_event, n.types AS types,
    n.count AS count, n.since AS since, n.until AS until, s.all_events AS all_events,
    s.all_came AS all_came, toUInt64(count() OVER (PARTITION BY event)) - 1 AS properties,
    sum(n.count) OVER (PARTITION BY event) AS counted
FROM named AS n
INNER JOIN shown AS s ON s.event_name = n.event_name
WHERE n.is_event OR n.is_found OR s.is_all
ORDER BY s.came DESC, event, is_event DESC, count DESC, name
LIMIT {MOST_PROPERTIES + 1} BY event"""
FOUND = """(
            startsWith(lowerUTF8(if(is_event, toString(event_name), name)),
                lowerUTF8({search:String}))
        )"""

ALL_EVENTS = f"SELECT sum(events) AS events FROM names WHERE {PROJECT} AND type = 0"
# Of frequent events few visitors are enough.
ENOUGH = """e.visitor <= transform(
        toString(e.event_name), {named:Array(String)}, {of_each:Array(UInt64)}, toUInt64(0)
    )"""
EXAMPLE_VALUES = f"""
SELECT event, name, value
FROM (
    SELECT toString(e.event_name) AS event,
        arrayJoin(JSONExtractKeysAndValuesRaw(e.properties)) AS each, each.1 AS name,
        {AS_TEXT} AS value
    FROM events AS e
    WHERE $conditions AND {OF_SOME} AND $enough
)
WHERE value NOT IN ('', 'null') AND length(value) <= {LONGEST}
GROUP BY event, name, value
ORDER BY event, name, count() DESC, value
LIMIT {EXAMPLES} BY event, name"""


def ask(context: Context, params: SchemaParams) -> Schema:
    """Names of events, properties and traits; or values of a dimension. Raises `InvalidParams` for
    a dimension that there is not."""
    if params.values_of is not None:
        return _values(context, params, params.values_of)
    rows = _names(context, params)
    events = _events(rows, _examples(context, params, rows))
    traits = next((each.properties for each in events if each.event == IDENTIFY), [])
    answer = Schema(events=events, traits=traits)
    warnings = []
    if rows and rows[0]["all_events"] > len(events):
        left = rows[0]["all_came"] - sum(event.count for event in events)
        answer.other = Rest(rows[0]["all_events"] - len(events), left)
        warnings.append(cut_off(params.limit, MAX_LIMIT))
    if any(event.other for event in events):
        message = (
            f"Some events have more than {MOST_PROPERTIES} properties: of each these are the most "
            "frequent; the others are counted in its other."
        )
        warnings.append(AnswerWarning("truncated", None, message))
    return _said(answer, warnings)


def _said(answer: Schema, warnings: list[AnswerWarning]) -> Schema:
    if warnings:
        answer.truncated = True
    answer.warnings = noted(warnings)
    return answer


def _names(context: Context, params: SchemaParams) -> list[Row]:
    values: dict[str, object] = {"project_id": context.project_id, "search": params.search}
    conditions = _conditions(params, values)
    slots = {
        "conditions": all_of(conditions),
        "found": FOUND if params.search else "TRUE",
        "limit": params.limit,
    }
    return context.reading.query(fill(NAMES, slots), values)


def _conditions(params: SchemaParams, values: dict[str, object]) -> list[str]:
    """On names and on events; what they bind goes into `values`."""
    conditions = [PROJECT, *([] if params.include_bots else ["NOT is_bot"])]
    if params.event is not None:
        values["event"] = params.event
        conditions.append("event_name = {event:String}")
    return conditions


def _examples(
    context: Context, params: SchemaParams, rows: Sequence[Row]
) -> dict[tuple[str, str], list[str]]:
    """Of each event and property."""
    if not rows:
        return {}
    counts = {row["event"]: row["count"] for row in rows if row["is_event"]}
    (total,) = context.reading.query(ALL_EVENTS, {"project_id": context.project_id})
    values: dict[str, object] = {"project_id": context.project_id, "named": list(counts)}
    slots = {"conditions": all_of(_conditions(params, values)), "enough": "TRUE"}
    if len(counts) == 1:
        (count,) = counts.values()
        values["until"] = until(total["events"], count, ENOUGH_OF_ONE)
    else:
        of_each = [
            until(total["events"], count, ENOUGH_OF_EACH, MOST_OF_ALL) for count in counts.values()
        ]
        values |= {"until": max(of_each), "of_each": of_each}
        slots["enough"] = ENOUGH
    found = context.reading.query(fill(EXAMPLE_VALUES, slots), values)
    examples: dict[tuple[str, str], list[str]] = {}
    for row in found:
        examples.setdefault((row["event"], row["name"]), []).append(row["value"])
    return examples


def _events(
    rows: Sequence[Row], examples: Mapping[tuple[str, str], list[str]]
) -> list[SchemaEvent]:
    """Rows of an event lie together, itself first."""
    events: list[SchemaEvent] = []
    for row in rows:
        first_seen, last_seen = format_utc(row["since"]), format_utc(row["until"])
        if row["is_event"]:
            events.append(
                SchemaEvent(
                    event=row["event"],
                    count=row["count"],
                    first_seen=first_seen,
                    last_seen=last_seen,
                    properties=[],
                )
            )
            continue
        events[-1].properties.append(
            Property(
                name=row["name"],
                types=_types(row["types"]),
                count=row["count"],
                first_seen=first_seen,
                last_seen=last_seen,
                examples=examples.get((row["event"], row["name"]), []),
            )
        )
        shown = events[-1].properties
        if len(shown) < row["properties"] and len(shown) == MOST_PROPERTIES:
            count = row["counted"] - events[-1].count - sum(each.count for each in shown)
            events[-1].other = Rest(row["properties"] - len(shown), count)
    return events


def _values(context: Context, params: SchemaParams, of: str) -> Schema:
    found = values_by_frequency(
        context, of, params.event, params.search, params.include_bots, params.limit + 1
    )
    warnings = []
    if len(found.rows) > params.limit:
        found.rows = found.rows[: params.limit]
        warnings.append(cut_off(params.limit, MAX_LIMIT))
    answer = _said(Schema(values=found), warnings)
    if found.share < 1:
        message = (
            f"The values were counted among the events of {found.share:.2%} of the visitors; rare "
            "ones may be missing."
        )
        answer.warnings = [*warnings, AnswerWarning("sampled", "values_of", message)]
    return answer


def _types(counted: tuple[Sequence[int], Sequence[int]]) -> list[str]:
    by_count = sorted(zip(*counted, strict=True), key=lambda each: (-each[1], each[0]))
    return [TYPES[code] for code, _ in by_count if code in TYPES]
