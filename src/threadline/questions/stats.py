"""`GET /v1/stats`: how many, by what, over time."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal

import msgspec

from threadline.contract.errors import InvalidParams
from threadline.identity.activity import ask_moments
from threadline.identity.reading import Reading
from threadline.identity.resolution import Resolution, conditions
from threadline.identity.stitch import person_events, plain_events
from threadline.questions import amounts
from threadline.questions.answers import GROUPS, EventName, between, grouping, read_groups
from threadline.questions.context import Context
from threadline.questions.series import (
    OverTime,
    bucket,
    differ,
    newest_first,
    newest_kept,
    over_time,
)
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
    group_by: Annotated[str, grouping(*GROUPS)] = ""
    property: (
        Annotated[str, msgspec.Meta(min_length=1, description="A number in the properties.")] | None
    ) = None
    exact: Annotated[
        bool, msgspec.Meta(description="False: uniques and persons by HyperLogLog, within 2 %.")
    ] = True


class Stats(Limited):
    """Rows: `bucket` (start of the interval; `time` is the same, and deprecated), the group's
    columns and value. In order of time, then greatest first. Intervals without events have no row;
    where there are more rows than `limit`, the newest are here. `skipped` comes with `sum`: how
    many events of these rows have the property, but no number there."""

    metric: str
    rows: list[dict[str, Any]]
    skipped: int | msgspec.UnsetType = msgspec.UNSET


# A made visitor id lies at the user's place, but counts as the device it stands for.
DEVICE = "if(e.anonymous_id_made, sipHash64(e.anonymous_id), e.visitor)"

# Of each metric the value, and the column it is made of.
METRICS = {
    "count": ("count()", {}),
    "uniques": ("{uniq}(device)", {"device": DEVICE}),
    "persons": ("{uniq}(person)", {}),
    "sum": (
        "sum(number)",
        {"number": amounts.value("property"), "skipped": amounts.skipped("property")},
    ),
}

SQL = """
    SELECT {names}{value} AS value{skipped}
    FROM ({events})
    {group_by}
    ORDER BY {order}
    LIMIT {limit}"""


def ask(context: Context, params: StatsParams) -> Stats:
    """One value for every group and interval. Raises `InvalidGroupBy`, `InvalidParams`."""
    reading, resolution = context.reading, context.resolution
    names = read_groups(params.group_by, GROUPS)
    groups = over_time(params, "e.timestamp", {name: GROUPS[name] for name in names})
    bound: dict[str, object] = {**resolution.params, "tz": params.tz}
    where = between(params, bound)
    if params.event is not None:
        bound["event"] = params.event
        where.append("e.event_name = {event:String}")
    if params.metric == "sum":
        if params.property is None:
            message = "required with metric=sum"
            raise InvalidParams(
                f"Parameter property: {message}.", fieldErrors={"property": [message]}
            )
        bound["property"] = params.property
    value, needed = METRICS[params.metric]

    def sql(events: str) -> str:
        return SQL.format(
            names="".join(f"{name}, " for name in groups),
            value=value.format(uniq="uniqExact" if params.exact else "uniqCombined64"),
            skipped=", countIf(skipped) AS skipped" if "skipped" in needed else "",
            events=events,
            group_by=f"GROUP BY {', '.join(groups)}" if groups else "",
            order=newest_first(groups, "value DESC", *names),
            limit=params.limit + 1,
        )

    at_all = params.event is None and not names  # did anything, whatever it was
    if params.metric == "persons" and at_all and params.interval != "hour":
        rows = _active(reading, resolution, params, sql, bound)
    else:
        events = person_events if params.metric == "persons" else plain_events
        rows = reading.query(
            sql(events(resolution, {**groups, **needed}, conditions(where))), bound
        )
    skipped = sum(row.pop("skipped", 0) for row in rows[: params.limit])
    kept = newest_kept(rows, params.limit)
    answer = Stats(params.metric, kept.rows, truncated=kept.truncated)
    if params.metric == "sum":
        answer.skipped = skipped
    warnings = kept.warnings + skipped_values("property", params.property or "", skipped)
    if not any(row["value"] for row in kept.rows):
        warnings += _why_nothing(reading, resolution, params, where, bound)
    answer.warnings = noted(warnings)
    return answer


def _why_nothing(
    reading: Reading,
    resolution: Resolution,
    params: StatsParams,
    where: list[str],
    bound: dict[str, object],
) -> list[AnswerWarning]:
    """No such event ever came, or those that did are left out."""
    unknown = unknown_events(reading, bound, {"event": [params.event]})
    if not unknown and params.metric == "sum" and params.property:
        counted = conditions([resolution.received, *where])
        unknown = unknown_property(reading, "property", params.property, counted, bound)
    if unknown or resolution.bots:
        return unknown
    everybody = replace(resolution, bots=True).received
    return bots_left_out(reading, conditions([everybody, *where]), bound)


def _active(
    reading: Reading,
    resolution: Resolution,
    params: StatsParams,
    sql: Callable[[str], str],
    bound: dict[str, object],
) -> list[Row]:
    """Persons of every kind of event, by the days on which they were active."""
    times, changes = "", []
    if params.interval:
        times = f"{bucket(params.interval, 'at')} AS bucket, "
        changes = [differ(params.interval)]
    return ask_moments(
        reading,
        resolution,
        lambda moments: sql(f"SELECT {times}person FROM ({moments})"),
        bound,
        changes,
    )
