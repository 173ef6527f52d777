"""`GET /v1/stats`: how many, by what, over time."""

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from threadline.contract.errors import InvalidParams
from threadline.identity.activity import active
from threadline.identity.compose import where
from threadline.questions import amounts
from threadline.questions.answers import Group
from threadline.questions.context import Context
from threadline.questions.filters import refused
from threadline.questions.parameters import (
    EventName,
    between,
    grouping,
    read_groups,
)
from threadline.questions.per_account import Per
from threadline.questions.scoped import ALL_GROUPS, Scope, Scoped, scoped
from threadline.questions.series import (
    OverTime,
    Timed,
    bucket,
    differ,
    newest_first,
    newest_kept,
    over_time,
)
from threadline.questions.stats_sum import summed
from threadline.questions.warned import (
    AnswerWarning,
    Limited,
    bots_left_out,
    noted,
    unknown_events,
    unknown_property,
)
from threadline.store import Row


class StatsParams(OverTime, kw_only=True):
    """What to count, of which events, in which groups."""

    metric: Annotated[
        Literal["count", "uniques", "persons", "sum"],
        msgspec.Meta(
            description="`count`: events; `uniques`: devices; `persons`: users, each once however "
            "many devices they have, and visitors who are nobody's; `sum`: of `property`."
        ),
    ] = "count"
    event: EventName | None = None
    group_by: Annotated[str, grouping(*ALL_GROUPS)] = ""
    property: (
        Annotated[str, msgspec.Meta(min_length=1, description="A number in the properties.")] | None
    ) = None
    currency_property: amounts.CurrencyProperty = "currency"
    currency: amounts.Currency | None = None
    exact: Annotated[
        bool, msgspec.Meta(description="False: uniques and persons by HyperLogLog, within 2 %.")
    ] = True
    per: Per = "person"


class StatsRow(Timed, kw_only=True):
    """One value; `value`: of the metric."""

    event_name: Group = msgspec.UNSET
    country: Group = msgspec.UNSET
    device_type: Group = msgspec.UNSET
    browser: Group = msgspec.UNSET
    os: Group = msgspec.UNSET
    path: Group = msgspec.UNSET
    event_source: Group = msgspec.UNSET
    event_medium: Group = msgspec.UNSET
    event_campaign: Group = msgspec.UNSET
    event_channel: Group = msgspec.UNSET
    visit_source: Group = msgspec.field(name="visit.source", default=msgspec.UNSET)
    visit_medium: Group = msgspec.field(name="visit.medium", default=msgspec.UNSET)
    visit_campaign: Group = msgspec.field(name="visit.campaign", default=msgspec.UNSET)
    visit_channel: Group = msgspec.field(name="visit.channel", default=msgspec.UNSET)
    first_source: Group = msgspec.field(name="first.source", default=msgspec.UNSET)
    first_medium: Group = msgspec.field(name="first.medium", default=msgspec.UNSET)
    first_campaign: Group = msgspec.field(name="first.campaign", default=msgspec.UNSET)
    first_channel: Group = msgspec.field(name="first.channel", default=msgspec.UNSET)
    value: int | amounts.Value


class Stats(Limited):
    """Rows: `bucket` (start of the interval; `time` is the same, and deprecated), the group's
    columns and value. In order of time, then greatest first: by the greatest sum in any currency.
    Intervals without events have no row; where there are more rows than `limit`, the newest are
    here. `skipped` comes with `sum`: how many events of these rows have the property, but no number
    there.

    `source_scope` comes with groups of `source`, `medium`, `campaign` or `channel`: whose source
    is meant. `event`: each event's own; of persons `visit`: that of the visit in which it happened
    (what a server says without a page counts as direct). `group_by=event_source`, `visit.source`,
    `first.source` say which."""

    metric: str
    rows: list[StatsRow]
    source_scope: Scope | msgspec.UnsetType = msgspec.UNSET
    skipped: int | msgspec.UnsetType = msgspec.UNSET
    unconverted: amounts.Unconverted = msgspec.UNSET


# An event that came with a user and without a device lies where the user does, so the user counts
# once, however many ids were generated for it.
DEVICE = "e.visitor"


@dataclass(frozen=True)
class Metric:
    """`value`: SQL over the columns that it needs of events `e`, and where these come from."""

    value: str
    columns: tuple[str, ...] = ()
    relation: str = "considered"


METRICS = {
    "count": Metric("count()"),
    "uniques": Metric("$uniq(p.device)", (f"{DEVICE} AS device",)),
    "persons": Metric("$uniq(p.person)", relation="person_events"),
}

SQL = """
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp$columns
    FROM counted_events AS e
    $where
)
SELECT $names$value AS value
FROM $relation AS p
$joins
$group_by
ORDER BY $order
LIMIT $limit"""

