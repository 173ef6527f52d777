"""`GET /v1/paths`: what do people do before, or after, an event?"""

from collections import Counter
from string import Template
from typing import Annotated

import msgspec

from threadline.questions.answers import Measured
from threadline.questions.compare import compared
from threadline.questions.compared_rows import ComparedRows
from threadline.questions.context import Context
from threadline.questions.parameters import CompareText
from threadline.questions.warned import Limited, cut_off, noted
from threadline.questions.ways import WAYS, PathsAsked, Walked, names, walked
from threadline.store import Row

MAX_LIMIT = 200


class PathsParams(PathsAsked, kw_only=True):
    """`from` and `to` speak of the event that paths begin with, or end with; the first of each
    person there counts."""

    compare: CompareText | None = None
    limit: Annotated[
        int,
        msgspec.Meta(
            ge=1, le=MAX_LIMIT, description="Most frequent paths, and of each step flows."
        ),
    ] = 20


class Path(msgspec.Struct):
    """What these people did, in order of time; shorter where they did no more. With `start` and
    `end` what they did in between; `…` stands for what was more than `steps`."""

    path: list[str]
    persons: int
    share: float
    previous: Measured = msgspec.UNSET
    change: Measured = msgspec.UNSET


class Flow(msgspec.Struct, rename={"from_": "from"}):
    """How many went from here to there. `step`: 1 is next to the event."""

    step: int
    from_: str
    to: str
    persons: int
    previous: Measured = msgspec.UNSET
    change: Measured = msgspec.UNSET


class Paths(Limited, kw_only=True):
    """`persons`: all who did the event. The same thing again and again is one step. With `start`
    and `end`, `reached`: those of them who got there; only their ways are here. With `compare`,
    `previous`: the same of the other time, and `change`: by what part it has become more; of
    `persons` and `reached` beside them, of paths and flows in each row."""

    event: str
    end: str | msgspec.UnsetType = msgspec.UNSET
    direction: str
    stitch: str
    persons: int
    reached: int | msgspec.UnsetType = msgspec.UNSET
    rows: list[Path]
    flow: list[Flow]
    previous: Measured = msgspec.UNSET
    change: Measured = msgspec.UNSET


# One row for all persons (kind 0, no nodes), for each path (kind 1) and for each flow (kind 2: its
# step, from and to).
SQL = f"""{WAYS}
SELECT counted.1 AS kind, counted.2 AS nodes, count() AS persons
FROM ways
ARRAY JOIN $counted AS counted
GROUP BY kind, nodes
ORDER BY kind, if(kind = 2, nodes[1], 0), persons DESC, nodes
LIMIT $limit BY kind, if(kind = 2, nodes[1], 0)"""
COUNTED = Template(
    """arrayConcat(
    [(0, emptyArrayUInt64()), (1, path)],
    arrayMap(k -> (2, [toUInt64($step), way[k], way[k + 1]]), arrayEnumerate(path))
)"""
)
# Kind 3: who got there.
COUNTED_TO_END = """arrayConcat(
    [(0, emptyArrayUInt64())],
    if(ended > 0, [(3, emptyArrayUInt64()), (1, path)], []),
    if(
        ended > 0,
        arrayMap(k -> (2, [toUInt64(k), way[k], way[k + 1]]), arrayEnumerate(arrayPopFront(way))),
        []
    )
)"""


@compared(
    ComparedRows(Path, ("persons", "share")),
    ComparedRows(Flow, ("persons",), name="flow", limit_each="step"),
    most=MAX_LIMIT,
    whole={"": ("persons", "reached")},
)
def ask(context: Context, params: PathsParams) -> Paths:
    """The most frequent ways from the event, or to it, and how people spread over each step.

    What was done at the same time comes in an order that is always the same. Raises
    `InvalidParams`.
    """
    walk = walked(context, params)
    counted = COUNTED_TO_END if walk.asked.end else COUNTED.substitute(step=walk.slots["step"])
    slots = {**walk.slots, "counted": counted, "limit": params.limit + 1}
    found, more = _cut(context.ask(SQL, walk.values, slots, visits=walk.visits), params.limit)
    # A path's nodes, and the last two of a flow's numbers.
    nodes = {node for row in found for node in row["nodes"][row["kind"] // 2 :]}
    answer = _paths(context, walk, found, names(context, params, walk, nodes))
    warnings = [cut_off(params.limit, MAX_LIMIT)] if more else []
    if more:
        answer.truncated = True
    if not answer.rows:
        warnings += walk.unknown(context, params)
    answer.warnings = noted(warnings)
    return answer


def _paths(context: Context, walk: Walked, found: list[Row], named: dict[int, str]) -> Paths:
    asked = walk.asked
    of_kind: dict[int, list[Row]] = {0: [], 1: [], 2: [], 3: []}
    for row in found:
        of_kind[row["kind"]].append(row)
    persons = sum(row["persons"] for row in of_kind[0])
    return Paths(
        event=asked.anchor.text,
        end=asked.end.text if asked.end else msgspec.UNSET,
        direction="after" if asked.is_after else "before",
        stitch=context.resolution.policy,
        persons=persons,
        reached=sum(row["persons"] for row in of_kind[3]) if asked.end else msgspec.UNSET,
        rows=[
            Path([named[node] for node in row["nodes"]], row["persons"], row["persons"] / persons)
            for row in of_kind[1]
        ],
        flow=[
            Flow(step, named[from_], named[to], row["persons"])
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
