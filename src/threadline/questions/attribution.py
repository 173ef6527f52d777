"""`GET /v1/attribution`: which touches are credited with the conversions that followed them?"""

from typing import Annotated, Literal

import msgspec

from threadline.identity.compose import where
from threadline.questions import amounts
from threadline.questions.answers import Grouped, grouped_rows
from threadline.questions.context import Context
from threadline.questions.parameters import (
    EventName,
    Ranged,
    between,
    grouping,
    read_groups,
)
from threadline.questions.traffic_sources import DIRECT, GROUPS
from threadline.questions.warned import (
    AnswerWarning,
    Warned,
    noted,
    skipped_values,
    unknown_events,
    unknown_property,
)
from threadline.store import Row

Model = Literal[
    "first_touch", "last_touch", "last_non_direct", "linear", "position_based", "time_decay"
]


class AttributionParams(Ranged, kw_only=True):
    """`from` and `to` speak of the time of conversion."""

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


class AttributionTotal(msgspec.Struct):
    """`value` comes with `value_property`."""

    conversions: int
    persons: int
    value: float | msgspec.UnsetType = msgspec.UNSET


class AttributionRow(Grouped, kw_only=True):
    """What is credited to one group. `value` comes with `value_property`."""

    conversions: float
    persons: int
    value: float | msgspec.UnsetType = msgspec.UNSET


class Attribution(Warned):
    """Rows: the group's columns, conversions (whole or in parts), persons with any credit there,
    and value. `conversions` and `value` of the rows sum to the total; persons do not, because one
    may be in several rows. `skipped` comes with `value_property`: how many conversions have the
    property, but no number there; they count as worth nothing."""

    conversion: str
    model: str
    stitch: str
    rows: list[AttributionRow]
    total: AttributionTotal
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
HALF_LIFE_MS = 7 * 86_400_000

# Conversions and arrivals are looked at together, so that whose they are is found in one pass. A
# touch, (time, traffic_source, session), is the first arrival of a session that is not internal; a
# session without one goes on from another and is credited with nothing. Each conversion has those
# in its lookback, each touch its weight. With one more row, of the total.
SQL = f"""
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        TRUE AS is_conversion, $value AS value, $skipped AS skipped,
        0 AS traffic_source, 0 AS session
    FROM counted_events AS e
    $conversions
    UNION ALL
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        FALSE AS is_conversion, toFloat64(0) AS value, FALSE AS skipped,
        e.traffic_source AS traffic_source, cityHash64(e.session_id) AS session
    FROM counted_events AS e
    WHERE e.source != 'internal'
), people AS (
    SELECT person,
        groupArrayIf((timestamp, value, skipped), is_conversion) AS converted,
        arraySort(
            groupArrayIf((timestamp, traffic_source, session), NOT is_conversion)
        ) AS arrivals,
        arrayFilter(
            (arrival, nth) -> nth = 1, arrivals, arrayEnumerateUniq(arrivals.3)
        ) AS arrived
    FROM person_events
    GROUP BY person
    HAVING notEmpty(converted)
), conversions AS (
    SELECT person, conversion.1 AS at, conversion.2 AS value, conversion.3 AS skipped,
        arrayFilter(
            t -> t.1 <= at AND t.1 >= at - toIntervalDay({{lookback_days:UInt16}}), arrived
        ) AS found,
        if(empty(found), [(at, {DIRECT}, 0)], found) AS touches
    FROM people
    ARRAY JOIN converted AS conversion
), weighed AS (
    SELECT person, value, skipped, touches,
        toInt64(length(touches)) AS n,
        toInt64(arrayLastIndex(t -> t.2 % 2 = 0, touches)) AS last_other,
        arrayMap(t -> exp2(-dateDiff('millisecond', t.1, at) / {HALF_LIFE_MS}), touches) AS decayed,
        $weights AS weights
    FROM conversions
), credits AS (
    SELECT person, value, skipped, credited.1.2 AS traffic_source, credited.2 AS weight
    FROM weighed
    ARRAY JOIN arrayZip(touches, weights) AS credited
    WHERE credited.2 > 0
)
SELECT $groups$is_total AS is_total,
    sum(weight) AS conversions, uniqExact(person) AS persons, sum(weight * value) AS value,
    sum(weight * skipped) AS skipped
FROM credits AS c
LEFT ANY JOIN named_sources AS n ON n.traffic_source = c.traffic_source
$group_by
ORDER BY conversions DESC, $order"""


def ask(context: Context, params: AttributionParams) -> Attribution:
    """Credit for every conversion, spread over the person's touches before it by the model.

    A conversion without a touch in the lookback window goes to direct. Raises `InvalidGroupBy`.
    """
    names = read_groups(params.group_by, GROUPS)
    values: dict[str, object] = {
        "conversion": params.conversion,
        "lookback_days": params.lookback_days,
        "value_property": params.value_property or "",
    }
    conversions = where(["e.event_name = {conversion:String}", *between(params, values)])
    found = context.ask(SQL, values, {"conversions": conversions, **_slots(params, names)})
    (total,) = (row for row in found if row["is_total"])
    counted = ["conversions", "persons"] + (["value"] if params.value_property is not None else [])
    rows = [
        {name: row[name] for name in (*names, *counted)}
        for row in found
        if row is not total or (not names and total["persons"])
    ]
    answer = Attribution(
        params.conversion,
        params.model,
        context.resolution.policy,
        grouped_rows(AttributionRow, rows),
        # Put together again from its parts: a whole number but for the last bits.
        AttributionTotal(
            round(total["conversions"]), *(total[name] for name in counted if name != "conversions")
        ),
    )
    if params.value_property is not None:
        answer.skipped = round(total["skipped"])
    answer.warnings = noted(_warnings(context, params, values, answer, total))
    return answer


def _slots(params: AttributionParams, names: list[str]) -> dict[str, object]:
    by, wanted = ", ".join(names), params.value_property is not None
    return {
        "value": amounts.value("value_property") if wanted else "toFloat64(0)",
        "skipped": amounts.skipped("value_property") if wanted else "FALSE",
        "weights": WEIGHTS[params.model],
        "groups": "".join(f"n.{name} AS {name}, " for name in names),
        "is_total": f"grouping({names[0]})" if names else "1",
        "group_by": f"GROUP BY GROUPING SETS (({by}), ())" if names else "",
        "order": by or "1",
    }


def _warnings(
    context: Context,
    params: AttributionParams,
    values: dict[str, object],
    answer: Attribution,
    total: Row,
) -> list[AnswerWarning]:
    warnings: list[AnswerWarning] = []
    if params.value_property is not None and answer.skipped is not msgspec.UNSET:
        name = params.value_property
        warnings = skipped_values("value_property", name, answer.skipped)
        if answer.rows and not total["value"]:
            conversions = ["e.event_name = {conversion:String}"]
            warnings += unknown_property(context, "value_property", name, conversions, values)
    if not answer.rows:
        warnings += unknown_events(context, {"conversion": [params.conversion]})
    return warnings
