"""`threadline` for the soak: its clock goes faster, and what it does once a minute or every few
seconds goes along. `SOAK_SPEED`: seconds of its clock in one of ours, since `SOAK_BEGAN`."""

import os
import time

SPEED = float(os.environ["SOAK_SPEED"])
BEGAN_NS = int(os.environ["SOAK_BEGAN"])
_time_ns = time.time_ns


def moved_ns() -> int:
    return BEGAN_NS + int((_time_ns() - BEGAN_NS) * SPEED)


if __name__ == "__main__":
    time.time_ns = moved_ns
    time.time = lambda: moved_ns() / 1e9

    from threadline.cli.main import main
    from threadline.runtime import backing_up, services, upkeep

    # A day has at least a look an hour, as one of ours has one a minute.
    services.HOUSEKEEPING_EVERY_S = min(60.0, 3600 / SPEED)
    upkeep.LOOK_EVERY_S = min(5.0, 3600 / SPEED)
    backing_up.LOOK_EVERY_S = min(backing_up.LOOK_EVERY_S, 3600 / SPEED)
    main()
