"""`GET /v1/paths`: what do people do before, or after, an event?"""

from collections import Counter
from typing import Annotated, Literal

import msgspec

from threadline.contract.times import EARLIEST_MS, LATEST_MS, within
from threadline.identity.compose import all_of
from threadline.questions.context import Context
from threadline.questions.filters import Filtered
from threadline.questions.parameters import (
    Duration,
    EventName,
    between,
    read_duration_s,
)
from threadline.questions.warned import Limited, cut_off, noted, unknown_events
from threadline.store import Row, bound_ms

MAX_LIMIT = 200


class PathsParams(Filtered, kw_only=True):
    """`from` and `to` speak of the event; the first of each person there counts."""

    event: Annotated[EventName, msgspec.Meta(description="Where paths begin or end.")]
    direction: Annotated[
        Literal["after", "before"], msgspec.Meta(description="What followed, or what led there.")
    ] = "after"
    steps: Annotated[int, msgspec.Meta(ge=1, le=10, description="How far to follow people.")] = 3
    by: Annotated[
        Literal["page", "event"],
        msgspec.Meta(description="`page`: page views by path, all else by name; `event`: by name."),
    ] = "page"
    window: Annotated[
        Duration, msgspec.Meta(description="How long from the event at most: 30m, 12h, 7d, 4w.")
    ] = "1d"
    limit: Annotated[
        int,
        msgspec.Meta(
            ge=1, le=MAX_LIMIT, description="Most frequent paths, and of each step flows."
        ),
    ] = 20


class Path(msgspec.Struct):
    """What these people did, in order of time; shorter where they did no more."""

    path: list[str]
    persons: int
    share: float


class Flow(msgspec.Struct, rename={"from_": "from"}):
    """How many went from here to there. `step`: 1 is next to the event."""

    step: int
    from_: str
    to: str
    persons: int


class Paths(Limited):
    """`persons`: all who did the event. The same thing again and again is one step."""

    event: str
    direction: str
    stitch: str
    persons: int
    rows: list[Path]
    flow: list[Flow]


# What is a step, as text and as the number that is carried and counted.
NODES = {
    "page": "if(e.event_name = '$pageview' AND e.path != '', e.path, toString(e.event_name))",
    "event": "toString(e.event_name)",
}
NODE_IDS = {
    "page": "if(e.event_name = '$pageview' AND e.path != '', cityHash64(e.path), "
    "cityHash64(e.event_name))",
    "event": "cityHash64(e.event_name)",
}
# Being identified is not something that people do, but may be what is asked about.
DONE = """e.timestamp BETWEEN {earliest:DateTime64(3, 'UTC')} AND {latest:DateTime64(3, 'UTC')}
    AND (e.event_name != '$identify' OR e.event_name = {event:String})"""

# Of each direction: which times count, which end of what was passed is kept, what lies on the
# way (0: the event itself) and how far from it the k-th flow is.
AFTER = {
    "within": "e.at BETWEEN a.anchor AND a.anchor + {window_ms:Int64}",
    "kept": "arraySlice(passed, 1, {steps:Int8})",
    "way": "arrayPushFront(path, 0)",
    "step": "k",
}
BEFORE = {
    "within": "e.at BETWEEN a.anchor - {window_ms:Int64} AND a.anchor",
    "kept": "arraySlice(passed, -{steps:Int8})",
    "way": "arrayPushBack(path, 0)",
    "step": "length(path) - k + 1",
}

