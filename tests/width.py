"""How much of what could be tried is tried: the one switch is THREADLINE_TEST_WIDE.

Without it a run of all tests takes minutes: of what is made by chance, or multiplied out, it tries
some of each kind. With it (`make test-wide`, each night) it tries all of that. Either way the same
functions run, and a wide run includes what a usual one tries.
"""

import os
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import example

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
WIDE = bool(os.environ.get("THREADLINE_TEST_WIDE"))


def wide(usual: T, wide: T) -> T:
    """What a number or a choice is in a usual run, and in a wide one."""
    return wide if WIDE else usual


# What sends while something else happens waits this long between requests, as visitors do: as fast
# as it can it takes most of the machine, and shows no more.
PACE_S = wide(0.4, 0.05)
# Of each property that Hypothesis makes examples for. The first that it makes is the smallest there
# is, so that of two one says something.
EXAMPLES = int(os.environ.get("THREADLINE_TEST_EXAMPLES") or wide(2, 20))


def also(**given: Any) -> Callable[[F], F]:
    """An `example` of a property, in a wide run."""
    return example(**given) if WIDE else lambda test: test
