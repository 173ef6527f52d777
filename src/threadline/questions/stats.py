"""`GET /v1/stats`: how many, by what, over time."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec

from threadline.contract.errors import InvalidParams
from threadline.identity.activity import ask_moments
from threadline.identity.ground import Ground, conditions
from threadline.identity.stitch import person_events, plain_events
from threadline.questions.answers import (
    GROUPS,
    OverTime,
    between,
    bucket,
    differ,
    over_time,
    read_groups,
    read_zone,
    with_times,
)
from threadline.store import Row, Store


class Params(OverTime, kw_only=True):
    """What to count, of which events, in which groups."""

    metric: Annotated[
        Literal["count", "uniques", "persons", "sum"],
        msgspec.Meta(
            description="`count`: events; `uniques`: devices; `persons`: users, each once however "
            "many devices they have, and visitors who are nobody's; `sum`: of `property`."
        ),
    ] = "count"
    event: Annotated[str, msgspec.Meta(description="Event name.")] | None = None
    group_by: Annotated[str, msgspec.Meta(description=f"By commas: {', '.join(GROUPS)}.")] = ""
    property: (
        Annotated[str, msgspec.Meta(min_length=1, description="A number in the properties.")] | None
    ) = None
    exact: Annotated[
        bool, msgspec.Meta(description="False: uniques and persons by HyperLogLog, within 2 %.")
    ] = True


class Stats(msgspec.Struct):
    """Rows: the group's columns, `time` (start of the interval) and value. In order of time, then
    greatest first. Intervals without events have no row."""

    metric: str
    rows: list[dict[str, Any]]


# A made visitor id lies at the user's place, but counts as the device it stands for.
DEVICE = "if(e.anonymous_id_made, sipHash64(e.anonymous_id), e.visitor)"

# Of each metric the value, and the column it is made of.
METRICS = {
    "count": ("count()", {}),
    "uniques": ("{uniq}(device)", {"device": DEVICE}),
    "persons": ("{uniq}(person)", {}),
    "sum": ("sum(number)", {"number": "JSONExtractFloat(e.properties, {property:String})"}),
}

SQL = """
    SELECT {names}{value} AS value
    FROM ({events})
    {group_by}
    ORDER BY {order}
    LIMIT {limit}"""


def ask(store: Store, ground: Ground, params: Params) -> Stats:
    """One value for every group and interval. Raises `InvalidGroupBy`, `InvalidParams`."""
    names = read_groups(params.group_by, GROUPS)
    groups = over_time(params, "e.timestamp", {name: GROUPS[name] for name in names})
    bound: dict[str, object] = {**ground.bound, "tz": read_zone(params.tz)}
    where = between(params, bound)
    if params.event is not None:
        bound["event"] = params.event
        where.append("e.event_name = {event:String}")
    if params.metric == "sum":
        if params.property is None:
            message = "Required with metric=sum"
            raise InvalidParams(
                f"Parameter property: {message}.", fieldErrors={"property": [message]}
            )
        bound["property"] = params.property
    value, needed = METRICS[params.metric]

    def sql(events: str) -> str:
        return SQL.format(
            names="".join(f"{name}, " for name in groups),
            value=value.format(uniq="uniqExact" if params.exact else "uniqCombined64"),
            events=events,
            group_by=f"GROUP BY {', '.join(groups)}" if groups else "",
            order=", ".join([*(name for name in groups if name == "time"), "value DESC", *names]),
            limit=params.limit,
        )

    at_all = params.event is None and not names  # did anything, whatever it was
    if params.metric == "persons" and at_all and params.interval != "hour":
        rows = _active(store, ground, params, sql, bound)
    else:
        events = person_events if params.metric == "persons" else plain_events
        rows = store.query(sql(events(ground, {**groups, **needed}, conditions(where))), bound)
    return Stats(params.metric, with_times(rows))


def _active(
    store: Store,
    ground: Ground,
    params: Params,
    sql: Callable[[str], str],
    bound: dict[str, object],
) -> list[Row]:
    """Persons of every kind of event, by the days on which they were active."""
    times, changes = "", []
    if params.interval:
        times = f"{bucket(params.interval, 'at')} AS time, "
        changes = [differ(params.interval)]
    return ask_moments(
        store, ground, lambda moments: sql(f"SELECT {times}person FROM ({moments})"), bound, changes
    )
