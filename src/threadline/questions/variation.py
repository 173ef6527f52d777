"""What is usual for a number, and what is beyond that: robust statistics, pure.

The usual value is the median of the past, and the spread is its median absolute deviation (MAD),
made comparable to a standard deviation by 1.4826. A week is unusual where

    |value - median| / max(1.4826 * MAD, sqrt(median), 1) > 3.5

which is the modified z-score of Iglewicz and Hoaglin, with the limit they recommend ("How to Detect
and Handle Outliers", ASQC Basic References in Quality Control 16, 1993). Neither a single strange
week in the past nor a few of them change it. The square root is the spread that pure chance gives
to a count (Poisson): where the past happens to be all but constant, that is not taken for a rule.
"""

from collections.abc import Sequence
from math import sqrt
from statistics import median
from typing import NamedTuple

LIMIT = 3.5
TO_STANDARD_DEVIATION = 1.4826
# With fewer the median says nothing of what is usual.
FEWEST = 4


class Usual(NamedTuple):
    """`spread`: as a standard deviation. `low` and `high`: beyond these it is unusual."""

    value: float
    spread: float

    @property
    def low(self) -> float:
        return max(0.0, self.value - LIMIT * self.spread)

    @property
    def high(self) -> float:
        return self.value + LIMIT * self.spread

    def score(self, value: float) -> float:
        """How many spreads a value is away."""
        return (value - self.value) / self.spread


def usual(past: Sequence[float]) -> Usual:
    """What is usual, by at least one value."""
    middle = median(past)
    deviation = median(abs(value - middle) for value in past)
    return Usual(middle, max(TO_STANDARD_DEVIATION * deviation, sqrt(middle), 1.0))
