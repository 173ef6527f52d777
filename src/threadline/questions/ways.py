"""The ways that people go before or after an event: what a step is, and the relation `ways`, on
which `paths` counts, and of which `paths_people` names the people."""

from collections.abc import Iterable
from string import Template
from typing import Annotated, Literal, NamedTuple

import msgspec

from threadline.contract.times import EARLIEST_MS, LATEST_MS, within
from threadline.identity.compose import all_of
from threadline.identity.visits import Wanted
from threadline.questions.conditions import ON_PAGE
from threadline.questions.context import Context
from threadline.questions.filters import Filtered, refused
from threadline.questions.named_events import NamedEvent, event_text, read_event
from threadline.questions.parameters import Duration, between, in_time, read_duration_s
from threadline.questions.warned import AnswerWarning, unknown_events
from threadline.store import bound_ms


class PathsAsked(Filtered, kw_only=True):
    """`from` and `to` speak of the event that paths begin with, or end with; the first of each
    person there counts."""

    event: Annotated[str, event_text("Where paths begin, or end, as `direction` says.")] | None = (
        None
    )
    direction: Annotated[
        Literal["after", "before"], msgspec.Meta(description="What followed, or what led there.")
    ] = "after"
    start: (
        Annotated[str, event_text("What followed it; with `end`, the ways from here to there.")]
        | None
    ) = None
    end: Annotated[str, event_text("What led there. A page: `/pricing`.")] | None = None
    steps: Annotated[int, msgspec.Meta(ge=1, le=10, description="How far to follow people.")] = 3
    by: Annotated[
        Literal["page", "event"],
        msgspec.Meta(description="`page`: page views by path, all else by name; `event`: by name."),
    ] = "page"
    window: Annotated[
        Duration, msgspec.Meta(description="How long from the event at most: 30m, 12h, 7d, 4w.")
    ] = "1d"
    within: Annotated[
        Literal["window", "visit"],
        msgspec.Meta(description="`visit`: and only in the visit that went on there then."),
    ] = "window"
    loops: Annotated[
        Literal["keep", "merge"],
        msgspec.Meta(description="`merge`: A, B, A, B is shown as A, B; loops of up to 5 steps."),
    ] = "keep"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.event is None and self.start is None and self.end is None:
            raise refused("event", "required")
        if self.event is not None and (self.start is not None or self.end is not None):
            raise refused("event", "goes without start and end; leave it out, or them")
        if self.event is None and self.direction == "before":
            raise refused("direction", "goes with event; start and end say it themselves")


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
DONE = Template(
    """e.timestamp BETWEEN {earliest:DateTime64(3, 'UTC')} AND {latest:DateTime64(3, 'UTC')}
    AND (e.event_name != '$$identify' OR $exempt)"""
)

# What stands for something else than a step: the event, the end of ways to there, and what is left
# out of a long way.
EVENT, END, MORE = 0, 1, 2

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

# Events are read twice, because few of them are anchors. `$who`: what else of each person.
WAYS = """
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        toUnixTimestamp64Milli(e.timestamp) AS at, $node AS node, $is_anchor AS is_anchor$besides
    FROM counted_events AS e
    WHERE $done
), anchors AS (
    SELECT person, min(at) AS anchor$of_device
    FROM person_events
    WHERE is_anchor
    GROUP BY person
$starts
), ways AS (
    SELECT$who
        $passed
        $kept AS path, $way AS way
    FROM person_events AS e
    INNER JOIN $anchors AS a ON a.person = e.person
    WHERE $within
    GROUP BY e.person
)"""
PASSED = """arrayCompact(
    arrayMap(p -> p.2, arraySort(groupArrayIf((e.at, e.node), e.at != a.anchor$on_way)))
) AS $name,"""

# From here to there: up to the first time that they were there. Kind 3: who was.
PASSED_TO_END = """arraySort(
    groupArrayIf((e.at, e.node, e.is_end), e.at != a.anchor$on_way)
) AS done,
arrayFirstIndex(p -> p.3, done) AS ended,
arrayCompact(arrayMap(p -> p.2, arraySlice(done, 1, greatest(ended, 1) - 1))) AS $name,"""
TO_END = {
    **AFTER,
    "kept": f"""if(
        length(passed) > {{steps:Int8}},
        arrayPushBack(arraySlice(passed, 1, {{steps:Int8}}), {MORE}), passed
    )""",
    "way": f"arrayPushBack(arrayPushFront(path, {EVENT}), {END})",
}
# The visit that went on when and where the anchor was; none: nothing is on the way but that.
IN_VISIT = """), visited AS (
    SELECT n.person AS person, n.anchor AS anchor, n.device AS device, v.started AS started,
        v.ended AS ended
    FROM anchors AS n
    ASOF LEFT JOIN visits AS v
        ON v.person = n.person AND v.device = n.device AND n.anchor >= v.started"""
OF_VISIT = """AND (
        e.at = a.anchor
        OR (e.device = a.device AND e.on_page AND a.anchor <= a.ended
            AND e.at BETWEEN a.started AND a.ended)
    )"""

# Of what was passed in the end, loops are taken away where they close: what came last is what came
# before it once more. So many things are looked at, of which steps are kept.
MOST_PASSED = 200
LONGEST_LOOP = 5
LOOP = Template("""length(way) + 1 >= 2 * $n
        AND arraySlice($next, -$n) = arraySlice($next, -2 * $n, $n),
    arraySlice($next, 1, length(way) + 1 - $n)""")
NEXT = "arrayPushBack(way, node)"


