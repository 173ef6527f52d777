"""Rows of an attribution, of what was found: their order, what each model gives, their total."""

from typing import Any

import msgspec

from threadline.questions import amounts
from threadline.questions.amounts import Amounts, Totals
from threadline.questions.attribution_shapes import AttributionOther, AttributionTotal, Credit, Lag
from threadline.questions.credit import Model
from threadline.store import Row


def ordered(rows: list[Row], order: str) -> list[Row]:
    """As they come, those of most conversions first; else by another column, of the first model."""
    if order == "-conversions":
        return rows
    name = order.removeprefix("-")
    column = name if name in ("influenced", "touches") else f"{name}_1"

    def size(row: Row) -> float:
        found = row[column]
        return sum(found.values()) if isinstance(found, dict) else found

    return sorted(rows, key=size, reverse=order.startswith("-"))


def other_of(
    asked: Amounts | None, total: Totals, kept: list[Row], others: list[Row]
) -> AttributionOther:
    """What the rows that are left out come to. `total`: of all rows, by the first model."""
    other = AttributionOther(
        sum(row["conversions_1"] for row in others), sum(row["touches"] for row in others)
    )
    if asked:
        other.value = amounts.rest(asked, total, [row["totals"][0] for row in kept])
    return other


def is_credited(row: Row, models: list[Model]) -> bool:
    """Whether any of the models gives it anything."""
    return any(row[f"conversions_{n}"] > 0 for n in range(1, len(models) + 1))


def add_values(asked: Amounts, rows: list[Row], models: list[Model]) -> list[list[Totals]]:
    """What each model gives, as `value_1`, `value_2`, … of the rows; all rows of all models show it
    alike. And the sums that it is made of."""
    totals = [[Totals.of(row, f"_{n}") for n in range(1, len(models) + 1)] for row in rows]
    values = iter(amounts.as_values(asked, [each for of_row in totals for each in of_row]))
    for row in rows:
        row |= {f"value_{n}": next(values) for n in range(1, len(models) + 1)}
    return totals


def _credit(row: Row, number: int) -> Credit:
    value = row.get(f"value_{number}", msgspec.UNSET)
    return Credit(row[f"conversions_{number}"], row[f"persons_{number}"], value)


def shared(row: Row, models: list[Model]) -> dict[str, Any]:
    """What rows and total share."""
    credits = {model: _credit(row, n) for n, model in enumerate(models, start=1)}
    first = credits[models[0]]
    return {
        "conversions": first.conversions,
        "persons": first.persons,
        "value": first.value,
        "influenced": row["influenced"],
        "touches": row["touches"],
        "lag_seconds": Lag(*row["lags"]) if row["touches"] else None,
        "models": credits if len(models) > 1 else msgspec.UNSET,
    }


def total_of(row: Row, models: list[Model]) -> AttributionTotal:
    """The row of all groups together."""
    # Put together again from its parts: a whole number but for the last bits.
    whole = {"conversions": round(row["conversions_1"]), "outside_window": round(row["outside"])}
    return AttributionTotal(**{**shared(row, models), **whole})
