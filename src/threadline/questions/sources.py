"""`GET /v1/sources`: where visits and people come from."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from threadline.identity.compose import where
from threadline.questions.answers import Compared, Group, grouped_rows
from threadline.questions.compare import compared
from threadline.questions.compared_rows import Rows
from threadline.questions.context import Context
from threadline.questions.filters import Filtered, refused
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
OF_EVENTS = ("term", "content")

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


BY_VISIT = """
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        e.visitor AS device, e.traffic_source AS traffic_source
    FROM counted_events AS e
    $off_page
), counted AS (
    SELECT person, device, events, 1 AS visits, arrival.2 AS traffic_source
    FROM visits
    $begun
    UNION ALL
    SELECT person, device, 1 AS events, 0 AS visits, traffic_source
    FROM person_events
)
SELECT ${names}sum(c.events) AS events, uniqExact(c.device) AS uniques,
    sumIf(c.events, n.medium = 'paid') / events AS paid_share, uniqExact(c.person) AS persons,
    sum(c.visits) AS visits
FROM counted AS c
LEFT ANY JOIN named_sources AS n ON n.traffic_source = c.traffic_source
$group_by
ORDER BY $order
LIMIT $limit"""

BY_EVENT = f"""
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        {DEVICE} AS device, e.medium = 'paid' AS is_paid$names
    FROM counted_events AS e
    $where
)
SELECT ${{groups}}count() AS events, uniqExact(device) AS uniques,
    countIf(is_paid) / events AS paid_share, uniqExact(person) AS persons
FROM person_events
$group_by
ORDER BY $order
LIMIT $limit"""

# Of events that pass, by what their visits, or anything, say.
BY_DIMENSION = f"""
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        {DEVICE} AS device$columns
    FROM counted_events AS e
    $where
)
SELECT ${{names}}count() AS events, uniqExact(p.device) AS uniques,
    countIf(vn.medium = 'paid') / events AS paid_share, uniqExact(p.person) AS persons,
    uniqExactIf((p.person, p.on_device, v.started), p.on_page) AS visits
FROM person_events AS p
$joins
$group_by
ORDER BY $order
LIMIT $limit"""

STARTED = "fromUnixTimestamp64Milli(started, 'UTC')"
MEASURES = ("events", "uniques", "persons", "visits", "paid_share")
OF_EVENT = tuple(name for name in MEASURES if name != "visits")
# Of these the rest has a sum.
SUMMABLE = ("events", "visits")


@compared(Rows(SourcesRow, MEASURES), most=MAX_LIMIT)
def ask(context: Context, params: SourcesParams) -> Sources:
    """Visits, events, devices and people by source. Raises `InvalidGroupBy`, `InvalidParams`."""
    if params.breakdown and params.group_by:
        raise refused("group_by", "goes instead of breakdown; leave one of them out")
    breakdown = params.breakdown or "source_medium"
    names = COLUMNS[breakdown]
    of_events = names[0] in OF_EVENTS and not params.group_by
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
    slots = {
        "names": "".join(f"toString(n.{name}) AS {name}, " for name in names),
        "off_page": where([OFF_PAGE, *between(params, values)]),
        "begun": where(between(params, values, STARTED)),
        **_ordered(params, names, MEASURES, {}),
    }
    visits = in_time(("events", "arrival"), values)
    return context.ask(BY_VISIT, values, slots, visits=visits)


def _by_event(context: Context, params: SourcesParams, names: Sequence[str]) -> list[Row]:
    values: dict[str, object] = {}
    conditions = [*between(params, values), *context.narrowing.events]
    slots = {
        "names": "".join(f", toString(e.{name}) AS {name}" for name in names),
        "groups": "".join(f"{name}, " for name in names),
        "where": where(conditions),
        **_ordered(params, names, OF_EVENT, {}),
    }
    return context.ask(BY_EVENT, values, slots)


def _by_dimension(context: Context, params: SourcesParams, by: Scoped) -> list[Row]:
    by = by.with_visits()
    values: dict[str, object] = dict(by.values)
    conditions = [*between(params, values), *context.narrowing.events]
    slots = {
        "columns": "".join(f",\n        {sql} AS {name}" for name, sql in by.columns.items()),
        "where": where(conditions),
        "names": by.selected,
        "joins": by.joins,
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
    return {
        "group_by": f"GROUP BY {', '.join(names)}" if names else "",
        "order": ", ".join(order),
        "limit": params.limit + 1,
    }