def _merged(passed: str) -> str:
    loops = ",\n".join(LOOP.substitute(n=n, next=NEXT) for n in range(2, LONGEST_LOOP + 1))
    return (
        f"arrayFold(\n    (way, node) -> multiIf({loops},\n    {NEXT}),\n"
        f"    {passed}, emptyArrayUInt64()\n) AS passed,"
    )


# No more is read than it takes to meet each of them once.
NAMES = """
SELECT DISTINCT $id AS id, $node AS name
FROM counted_events AS e
WHERE $done AND id IN {ids:Array(UInt64)}
LIMIT $many"""


class WaysRequest(NamedTuple):
    """`anchor`: what paths begin or end with; `end`: what ways lead to. `done`: which events are
    steps."""

    anchor: NamedEvent
    end: NamedEvent | None
    is_after: bool
    done: str


class Walked(NamedTuple):
    """What asks for `ways`: what was read of the parameters, what is bound, and what stands for
    structure. `visits`: the time of those that are needed."""

    asked: WaysRequest
    values: dict[str, object]
    slots: dict[str, object]
    visits: Wanted | None

    def unknown(self, context: Context, params: PathsAsked) -> list[AnswerWarning]:
        """What there is to say of events that never came, where nobody is found."""
        parameter = "end" if params.start is None and params.end else "start"
        named = {"event" if params.event else parameter: [self.asked.anchor.event]}
        if self.asked.end:
            named["end"] = [self.asked.end.event]
        return unknown_events(context, named)


def walked(context: Context, params: PathsAsked) -> Walked:
    """Raises `InvalidParams`."""
    window_ms = read_duration_s(params.window) * 1000
    values: dict[str, object] = {
        "steps": params.steps,
        "window_ms": window_ms,
        # Nothing outside of this is on anybody's way.
        "earliest": bound_ms(within(params.from_.ms - window_ms if params.from_ else EARLIEST_MS)),
        "latest": bound_ms(within(params.to.ms + window_ms if params.to else LATEST_MS)),
    }
    asked = _read(context, params, values)
    slots = _slots(context, params, asked, values)
    visits = in_time((), values, running=True) if params.within == "visit" else None
    return Walked(asked, values, slots, visits)


def _read(context: Context, params: PathsAsked, values: dict[str, object]) -> WaysRequest:
    def read(parameter: str) -> NamedEvent:
        text = getattr(params, parameter)
        if text.startswith("/") and params.by == "page" and parameter != "event":
            values[parameter] = text
            page = f"(e.event_name = '$pageview' AND e.path = {{{parameter}:String}})"
            return NamedEvent(text, "$pageview", page, False)
        return read_event(context, text, parameter, values)

    name = "event" if params.event is not None else "start" if params.start is not None else "end"
    anchor = read(name)
    end = read("end") if name == "start" and params.end is not None else None
    exempt = anchor.condition + (f" OR {end.condition}" if end else "")
    is_after = params.direction == "after" if name == "event" else name == "start"
    return WaysRequest(anchor, end, is_after, DONE.substitute(exempt=exempt))


def _slots(
    context: Context, params: PathsAsked, asked: WaysRequest, values: dict[str, object]
) -> dict[str, object]:
    in_visit, besides = params.within == "visit", dict[str, str]()
    anchor = asked.anchor.condition
    if context.narrowing.of_visits:
        anchor = f"{anchor} AND {ON_PAGE}"
    is_anchor = all_of([anchor, *between(params, values)])
    done, on_way = asked.done, ""
    if asked.end:
        besides["is_end"] = asked.end.condition
    if context.narrowing.events:
        # Where ways begin and end is not for the filters to say.
        on_way = " AND (e.on_way OR e.is_end)" if asked.end else " AND e.on_way"
        also = [all_of(context.narrowing.events), is_anchor, *besides.values()]
        besides["on_way"] = also[0]
        done = f"{done}\n    AND ({' OR '.join(f'({condition})' for condition in also)})"
    if in_visit:
        besides |= {"device": "e.visitor", "on_page": ON_PAGE}
    sides = TO_END if asked.end else AFTER if asked.is_after else BEFORE
    return {
        **sides,
        "who": "",
        "node": NODE_IDS[params.by],
        "done": done,
        "is_anchor": is_anchor,
        "besides": "".join(f",\n{sql} AS {name}" for name, sql in besides.items()),
        "of_device": ", argMin(device, (at, device)) AS device" if in_visit else "",
        "starts": IN_VISIT if in_visit else "",
        "anchors": "visited" if in_visit else "anchors",
        "passed": _passed(params, asked, on_way),
        "within": f"{sides['within']}\n    {OF_VISIT}" if in_visit else sides["within"],
    }


def _passed(params: PathsAsked, asked: WaysRequest, on_way: str) -> str:
    is_merged = params.loops == "merge"
    passed = Template(PASSED_TO_END if asked.end else PASSED).substitute(
        on_way=on_way, name="compacted" if is_merged else "passed"
    )
    if not is_merged:
        return passed
    most = f"1, {MOST_PASSED}" if asked.is_after else f"-{MOST_PASSED}"
    return f"{passed}\n{_merged(f'arraySlice(compacted, {most})')}"


def names(
    context: Context, params: PathsAsked, walk: Walked, nodes: Iterable[int]
) -> dict[int, str]:
    """Of each of these numbers."""
    asked = walk.asked
    own = {EVENT: asked.anchor.text, END: asked.end.text if asked.end else "", MORE: "…"}
    ids = set(nodes) - own.keys()
    slots = {
        "id": NODE_IDS[params.by],
        "node": NODES[params.by],
        "done": asked.done,
        "many": len(ids),
    }
    named = context.ask(NAMES, {**walk.values, "ids": sorted(ids)}, slots)
    return {**own, **{row["id"]: row["name"] for row in named}}
