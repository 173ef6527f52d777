"""What a check of `threadline doctor` says."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from threadline.settings import Settings


class Finding(NamedTuple):
    """`mend` says what to do; empty when nothing is wrong."""

    found: str
    mend: str = ""


Check = Callable[[Settings, Path], Finding]
