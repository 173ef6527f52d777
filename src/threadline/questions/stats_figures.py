"""The metrics of `GET /v1/stats` that are one figure of many amounts: their average, median, least,
greatest, and the like. Amounts of several currencies have one each, or are converted."""

from collections.abc import Mapping, Sequence
from string import Template

from threadline.questions import amounts
from threadline.questions.amounts import Amounts, Doubts, Totals
from threadline.questions.context import Context
from threadline.questions.scoped import Scoped
from threadline.questions.stats_sum import PEOPLE, Measured, considered, ordered
from threadline.store import Row

# Of amounts `$amount`, decimals, as far as they `$counted`; null of none.
FIGURES: Mapping[str, str] = {
    "avg": "toFloat64(sumOrNullIf($amount, $counted)) / countIf($counted)",
    "median": "quantileExactInclusiveOrNullIf(0.5)(toFloat64($amount), $counted)",
    "p90": "quantileExactInclusiveOrNullIf(0.9)(toFloat64($amount), $counted)",
    "min": "toFloat64(minOrNullIf($amount, $counted))",
    "max": "toFloat64(maxOrNullIf($amount, $counted))",
    "per_person": "toFloat64(sumOrNullIf($amount, $counted))",
}
PER_PERSON = "per_person"

PRICED = f"""
WITH considered AS (
    SELECT ${{people}}$money AS money$columns
    FROM counted_events AS e
    $where
), priced AS (
    SELECT ${{by}}{amounts.CURRENCY} AS currency, money.amount AS amount, money.counted AS counted,
        money.skipped AS skipped, money.rounded AS rounded,
        {amounts.MISCODED} AND counted AS miscoded
    FROM $relation AS p
    $joins
)"""
BY_CURRENCY = f"""{PRICED}, figured AS (
    SELECT ${{names}}s.currency AS currency, $figure AS figure, countIf(s.counted) AS counted,
        countIf(s.skipped) AS skipped, countIf(s.rounded) AS rounded,
        countIf(s.miscoded) AS miscoded$persons
    FROM priced AS s
    GROUP BY ${{grouped}}currency
)
SELECT ${{names}}groupArrayIf((s.currency, assumeNotNull(s.figure)), s.counted > 0) AS figures,
    sum(s.skipped) AS skipped, sum(s.rounded) AS rounded, sum(s.miscoded) AS miscoded$people_found
FROM figured AS s
$group_by
ORDER BY $order
LIMIT $limit"""
CONVERTED = f"""{PRICED}
SELECT ${{names}}$figure AS figure,
    sumMapIf([s.currency], [s.amount], [toUInt64(s.counted)], s.counted AND NOT $has_rate)
        AS amounts,
    countIf(s.skipped) AS skipped, countIf(s.rounded) AS rounded,
    countIf(s.miscoded) AS miscoded$people_found
FROM priced AS s
$join
$group_by
ORDER BY $order
LIMIT $limit"""


def figured(
    context: Context,
    metric: str,
    asked: Amounts,
    by: Scoped,
    conditions: Sequence[str],
    values: Mapping[str, object],
    limit: int,
    order: str = "",
) -> Measured:
    """A row for each of the groups, as `stats_sum.summed`."""
    groups = by.grouped
    of_people = metric == PER_PERSON
    day = {"day": "toDate32(e.timestamp)"} if asked.currency else {}
    columns = {**day, **({"person": ""} if of_people else {})}
    amount, has_rate = amounts.in_currency("s") if asked.currency else ("s.amount", "TRUE")
    counted = f"s.counted AND {has_rate}" if asked.currency else "s.counted"
    greatest = "figure" if asked.currency else "arrayMax(figures.2)"
    slots: dict[str, object] = {
        **considered(context, asked, by, conditions, day),
        "by": by.selected + "".join(f"p.{name} AS {name}, " for name in columns),
        "grouped": "".join(f"{name}, " for name in groups),
        "names": "".join(f"s.{name} AS {name}, " for name in groups),
        "figure": Template(FIGURES[metric]).substitute(amount=amount, counted=counted),
        "persons": "",
        "people_found": "",
        "has_rate": has_rate,
        "join": amounts.join_rates(asked, "s"),
        "group_by": f"GROUP BY {', '.join(groups)}" if groups else "",
        "order": ordered(by, f"{greatest} / persons" if of_people else greatest, order),
        "limit": limit + 1,
    }
    if of_people:
        slots |= _people(asked)
    sql = CONVERTED if asked.currency else BY_CURRENCY
    rows = context.ask(sql, {**values, **asked.values}, slots, by.visits(values))
    doubts = [Doubts.of(row) for row in rows]
    totals = [_totals(row) for row in rows]
    per = [row.pop("persons") or 1 if of_people else 1 for row in rows]
    _set_values(rows, asked, per)
    return Measured(rows, totals, doubts)


OF_PEOPLE: dict[str, object] = {
    "people": PEOPLE,
    "relation": "person_events",
}


def _people(asked: Amounts) -> dict[str, object]:
    """Slots for how many people there are in each group, with or without an amount."""
    if asked.currency:
        return {**OF_PEOPLE, "people_found": ",\n    uniqExact(s.person) AS persons"}
    return {
        **OF_PEOPLE,
        "persons": ",\n        uniqExactState(s.person) AS people",
        "people_found": ",\n    uniqExactMerge(s.people) AS persons",
    }


def _totals(row: Row) -> Totals:
    if "amounts" not in row:
        return Totals({})
    codes, sums, _ = row.pop("amounts")
    return Totals(dict(zip(codes, sums, strict=True)))


def _set_values(rows: Sequence[Row], asked: Amounts, per: Sequence[int]) -> None:
    """`value` of each row, in all of them alike."""
    if asked.currency:
        for row, many in zip(rows, per, strict=True):
            figure = row.pop("figure")
            row["value"] = None if figure is None else plain(figure / many)
        return
    found = [
        {code: plain(figure / many) for code, figure in sorted(row.pop("figures"), key=_last)}
        for row, many in zip(rows, per, strict=True)
    ]
    has_codes = any(code for each in found for code in each)
    for row, figures in zip(rows, found, strict=True):
        named = {code or amounts.NONE: figure for code, figure in figures.items()}
        row["value"] = named if has_codes else figures.get("")


def plain(figure: float) -> float:
    """Without what floats put behind the 15th digit."""
    return float(f"{figure:.15g}")


def _last(figure: tuple[str, float]) -> tuple[bool, str]:
    return not figure[0], figure[0]
