"""Temporary folders in memory, where the machine has room for them.

What syncs every event to a disk waits for it thousands of times in a run of all tests. All folders
of such a run take about a gigabyte.
"""

import os
import re
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
ROOM_BYTES = 4 * 1024**3


def use_memory() -> None:
    """Have this process, and those that it starts, put temporary files there. Not where somebody
    has said where to put them."""
    if "TMPDIR" not in os.environ and MEMORY.is_mount() and _room() > ROOM_BYTES:
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None  # pytest has asked for it before


def _room() -> int:
    """Bytes: of the file system, which may promise more than the machine has, and of memory."""
    (available_kib,) = re.findall(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())
    return min(shutil.disk_usage(MEMORY).free, int(available_kib) * 1024)
