"""The embedded engine's background work gives way to events and questions.

Merges, and the rewriting of what was deleted, run in this process on as many threads as there are
cores. Where the cores are all in use, the system gives these threads what the others leave.
"""

import os
from contextlib import suppress
from pathlib import Path

# Out of 19: about a tenth of a core that others want, so that merges still keep up.
NICE = 10
THREADS = "MergeMutate"
TASKS = Path("/proc/self/task")


def give_way() -> None:
    """Have the threads that there are now give way. Only Linux tells one thread from another."""
    if not TASKS.is_dir():
        return
    for task in TASKS.iterdir():
        with suppress(OSError):  # it ended meanwhile
            if (task / "comm").read_text().strip() == THREADS:
                number = int(task.name)
                if os.getpriority(os.PRIO_PROCESS, number) < NICE:
                    os.setpriority(os.PRIO_PROCESS, number, NICE)
