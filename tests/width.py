"""How much of what could be tried is tried: the one switch is THREADLINE_TEST_WIDE.

Without it a run of all tests takes minutes: of what is made by chance, or multiplied out, it tries
some of each kind. With it (`make test-wide`, each night) it tries all of that. Either way the same
functions run, and a wide run includes what a usual one tries.
"""

import os
from typing import TypeVar

T = TypeVar("T")
WIDE = bool(os.environ.get("THREADLINE_TEST_WIDE"))


def wide(usual: T, wide: T) -> T:
    """What a number or a choice is in a usual run, and in a wide one."""
    return wide if WIDE else usual