# One row for all persons (kind 0, no nodes), for each path (kind 1) and for each flow (kind 2: its
# step, from and to). Events are read twice, because few of them are anchors.
SQL = """
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        toUnixTimestamp64Milli(e.timestamp) AS at, $node AS node, $is_anchor AS is_anchor
    FROM counted_events AS e
    WHERE $done
), anchors AS (
    SELECT person, min(at) AS anchor
    FROM person_events
    WHERE is_anchor
    GROUP BY person
), ways AS (
    SELECT
        arrayCompact(
            arrayMap(p -> p.2, arraySort(groupArrayIf((e.at, e.node), e.at != a.anchor)))
        ) AS passed,
        $kept AS path, $way AS way
    FROM person_events AS e
    INNER JOIN anchors AS a ON a.person = e.person
    WHERE $within
    GROUP BY e.person
)
SELECT counted.1 AS kind, counted.2 AS nodes, count() AS persons
FROM ways
ARRAY JOIN arrayConcat(
    [(0, emptyArrayUInt64()), (1, path)],
    arrayMap(k -> (2, [toUInt64($step), way[k], way[k + 1]]), arrayEnumerate(path))
) AS counted
GROUP BY kind, nodes
ORDER BY kind, if(kind = 2, nodes[1], 0), persons DESC, nodes
LIMIT $limit BY kind, if(kind = 2, nodes[1], 0)"""

# No more is read than it takes to meet each of them once.
NAMES = """
SELECT DISTINCT $id AS id, $node AS name
FROM counted_events AS e
WHERE $done AND id IN {ids:Array(UInt64)}
LIMIT $many"""


def ask(context: Context, params: PathsParams) -> Paths:
    """The most frequent ways from the event, or to it, and how people spread over each step.

    What was done at the same time comes in an order that is always the same.
    """
    window_ms = read_duration_s(params.window) * 1000
    values: dict[str, object] = {
        "event": params.event,
        "steps": params.steps,
        "window_ms": window_ms,
        # Nothing outside of this is on anybody's way.
        "earliest": bound_ms(within(params.from_.ms - window_ms if params.from_ else EARLIEST_MS)),
        "latest": bound_ms(within(params.to.ms + window_ms if params.to else LATEST_MS)),
    }
    slots = {
        "node": NODE_IDS[params.by],
        "done": DONE,
        "is_anchor": all_of(["e.event_name = {event:String}", *between(params, values)]),
        "limit": params.limit + 1,
        **(AFTER if params.direction == "after" else BEFORE),
    }
    found, more = _cut(context.ask(SQL, values, slots), params.limit)
    answer = _paths(context, params, found, _names(context, params, found, values))
    if more:
        answer.truncated, answer.warnings = True, noted([cut_off(params.limit, MAX_LIMIT)])
    if not answer.persons:
        answer.warnings = noted(unknown_events(context, {"event": [params.event]}))
    return answer


def _names(
    context: Context, params: PathsParams, found: list[Row], values: dict[str, object]
) -> dict[int, str]:
    """Of every number in these rows; 0 is the event itself."""
    # A path's nodes, and the last two of a flow's numbers.
    ids = {node for row in found for node in row["nodes"][row["kind"] // 2 :]} - {0}
    slots = {
        "id": NODE_IDS[params.by],
        "node": NODES[params.by],
        "done": DONE,
        "many": len(ids),
    }
    named = context.ask(NAMES, {**values, "ids": sorted(ids)}, slots)
    return {0: params.event, **{row["id"]: row["name"] for row in named}}


def _paths(context: Context, params: PathsParams, found: list[Row], names: dict[int, str]) -> Paths:
    of_kind: dict[int, list[Row]] = {0: [], 1: [], 2: []}
    for row in found:
        of_kind[row["kind"]].append(row)
    persons = sum(row["persons"] for row in of_kind[0])
    return Paths(
        params.event,
        params.direction,
        context.resolution.policy,
        persons,
        [
            Path([names[node] for node in row["nodes"]], row["persons"], row["persons"] / persons)
            for row in of_kind[1]
        ],
        [
            Flow(step, names[from_], names[to], row["persons"])
            for row in of_kind[2]
            for step, from_, to in [row["nodes"]]
        ],
    )


def _cut(found: list[Row], limit: int) -> tuple[list[Row], bool]:
    """At most so many paths, and flows of each step, as `SQL` orders them; whether there are
    more."""
    kept: list[Row] = []
    seen: Counter[tuple[int, int]] = Counter()
    for row in found:
        of = (row["kind"], row["nodes"][0] if row["kind"] == 2 else 0)
        seen[of] += 1
        if seen[of] <= limit:
            kept.append(row)
    return kept, len(kept) < len(found)
