"""The order of an answer's rows."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from threadline.questions.filters import refused
from threadline.questions.near import nearest

Order = Annotated[
    str,
    msgspec.Meta(
        description="Any column of the answer, such as value; `-value`: descending. In a series it "
        "is the order within each interval, or that of intervals: bucket, -bucket. Where there is "
        "one row, or one of each interval, there is nothing to order.",
    ),
]
BUCKET = "bucket"


def order_by(order: str, columns: Mapping[str, str], otherwise: Sequence[str]) -> list[str]:
    """What stands behind ORDER BY. `columns`: the SQL of those of the answer, by name. Raises
    `InvalidParams`."""
    name = order.removeprefix("-")
    if not order or (name == BUCKET and BUCKET in columns):
        return list(otherwise)
    if name not in columns:
        near = nearest(name, columns)
        hint = f"did you mean {near}?" if near else f"there are {', '.join(columns)}"
        raise refused("order", f"there is no column {name!r}; {hint}")
    first = columns[name] + (" DESC" if order.startswith("-") else "")
    return [first, *(each for each in otherwise if each.removesuffix(" DESC") != columns[name])]


def refuse_nothing_to_order(order: str, group_by: str, is_series: bool) -> None:
    """What would be left out in silence, as without groups there is one row, or one of each
    interval. Raises `InvalidParams`."""
    if not order or group_by:
        return
    if not is_series:
        raise refused("order", "goes with group_by, without which there is one row; add that")
    if order.removeprefix("-") != BUCKET:
        message = "without group_by an interval has one row; choose bucket or -bucket, or add that"
        raise refused("order", message)