# Persons of every kind of event, by the half hours in which they were active.
ACTIVE = """
WITH considered AS (
    $active
)
SELECT $bucket$value AS value
FROM person_events AS p
$group_by
ORDER BY $order
LIMIT $limit"""


def ask(context: Context, params: StatsParams) -> Stats:
    """One value for every group and interval. Raises `InvalidGroupBy`, `InvalidParams`."""
    if context.per_account and params.metric != "persons":
        raise refused("per", "accounts are counted in the place of persons: add metric=persons")
    plain: Scope = "visit" if params.metric == "persons" else "event"
    by = scoped(read_groups(params.group_by, ALL_GROUPS), plain)
    by = by._replace(own=over_time(params, "e.timestamp", by.own))
    values: dict[str, object] = {"tz": params.tz}
    conditions = [*between(params, values), *context.narrowing.events]
    if params.event is not None:
        values["event"] = params.event
        conditions.append("e.event_name = {event:String}")
    if params.metric == "sum":
        answer = _sum(context, params, by, values, conditions)
    else:
        answer = _count(context, params, by, values, conditions)
    if by.source_scope:
        answer.source_scope = by.source_scope
    return answer


def _count(
    context: Context,
    params: StatsParams,
    by: Scoped,
    values: dict[str, object],
    conditions: list[str],
) -> Stats:
    amounts.refuse_currency(params.currency, "metric=sum")
    rows = _rows(context, params, by, values, conditions)
    kept = newest_kept(StatsRow, rows, params.limit)
    warnings = kept.warnings
    if not any(row.value for row in kept.rows):
        warnings += _why_nothing(context, params, conditions, values)
    return Stats(params.metric, kept.rows, truncated=kept.truncated, warnings=noted(warnings))


def _sum(
    context: Context,
    params: StatsParams,
    by: Scoped,
    values: dict[str, object],
    conditions: list[str],
) -> Stats:
    asked = amounts.asked("property", _property(params), params.currency_property, params.currency)
    found = summed(context, asked, by, conditions, values, params.limit)
    kept = newest_kept(StatsRow, found.rows, params.limit)
    warnings = kept.warnings + amounts.warnings(asked, found.doubts, found.unconverted)
    if found.is_empty:
        warnings += _why_nothing(context, params, conditions, values)
    return Stats(
        params.metric,
        kept.rows,
        skipped=found.doubts.skipped,
        unconverted=found.unconverted,
        truncated=kept.truncated,
        warnings=noted(warnings),
    )


def _property(params: StatsParams) -> str:
    if params.property is None:
        message = "required with metric=sum"
        raise InvalidParams(f"Parameter property: {message}.", fieldErrors={"property": [message]})
    return params.property


def _rows(
    context: Context,
    params: StatsParams,
    by: Scoped,
    values: dict[str, object],
    conditions: list[str],
) -> list[Row]:
    metric = METRICS[params.metric]
    groups = [*by.own, *by.joined]
    slots: dict[str, object] = {
        "value": metric.value.replace("$uniq", "uniqExact" if params.exact else "uniqCombined64"),
        "group_by": f"GROUP BY {', '.join(groups)}" if groups else "",
        "order": newest_first(groups, "value DESC", *by.names),
        "limit": params.limit + 1,
    }
    # Did anything, whatever it was.
    at_all = params.event is None and not by.names and not context.narrowing.events
    if params.metric == "persons" and at_all and params.interval != "hour":
        changes = [differ(params.interval)] if params.interval else []
        slots["active"] = active(context.resolution, values, changes)
        slots["bucket"] = (
            f"{bucket(params.interval, 'timestamp')} AS bucket, " if params.interval else ""
        )
        return context.ask(ACTIVE, values, slots)
    columns = [*(f"{sql} AS {name}" for name, sql in by.columns.items()), *metric.columns]
    slots |= {
        "columns": "".join(f",\n        {column}" for column in columns),
        "where": where(conditions),
        "names": by.selected,
        "relation": "person_events"
        if by.scopes or context.narrowing.of_people
        else metric.relation,
        "joins": by.joins,
    }
    return context.ask(SQL, values, slots, by.visits(values))


def _why_nothing(
    context: Context, params: StatsParams, conditions: list[str], values: dict[str, object]
) -> list[AnswerWarning]:
    """No such event ever came, or those that did are left out."""
    unknown = unknown_events(context, {"event": [params.event]})
    if not unknown and params.metric == "sum" and params.property:
        unknown = unknown_property(context, "property", params.property, conditions, values)
    if unknown or context.bots:
        return unknown
    every = {**context.resolution.params, **context.narrowing.values, **values}
    return bots_left_out(context.reading, [*context.resolution.received, *conditions], every)
