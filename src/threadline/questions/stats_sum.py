"""The metric `sum` of `GET /v1/stats`."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from threadline.identity.compose import where
from threadline.questions import amounts
from threadline.questions.amounts import Amounts, Doubts, Totals
from threadline.questions.context import Context
from threadline.questions.ordering import order_by
from threadline.questions.scoped import Scoped
from threadline.questions.series import newest_first
from threadline.store import Row

# Each currency, and to be converted each day, by itself first: that leaves few rows.
SQL = f"""
WITH considered AS (
    SELECT ${{people}}$money AS money$columns
    FROM counted_events AS e
    $where
), summed AS (
    SELECT ${{by}}{amounts.CURRENCY} AS currency, sum(money.amount) AS amount,
        countIf(money.counted) AS counted, countIf(money.skipped) AS skipped,
        countIf(money.rounded) AS rounded, if({amounts.MISCODED}, counted, 0) AS miscoded
    FROM $relation AS p
    $joins
    GROUP BY $grouped
)
SELECT $names$sums,
    sum(s.skipped) AS skipped, sum(s.rounded) AS rounded, sum(s.miscoded) AS miscoded
FROM summed AS s
$join
$group_by
ORDER BY $order
LIMIT $limit"""

# What tells whose an event is, where that matters.
PEOPLE = "e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp, "


class Measured(NamedTuple):
    """`rows`: with their `value`. `totals`, `doubts`: of each row, in the same order."""

    rows: list[Row]
    totals: list[Totals]
    doubts: list[Doubts]


def summed(
    context: Context,
    asked: Amounts,
    by: Scoped,
    conditions: Sequence[str],
    values: Mapping[str, object],
    limit: int,
    order: str = "",
) -> Measured:
    """A row for each of the groups, with its `value`; one more than `limit`, if there are so many,
    as ordered by `newest_first`."""
    groups = by.grouped
    # A day is the day of UTC, which timestamps are in.
    day = {"day": "toDate32(e.timestamp)"} if asked.currency else {}
    greatest = "converted" if asked.currency else "arrayMax(amounts.2)"
    slots: dict[str, object] = {
        **considered(context, asked, by, conditions, day),
        "by": by.selected + "".join(f"p.{name} AS {name}, " for name in day),
        "grouped": ", ".join([*groups, *day, "money.code"]),
        "names": "".join(f"s.{name} AS {name}, " for name in groups),
        "sums": amounts.sums(asked, "s"),
        "join": amounts.join_rates(asked, "s"),
        "group_by": f"GROUP BY {', '.join(groups)}" if groups else "",
        "order": ordered(by, greatest, order),
        "limit": limit + 1,
    }
    rows = context.ask(SQL, {**values, **asked.values}, slots, by.visits(values))
    totals = [Totals.of(row) for row in rows]
    doubts = [Doubts.of(row) for row in rows]
    for row, value in zip(rows, amounts.as_values(asked, totals), strict=True):
        row["value"] = value
    return Measured(rows, totals, doubts)


def considered(
    context: Context, asked: Amounts, by: Scoped, conditions: Sequence[str], day: Mapping[str, str]
) -> dict[str, object]:
    """Slots for the events, their money, and what is joined to them."""
    of_people = by.of_people or context.narrowing.of_people
    columns = {**by.columns, **day}
    return {
        "money": amounts.read(asked),
        "columns": "".join(f",\n        {sql} AS {name}" for name, sql in columns.items()),
        "where": where(conditions),
        "people": PEOPLE if of_people else "",
        "relation": "person_events" if of_people else "considered",
        "joins": by.joins,
    }


def ordered(by: Scoped, greatest: str, order: str) -> str:
    """Greatest first, or by another column, in each interval. Raises `InvalidParams`."""
    groups = by.grouped
    names = [name for name in groups if name != "bucket"]
    columns = {"value": greatest, **{by.title(name): name for name in groups}}
    return newest_first(groups, *order_by(order, columns, [f"{greatest} DESC", *names]))
