"""Which parts of a number carry its move: each part's own move, in numbers that sum. Pure.

The move is this week's value minus the average of the weeks before, and so is each part's; where
every event, visit or person is in exactly one part, these sum to the whole. `rest` is what the
parts that are not named come to, so that the sum is exact in any case.

A part that is always large moves much when everything moves. What carries a move did more than its
proportion: its share of the move, minus its share of what there was on average. And what did more
than the whole move was mostly made up for by others, as where people go over to another version:
beyond all of it a share counts downwards.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

# Of the whole move, at least so much is the part's own, and so much beyond its proportion.
CARRIES, BEYOND = 0.5, 0.25
DIGITS = 6


class Part(msgspec.Struct):
    """One group. `now`: in the week; `average`: in a week before; `change`: the difference;
    `share`: of the whole change."""

    value: str | None
    now: float
    average: float
    change: float
    share: float


class Remainder(msgspec.Struct):
    """All groups that are not named."""

    now: float
    average: float
    change: float
    share: float


class Breakdown(msgspec.Struct):
    """The move by one dimension: the changes of `rows` and `rest` sum to it."""

    dimension: str
    rows: list[Part]
    rest: Remainder


class Carrier(msgspec.Struct):
    """The one group that carries the move. `share`: of it."""

    dimension: str
    value: str | None
    now: float
    average: float
    change: float
    share: float


class Whole(NamedTuple):
    now: float
    average: float

    @property
    def move(self) -> float:
        return self.now - self.average


def breakdown(
    dimension: str, whole: Whole, parts: Mapping[str | None, tuple[float, float]], named: int
) -> Breakdown:
    """`parts`: of each group what it is now, and on average. `named`: how many are named."""
    rows = [
        _part(value, now, average, whole.move)
        for value, (now, average) in sorted(
            parts.items(), key=lambda each: (-abs(each[1][0] - each[1][1]), str(each[0]))
        )[:named]
    ]
    now = whole.now - sum(row.now for row in rows)
    average = whole.average - sum(row.average for row in rows)
    change = whole.move - sum(row.change for row in rows)
    rest = Remainder(
        round(now, DIGITS),
        round(average, DIGITS),
        round(change, DIGITS),
        _share(change, whole.move),
    )
    return Breakdown(dimension, rows, rest)


def carrier(whole: Whole, breakdowns: Iterable[Breakdown]) -> Carrier | None:
    """The group that carries most of the move beyond its proportion; None where it is spread."""
    best: tuple[float, Carrier] | None = None
    for each in breakdowns:
        for row in each.rows:
            part = row.average / whole.average if whole.average else 0.0
            beyond = min(row.share, 2 - row.share) - part
            if row.share >= CARRIES and beyond >= BEYOND and (not best or beyond > best[0]):
                fields = msgspec.structs.asdict(row)
                best = (beyond, Carrier(dimension=each.dimension, **fields))
    return best[1] if best else None


def _part(value: str | None, now: float, average: float, move: float) -> Part:
    change = now - average
    return Part(value, now, round(average, DIGITS), round(change, DIGITS), _share(change, move))


def _share(change: float, move: float) -> float:
    return round(change / move, DIGITS) + 0.0 if move else 0.0
