"""`GET /v1/sources`: where visits and people come from."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from threadline.identity.compose import where
from threadline.questions.answers import Compared, Group, grouped_rows
from threadline.questions.compare import compared
from threadline.questions.compared_rows import ComparedRows
from threadline.questions.context import Context
from threadline.questions.filters import Filtered, refused
from threadline.questions.finished import COUNT, also_nobodys, counting, people, summed
from threadline.questions.ordering import Order, order_by
from threadline.questions.parameters import CompareText, any_dimension, between, in_time
from threadline.questions.scoped import ALL_GROUPS, Scope, Scoped, read_dimensions, scoped
from threadline.questions.stats_metrics import DEVICE
from threadline.questions.warned import Limited, cut_off, noted
from threadline.store import Row
from threadline.store.states import OFF_PAGE

Breakdown = Literal["source_medium", "source", "campaign", "channel", "term", "content"]
COLUMNS: dict[Breakdown, list[str]] = {
    "source_medium": ["source", "medium"],
    "source": ["source"],
    "campaign": ["campaign"],
    "channel": ["channel"],
    "term": ["term"],
    "content": ["content"],
}
# What only events have, not visits.
NOT_OF_VISITS = ("term", "content")

MAX_LIMIT = 200


class SourcesParams(Filtered, kw_only=True):
    """`from` and `to` speak of when visits begin, and of events that belong to none; with filters
    on events or visits, and with `group_by`, of events."""

    breakdown: (
        Annotated[Breakdown, msgspec.Meta(description="Default: `source_medium`.")] | None
    ) = None
    group_by: Annotated[
        str, any_dimension(*ALL_GROUPS, of="Instead of breakdown: of the visit, else the event: ")
    ] = ""
    compare: CompareText | None = None
    order: Order = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT, description="Rows in the answer.")] = 50


class SourcesRow(Compared, kw_only=True):
    """`uniques`: devices; `paid_share`: the part of the events whose medium is `paid`. `visits`
    is there where visits have what is asked for."""

    term: Group = msgspec.UNSET
    content: Group = msgspec.UNSET
    events: int
    uniques: int
    paid_share: float
    persons: int
    visits: int | msgspec.UnsetType = msgspec.UNSET


class Sources(Limited):
    """Rows: the breakdown's columns, events, uniques (devices), persons, visits, and paid_share,
    the part of the events whose medium is `paid`. Most events first.

    `source_scope`: whose source is meant. `visit`: all events of a visit count for where the visit
    came from, and what a server says without a page counts as direct. `event`: each counts for its
    own, as term and content do, which visits do not have. With filters on events or visits those
    events count that pass, each for the source of its visit, and visits in which one happened.
    `other`: what the rows that are left out come to."""

    rows: list[SourcesRow]
    source_scope: Scope | msgspec.UnsetType = msgspec.UNSET
    breakdown: str | msgspec.UnsetType = msgspec.UNSET
    other: dict[str, int] | msgspec.UnsetType = msgspec.UNSET


BY_VISIT = f"""
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        e.visitor AS device, e.traffic_source AS traffic_source
    FROM counted_events AS e
    $off_page
), counted AS (
    SELECT person, device, events, 1 AS visits, arrival.2 AS traffic_source$also
    FROM visits
    $begun
    UNION ALL
    SELECT person, device, 1 AS events, 0 AS visits, traffic_source$also
    FROM person_events
)$finished{COUNT}
ORDER BY $order
LIMIT $limit"""
COUNTED = """counted AS c
LEFT ANY JOIN named_sources AS n ON n.traffic_source = c.traffic_source"""

BY_EVENT = f"""
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        {DEVICE} AS device, e.medium = 'paid' AS is_paid$columns
    FROM counted_events AS e
    $where
)$finished{COUNT}
ORDER BY $order
LIMIT $limit"""

# Of events that pass, by what their visits, or anything, say.
BY_DIMENSION = f"""
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        {DEVICE} AS device$columns
    FROM counted_events AS e
    $where
)$finished{COUNT}
ORDER BY $order
LIMIT $limit"""

MEASURED_EVENTS = (
    "$events AS events, $uniques AS uniques,\n    $paid / events AS paid_share, $persons AS persons"
)
MEASURED = f"{MEASURED_EVENTS},\n    $visits AS visits"
OF_VISITS = {
    "events": summed("events", "sum(c.events)"),
    "uniques": summed("uniques", "uniqExact(c.device)"),
    "paid": summed("paid", "sumIf(c.events, n.medium = 'paid')"),
    "persons": people("persons", "c."),
    "visits": summed("visits", "sum(c.visits)"),
}
OF_EVENTS = {
    "events": summed("events", "count()"),
    "uniques": summed("uniques", "uniqExact(device)"),
    "paid": summed("paid", "countIf(is_paid)"),
    "persons": people("persons"),
}
OF_DIMENSIONS = {
    "events": summed("events", "count()"),
    "uniques": summed("uniques", "uniqExact(p.device)"),
    "paid": summed("paid", "countIf(vn.medium = 'paid')"),
    "persons": people("persons", "p."),
    "visits": summed("visits", "uniqExactIf((p.person, p.on_device, v.started), p.on_page)"),
}

STARTED = "fromUnixTimestamp64Milli(started, 'UTC')"
MEASURES = ("events", "uniques", "persons", "visits", "paid_share")
OF_EVENT = tuple(name for name in MEASURES if name != "visits")
# Of these the rest has a sum.
SUMMABLE = ("events", "visits")


@compared(ComparedRows(SourcesRow, MEASURES), most=MAX_LIMIT)
def ask(context: Context, params: SourcesParams) -> Sources:
    """Visits, events, devices and people by source. Raises `InvalidGroupBy`, `InvalidParams`."""
    if params.breakdown and params.group_by:
        raise refused("group_by", "goes instead of breakdown; leave one of them out")
    breakdown = params.breakdown or "source_medium"
    names = COLUMNS[breakdown]
    of_events = names[0] in NOT_OF_VISITS and not params.group_by
    is_narrowed = bool(context.narrowing.events) or context.narrowing.of_visits
    rest: list[Row] = []
    by = None
    if of_events:
        rows = _by_event(context, params, names)
    elif params.group_by or is_narrowed:
        groups = read_dimensions(
            params.group_by or ",".join(names), ALL_GROUPS, ("event", "visit", "person")
        )
        by = scoped(groups, "visit", context.facts)
        rows = _by_dimension(context, params, by)
    else:
        rows = _by_visit(context, params, names)
    shown = rows[: params.limit]
    answer = Sources(grouped_rows(SourcesRow, shown, by.every_title if by else {}))
    if params.group_by and by:
        answer.source_scope = by.source_scope or msgspec.UNSET
    else:
        answer.breakdown, answer.source_scope = breakdown, "event" if of_events else "visit"
    if len(rows) > params.limit:
        answer.truncated, answer.warnings = True, noted([cut_off(params.limit, MAX_LIMIT)])
        if of_events:
            rest = _by_event(context, params, [])
        else:
            rest = (
                _by_dimension(context, params, scoped([], "visit"))
                if by
                else (_by_visit(context, params, []))
            )
        answer.other = {
            name: rest[0][name] - sum(row[name] for row in shown)
            for name in SUMMABLE
            if name in rest[0]
        }
    return answer


def _by_visit(context: Context, params: SourcesParams, names: Sequence[str]) -> list[Row]:
    values: dict[str, object] = {}
    divided = context.is_divided
    also = also_nobodys(divided)
    selected = "".join(f"toString(n.{name}) AS {name}, " for name in names)
    slots = {
        "also": "".join(f", {name}" for name in also),
        "off_page": where([OFF_PAGE, *between(params, values)]),
        "begun": where(between(params, values, STARTED)),
        **counting(divided, names, selected, MEASURED, OF_VISITS, COUNTED),
        **_ordered(params, names, MEASURES, {}),
    }
    visits = in_time(("events", "arrival", *also), values)
    return context.ask(BY_VISIT, values, slots, visits=visits)


def _by_event(context: Context, params: SourcesParams, names: Sequence[str]) -> list[Row]:
    values: dict[str, object] = {}
    conditions = [*between(params, values), *context.narrowing.events]
    selected = "".join(f"{name}, " for name in names)
    counted = (names, selected, MEASURED_EVENTS, OF_EVENTS, "person_events")
    slots = {
        "columns": "".join(f", toString(e.{name}) AS {name}" for name in names),
        "where": where(conditions),
        **counting(context.is_divided, *counted),
        **_ordered(params, names, OF_EVENT, {}),
    }
    return context.ask(BY_EVENT, values, slots)


def _by_dimension(context: Context, params: SourcesParams, by: Scoped) -> list[Row]:
    by = by.with_visits()
    divided = context.is_divided and not by.of_persons
    values: dict[str, object] = dict(by.values)
    conditions = [*between(params, values), *context.narrowing.events]
    rows = f"person_events AS p\n{by.joins}"
    slots = {
        "columns": "".join(f",\n        {sql} AS {name}" for name, sql in by.columns.items()),
        "where": where(conditions),
        **counting(divided, by.names, by.selected, MEASURED, OF_DIMENSIONS, rows),
        **_ordered(params, by.names, MEASURES, by.every_title),
    }
    return context.ask(BY_DIMENSION, values, slots, by.visits(values))


def _ordered(
    params: SourcesParams,
    names: Sequence[str],
    measures: Sequence[str],
    titles: Mapping[str, str],
) -> dict[str, object]:
    columns = {titles.get(name, name): name for name in names}
    columns |= {name: name for name in measures}
    order = order_by(params.order if names else "", columns, ["events DESC", *names])
    return {"order": ", ".join(order), "limit": params.limit + 1}
