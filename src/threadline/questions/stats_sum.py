"""The metric `sum` of `GET /v1/stats`."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from threadline.identity.compose import where
from threadline.questions import amounts
from threadline.questions.amounts import Amounts, Doubts, Totals, Unconverted
from threadline.questions.context import Context
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


class Summed(NamedTuple):
    """The rows, and what there is to say of the first `limit` of them."""

    rows: list[Row]
    is_empty: bool
    doubts: Doubts
    unconverted: Unconverted


def summed(
    context: Context,
    asked: Amounts,
    by: Scoped,
    conditions: Sequence[str],
    values: Mapping[str, object],
    limit: int,
) -> Summed:
    """A row for each of the groups, with its `value`; one more than `limit`, if there are so many,
    as ordered by `newest_first`."""
    groups = [*(name for name in by.own if name not in by.names), *by.names]
    # A day is the day of UTC, which timestamps are in.
    day = {"day": "toDate32(e.timestamp)"} if asked.currency else {}
    columns = by.columns | day
    of_people = by.scopes or context.narrowing.of_people
    greatest = "converted" if asked.currency else "arrayMax(amounts.2)"
    slots: dict[str, object] = {
        "money": amounts.read(asked),
        "columns": "".join(f",\n        {sql} AS {name}" for name, sql in columns.items()),
        "where": where(conditions),
        "people": PEOPLE if of_people else "",
        "relation": "person_events" if of_people else "considered",
        "joins": by.joins,
        "by": by.selected + "".join(f"p.{name} AS {name}, " for name in day),
        "grouped": ", ".join([*groups, *day, "money.code"]),
        "names": "".join(f"s.{name} AS {name}, " for name in groups),
        "sums": amounts.sums(asked, "s"),
        "join": amounts.join_rates(asked, "s"),
        "group_by": f"GROUP BY {', '.join(groups)}" if groups else "",
        "order": newest_first(groups, f"{greatest} DESC", *(g for g in groups if g != "bucket")),
        "limit": limit + 1,
    }
    rows = context.ask(SQL, {**values, **asked.values}, slots, by.visits(values))
    totals = [Totals.of(row) for row in rows]
    doubts = [Doubts.of(row) for row in rows]
    for row, value in zip(rows, amounts.as_values(asked, totals), strict=True):
        row["value"] = value
    shown = totals[:limit]
    return Summed(
        rows,
        all(each.is_empty for each in shown),
        Doubts.together(doubts[:limit]),
        amounts.unconverted(asked, shown),
    )
