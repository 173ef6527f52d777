"""`GET /v1/stats`: how many, by what, over time."""

from dataclasses import dataclass
from textwrap import indent
from typing import Annotated, Literal, NamedTuple

import msgspec

from threadline.contract.errors import InvalidParams
from threadline.identity.activity import active
from threadline.identity.compose import where
from threadline.questions import amounts
from threadline.questions.answers import Group
from threadline.questions.context import Context
from threadline.questions.parameters import (
    GROUPS,
    EventName,
    between,
    grouping,
    in_time,
    read_groups,
)
from threadline.questions.series import (
    OverTime,
    Timed,
    bucket,
    differ,
    newest_first,
    newest_kept,
    over_time,
)
from threadline.questions.traffic_sources import (
    FIRST_SOURCES,
    SCOPED,
    VISIT_SOURCES,
    Scope,
    scope_of,
)
from threadline.questions.traffic_sources import GROUPS as SOURCES
from threadline.questions.warned import (
    AnswerWarning,
    Limited,
    bots_left_out,
    noted,
    skipped_values,
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
    group_by: Annotated[str, grouping(*GROUPS, *SCOPED)] = ""
    property: (
        Annotated[str, msgspec.Meta(min_length=1, description="A number in the properties.")] | None
    ) = None
    exact: Annotated[
        bool, msgspec.Meta(description="False: uniques and persons by HyperLogLog, within 2 %.")
    ] = True


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
    value: int | float


class Stats(Limited):
    """Rows: `bucket` (start of the interval; `time` is the same, and deprecated), the group's
    columns and value. In order of time, then greatest first. Intervals without events have no row;
    where there are more rows than `limit`, the newest are here. `skipped` comes with `sum`: how
    many events of these rows have the property, but no number there.

    `source_scope` comes with groups of `source`, `medium`, `campaign` or `channel`: whose source
    is meant. `event`: each event's own; of persons `visit`: that of the visit in which it happened
    (what a server says without a page counts as direct). `group_by=event_source`, `visit.source`,
    `first.source` say which."""

    metric: str
    rows: list[StatsRow]
    source_scope: Scope | msgspec.UnsetType = msgspec.UNSET
    skipped: int | msgspec.UnsetType = msgspec.UNSET


# An event that came with a user and without a device lies where the user does, so the user counts
# once, however many ids were generated for it.
DEVICE = "e.visitor"


@dataclass(frozen=True)
class Metric:
    """`value`: SQL over the columns that it needs of events `e`, and where these come from."""

    value: str
    columns: tuple[str, ...] = ()
    relation: str = "considered"
    also: str = ""


METRICS = {
    "count": Metric("count()"),
    "uniques": Metric("$uniq(p.device)", (f"{DEVICE} AS device",)),
    "persons": Metric("$uniq(p.person)", relation="person_events"),
    "sum": Metric(
        "sum(p.number)",
        (
            f"{amounts.value('property')} AS number",
            f"{amounts.skipped('property')} AS skipped",
        ),
        also=", countIf(p.skipped) AS skipped",
    ),
}

SQL = """
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp$columns
    FROM counted_events AS e
    $where
)
SELECT $names$value AS value$also
FROM $relation AS p
$joined
$group_by
ORDER BY $order
LIMIT $limit"""

# What tells the source of the visit in which an event happened, and of the person's first touch.
ON_PAGE = "e.visitor AS on_device, NOT (e.source_rule_id = 'no_page') AS on_page"
OWN = "e.traffic_source AS own_source"
JOINED: dict[Scope, str] = {
    "visit": f"""ASOF LEFT JOIN (
    {indent(VISIT_SOURCES.strip(), "    ").strip()}
) AS v ON v.person = p.person AND v.device = p.on_device AND p.timestamp >= v.started
LEFT ANY JOIN named_sources AS vn
    ON vn.traffic_source = if(p.on_page, v.traffic_source, p.own_source)""",
    "first": f"""LEFT ANY JOIN ({FIRST_SOURCES}) AS f ON f.person = p.person
LEFT ANY JOIN named_sources AS fn ON fn.traffic_source = f.traffic_source""",
}
NAMES: dict[Scope, str] = {"visit": "vn", "first": "fn"}

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
    plain: Scope = "visit" if params.metric == "persons" else "event"
    groups = [
        _Group(name, *scope_of(name, plain))
        for name in read_groups(params.group_by, (*GROUPS, *SCOPED))
    ]
    values: dict[str, object] = {"tz": params.tz}
    conditions = between(params, values)
    if params.event is not None:
        values["event"] = params.event
        conditions.append("e.event_name = {event:String}")
    if params.metric == "sum":
        values["property"] = _property(params)
    rows = _rows(context, params, groups, values, conditions)
    skipped = sum(row.pop("skipped", 0) for row in rows[: params.limit])
    kept = newest_kept(StatsRow, rows, params.limit)
    answer = Stats(params.metric, kept.rows, truncated=kept.truncated)
    scopes = [group.scope for group in groups if group.part in SOURCES]
    if scopes:
        answer.source_scope = scopes[0]
    if params.metric == "sum":
        answer.skipped = skipped
    warnings = kept.warnings + skipped_values("property", params.property or "", skipped)
    if not any(row.value for row in kept.rows):
        warnings += _why_nothing(context, params, conditions, values)
    answer.warnings = noted(warnings)
    return answer


class _Group(NamedTuple):
    """A column to group by, as it was asked for; whose source it means, and what of it."""

    asked: str
    scope: Scope
    part: str

    @property
    def name(self) -> str:
        return self.asked.replace(".", "_")

    @property
    def is_joined(self) -> bool:
        """Whether the event itself does not say it."""
        return self.part in SOURCES and self.scope != "event"


def _property(params: StatsParams) -> str:
    if params.property is None:
        message = "required with metric=sum"
        raise InvalidParams(f"Parameter property: {message}.", fieldErrors={"property": [message]})
    return params.property


def _rows(
    context: Context,
    params: StatsParams,
    asked: list[_Group],
    values: dict[str, object],
    conditions: list[str],
) -> list[Row]:
    metric = METRICS[params.metric]
    names = [group.name for group in asked]
    joined = {
        group.name: f"{NAMES[group.scope]}.{group.part}" for group in asked if group.is_joined
    }
    own = {g.name: GROUPS[g.part] for g in asked if not g.is_joined}
    groups = over_time(params, "e.timestamp", {**own, **joined})
    slots: dict[str, object] = {
        "value": metric.value.replace("$uniq", "uniqExact" if params.exact else "uniqCombined64"),
        "group_by": f"GROUP BY {', '.join(groups)}" if groups else "",
        "order": newest_first(groups, "value DESC", *names),
        "limit": params.limit + 1,
    }
    at_all = params.event is None and not asked  # did anything, whatever it was
    if params.metric == "persons" and at_all and params.interval != "hour":
        changes = [differ(params.interval)] if params.interval else []
        slots["active"] = active(context.resolution, values, changes)
        slots["bucket"] = (
            f"{bucket(params.interval, 'timestamp')} AS bucket, " if params.interval else ""
        )
        return context.ask(ACTIVE, values, slots)
    scopes = list(dict.fromkeys(group.scope for group in asked if group.is_joined))
    columns = [f"{column} AS {name}" for name, column in groups.items() if name not in joined]
    columns += [ON_PAGE, OWN] if "visit" in scopes else []
    order = [*(["bucket"] if "bucket" in groups else []), *names]
    slots |= {
        "columns": "".join(f",\n        {column}" for column in (*columns, *metric.columns)),
        "where": where(conditions),
        "names": "".join(f"{joined.get(name, f'p.{name}')} AS {name}, " for name in order),
        "also": metric.also,
        "relation": "person_events" if joined else metric.relation,
        "joined": "\n".join(JOINED[scope] for scope in scopes),
    }
    visits = in_time(("arrival",), values) if "visit" in scopes else None
    return context.ask(SQL, values, slots, visits=visits)


def _why_nothing(
    context: Context, params: StatsParams, conditions: list[str], values: dict[str, object]
) -> list[AnswerWarning]:
    """No such event ever came, or those that did are left out."""
    unknown = unknown_events(context, {"event": [params.event]})
    if not unknown and params.metric == "sum" and params.property:
        unknown = unknown_property(context, "property", params.property, conditions, values)
    if unknown or context.bots:
        return unknown
    every = {**context.resolution.params, **values}
    return bots_left_out(context.reading, [*context.resolution.received, *conditions], every)
