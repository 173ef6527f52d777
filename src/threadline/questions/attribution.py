"""`GET /v1/attribution`: which touches are credited with the conversions that followed them?"""

from typing import Annotated, Literal

import msgspec

from threadline.identity.compose import where
from threadline.questions import amounts
from threadline.questions.amounts import Amounts, Doubts, Totals
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
    unknown_events,
    unknown_property,
)

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
    currency_property: amounts.CurrencyProperty = "currency"
    currency: amounts.Currency | None = None


class AttributionTotal(msgspec.Struct):
    """`value` comes with `value_property`."""

    conversions: int
    persons: int
    value: amounts.Value | msgspec.UnsetType = msgspec.UNSET


class AttributionRow(Grouped, kw_only=True):
    """What is credited to one group. `value` comes with `value_property`."""

    conversions: float
    persons: int
    value: amounts.Value | msgspec.UnsetType = msgspec.UNSET


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
    unconverted: amounts.Unconverted = msgspec.UNSET


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
        TRUE AS is_conversion, $money AS money,
        0 AS traffic_source, 0 AS session
    FROM counted_events AS e
    $conversions
    UNION ALL
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        FALSE AS is_conversion, {amounts.NO_MONEY} AS money,
        e.traffic_source AS traffic_source, cityHash64(e.session_id) AS session
    FROM counted_events AS e
    WHERE e.source != 'internal'
), people AS (
    SELECT person,
        groupArrayIf((timestamp, money), is_conversion) AS converted,
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
    SELECT person, conversion.1 AS at, conversion.2 AS money,
        arrayFilter(
            t -> t.1 <= at AND t.1 >= at - toIntervalDay({{lookback_days:UInt16}}), arrived
        ) AS found,
        if(empty(found), [(at, {DIRECT}, 0)], found) AS touches
    FROM people
    ARRAY JOIN converted AS conversion
), weighed AS (
    SELECT person, at, money, touches,
        toInt64(length(touches)) AS n,
        toInt64(arrayLastIndex(t -> t.2 % 2 = 0, touches)) AS last_other,
        arrayMap(t -> exp2(-dateDiff('millisecond', t.1, at) / {HALF_LIFE_MS}), touches) AS decayed,
        $weights AS weights,
        $spread
    FROM conversions
), credits AS (
    SELECT person, credited.1.2 AS traffic_source, credited.2 AS weight,
        credited.3 AS amount, {amounts.CURRENCY} AS currency, weight * money.counted AS counted,
        toDate32(at) AS day, weight * money.skipped AS skipped,
        weight * money.rounded AS rounded, {amounts.MISCODED} * counted AS miscoded
    FROM weighed
    ARRAY JOIN arrayZip(touches, weights, amounts) AS credited
    WHERE credited.2 > 0
)
SELECT $groups$is_total AS is_total,
    sum(weight) AS conversions, uniqExact(person) AS persons,
    $sums,
    sum(c.skipped) AS skipped, sum(c.rounded) AS rounded, sum(c.miscoded) AS miscoded
FROM credits AS c
LEFT ANY JOIN named_sources AS n ON n.traffic_source = c.traffic_source
$join
$group_by
ORDER BY conversions DESC, $order"""


def ask(context: Context, params: AttributionParams) -> Attribution:
    """Credit for every conversion, spread over the person's touches before it by the model.

    A conversion without a touch in the lookback window goes to direct. Raises `InvalidGroupBy`.
    """
    names = read_groups(params.group_by, GROUPS)
    asked = _amounts(params)
    values: dict[str, object] = {
        "conversion": params.conversion,
        "lookback_days": params.lookback_days,
        **(asked.values if asked else {}),
    }
    conversions = where(["e.event_name = {conversion:String}", *between(params, values)])
    found = context.ask(SQL, values, {"conversions": conversions, **_slots(params, names, asked)})
    totals = [Totals.of(row) for row in found]
    doubts = [Doubts.of(row) for row in found]
    if asked:
        for row, value in zip(found, amounts.as_values(asked, totals), strict=True):
            row["value"] = value
    (of_total,) = (number for number, row in enumerate(found) if row["is_total"])
    total = found[of_total]
    counted = ["conversions", "persons", *(["value"] if asked else [])]
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
    warnings: list[AnswerWarning] = []
    if asked:
        answer.skipped = doubts[of_total].skipped
        answer.unconverted = amounts.unconverted(asked, [totals[of_total]])
        warnings = amounts.warnings(asked, doubts[of_total], answer.unconverted)
    warnings += _why_nothing(context, params, values, answer, totals[of_total])
    answer.warnings = noted(warnings)
    return answer


def _amounts(params: AttributionParams) -> Amounts | None:
    """None where it is not about amounts."""
    if params.value_property is None:
        amounts.refuse_currency(params.currency, "value_property")
        return None
    return amounts.asked(
        "value_property", params.value_property, params.currency_property, params.currency
    )


def _slots(params: AttributionParams, names: list[str], asked: Amounts | None) -> dict[str, object]:
    by = ", ".join(names)
    return {
        "money": amounts.read(asked) if asked else amounts.NO_MONEY,
        "weights": WEIGHTS[params.model],
        "spread": amounts.spread("money.amount", "weights", "amounts"),
        "sums": amounts.sums(asked or amounts.NOTHING, "c"),
        "join": amounts.join_rates(asked or amounts.NOTHING, "c"),
        "groups": "".join(f"n.{name} AS {name}, " for name in names),
        "is_total": f"grouping({names[0]})" if names else "1",
        "group_by": f"GROUP BY GROUPING SETS (({by}), ())" if names else "",
        "order": by or "1",
    }


def _why_nothing(
    context: Context,
    params: AttributionParams,
    values: dict[str, object],
    answer: Attribution,
    total: Totals,
) -> list[AnswerWarning]:
    """No such event ever came, or it never had such a property."""
    if not answer.rows:
        return unknown_events(context, {"conversion": [params.conversion]})
    if params.value_property is None or not total.is_empty:
        return []
    conversions = ["e.event_name = {conversion:String}"]
    name = params.value_property
    return unknown_property(context, "value_property", name, conversions, values)
