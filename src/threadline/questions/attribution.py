"""`GET /v1/attribution`: which touches are credited with the conversions that followed them?"""

from typing import Annotated, Any, Literal

import msgspec

from threadline.identity.resolution import conditions
from threadline.identity.stitch import person_events
from threadline.questions import amounts, places
from threadline.questions.answers import (
    EventName,
    Ranged,
    absent_is_null,
    between,
    grouping,
    read_groups,
)
from threadline.questions.context import Context
from threadline.questions.warned import (
    Warned,
    noted,
    skipped_values,
    unknown_events,
    unknown_property,
)

GROUPS = ("source", "medium", "campaign")

Model = Literal[
    "first_touch", "last_touch", "last_non_direct", "linear", "position_based", "time_decay"
]


class AttributionParams(Ranged, kw_only=True):
    """`from` and `to` speak of the moment of conversion."""

    conversion: EventName
    model: Annotated[
        Model,
        msgspec.Meta(
            description="`last_non_direct`: the last touch that is not direct, else the last; "
            "`position_based`: 40 % to the first and the last, 20 % to those between; "
            "`time_decay`: half as much for every seven days before the conversion."
        ),
    ] = "last_non_direct"
    group_by: Annotated[str, grouping(*GROUPS, of="Of the touch: ")] = "source,medium"
    lookback_days: Annotated[
        int, msgspec.Meta(ge=1, le=730, description="Touches longer ago get no credit.")
    ] = 30
    value_property: (
        Annotated[
            str, msgspec.Meta(min_length=1, description="A number in the properties: revenue.")
        ]
        | None
    ) = None


class Attribution(Warned):
    """Rows: the group's columns, conversions (whole or in parts), persons with any credit there,
    and value. `conversions` and `value` of the rows sum to the total; persons do not, because one
    may be in several rows. `skipped` comes with `value_property`: how many conversions have the
    property, but no number there; they count as worth nothing."""

    conversion: str
    model: str
    stitch: str
    rows: list[dict[str, Any]]
    total: dict[str, float]
    skipped: int | msgspec.UnsetType = msgspec.UNSET


# The credit of each touch, in order of time; together 1. `n`: how many there are.
WEIGHTS: dict[Model, str] = {
    "first_touch": "arrayMap(i -> toFloat64(i = 1), arrayEnumerate(touches))",
    "last_touch": "arrayMap(i -> toFloat64(i = n), arrayEnumerate(touches))",
    "last_non_direct": """arrayMap(
            i -> toFloat64(i = if(last_other = 0, n, last_other)), arrayEnumerate(touches)
        )""",
    "linear": "arrayMap(t -> 1 / n, touches)",
    "position_based": """arrayMap(
            i -> multiIf(n = 1, 1, n = 2, 0.5, i IN (1, n), 0.4, 0.2 / (n - 2)),
            arrayEnumerate(touches)
        )""",
    "time_decay": "arrayMap(d -> d / arraySum(decayed), decayed)",
}

# From the inside: each person's touches, the first of every session that is not internal, as (time,
# place, session); a session without one goes on from another and is nobody's merit;
# each conversion with those in its lookback; the weight of each; their sums by place; the names of
# places. With one more row, of the total.
SQL = """
    SELECT {columns}{is_total} AS is_total,
        sum(weight) AS conversions, uniqExact(person) AS persons, sum(weight * value) AS value,
        sum(weight * skipped) AS skipped
    FROM (
        SELECT person, value, skipped, credited.1.2 AS place, credited.2 AS weight
        FROM (
            SELECT *, {weights} AS weights
            FROM (
                SELECT *, toInt64(length(touches)) AS n,
                    toInt64(arrayLastIndex(t -> t.2 % 2 = 0, touches)) AS last_other,
                    arrayMap(
                        t -> exp2(-dateDiff('millisecond', t.1, at) / {half_life_ms}), touches
                    ) AS decayed
                FROM (
                    SELECT c.person AS person, c.at AS at, c.value AS value, c.skipped AS skipped,
                        arrayFilter(
                            x -> x.1 <= at AND x.1 >= at - toIntervalDay({{lookback_days:UInt16}}),
                            t.touches
                        ) AS found,
                        if(empty(found), [(at, {direct}, 0)], found) AS touches
                    FROM ({conversions}) AS c
                    LEFT JOIN (
                        SELECT person, arraySort(groupArray((at, place, session))) AS arrivals,
                            arrayFilter(
                                (arrival, nth) -> nth = 1,
                                arrivals, arrayEnumerateUniq(arrivals.3)
                            ) AS touches
                        FROM ({arrivals})
                        GROUP BY person
                    ) AS t ON t.person = c.person
                )
            )
        )
        ARRAY JOIN arrayZip(touches, weights) AS credited
        WHERE credited.2 > 0
    ) AS credits
    {names}
    {group_by}
    ORDER BY conversions DESC, {order}"""

HALF_LIFE_MS = 7 * 86_400_000


def ask(context: Context, params: AttributionParams) -> Attribution:
    """Credit for every conversion, spread over the person's touches before it by the model.

    A conversion without a touch in the lookback window goes to direct. Raises `InvalidGroupBy`.
    """
    reading, resolution = context.reading, context.resolution
    names = read_groups(params.group_by, GROUPS)
    bound: dict[str, object] = {
        **resolution.params,
        "conversion": params.conversion,
        "lookback_days": params.lookback_days,
        "value_property": params.value_property or "",
    }
    worth = {"value": "toFloat64(0)", "skipped": "FALSE"}
    if params.value_property is not None:
        worth = {
            "value": amounts.value("value_property"),
            "skipped": amounts.skipped("value_property"),
        }
    conversions = person_events(
        resolution,
        {"at": "e.timestamp", **worth},
        conditions(["e.event_name = {conversion:String}", *between(params, bound)]),
    )
    arrivals = person_events(
        resolution,
        {"at": "e.timestamp", "place": "e.place", "session": "cityHash64(e.session_id)"},
        places.FROM_ELSEWHERE,
    )
    by = ", ".join(names)
    sql = SQL.format(
        columns="".join(f"names.{name} AS {name}, " for name in names),
        is_total=f"grouping({names[0]})" if names else "1",
        weights=WEIGHTS[params.model],
        half_life_ms=HALF_LIFE_MS,
        direct=places.DIRECT,
        names=places.named("credits.place"),
        conversions=conversions,
        arrivals=arrivals,
        group_by=f"GROUP BY GROUPING SETS (({by}), ())" if names else "",
        order=by or "1",
    )
    found = reading.query(sql, bound)
    (total,) = (row for row in found if row["is_total"])
    counted = ["conversions", "persons"] + (["value"] if params.value_property is not None else [])
    rows = [
        absent_is_null({name: row[name] for name in (*names, *counted)})
        for row in found
        if row is not total or (not names and total["persons"])
    ]
    answer = Attribution(
        params.conversion,
        params.model,
        resolution.policy,
        rows,
        # Put together again from its parts: a whole number but for the last bits.
        {**{name: total[name] for name in counted}, "conversions": round(total["conversions"])},
    )
    warnings = []
    if params.value_property is not None:
        answer.skipped = skipped = round(total["skipped"])
        warnings = skipped_values("value_property", params.value_property, skipped)
        if rows and not total["value"]:
            where = f"{resolution.received} AND e.event_name = {{conversion:String}}"
            warnings += unknown_property(
                reading,
                "value_property",
                params.value_property,
                where,
                {**bound, "conversion": params.conversion},
            )
    if not rows:
        warnings += unknown_events(reading, bound, {"conversion": [params.conversion]})
    answer.warnings = noted(warnings)
    return answer
