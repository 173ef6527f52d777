"""`threadline` under a clock that tests move: the milliseconds that it is off lie in a file.

The clock is the one thing of a visit on another day that cannot be real.
"""

import os
import time
from pathlib import Path

OFFSET = Path(os.environ["THREADLINE_TEST_CLOCK"])
_time_ns = time.time_ns


def moved_ns() -> int:
    return _time_ns() + int(OFFSET.read_text()) * 1_000_000


if __name__ == "__main__":
    time.time_ns = moved_ns
    time.time = lambda: moved_ns() / 1e9

    from threadline.cli.main import main

    main()
