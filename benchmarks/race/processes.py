"""What processes take, seen from outside."""

import os
import time
from pathlib import Path

from benchmarks.report import memory_kb

TICKS = os.sysconf("SC_CLK_TCK")
# Linux: the clock of what all threads of a process have spent; of another process, too.
PROCESS_CLOCK = 2


def children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_s(pids: list[int]) -> float:
    """CPU seconds of these processes so far, of their children, and of those that have ended."""
    return sum(map(_own_cpu_s, pids))


def _own_cpu_s(pid: int) -> float:
    # Behind the name, which may hold anything: user and system time of children that ended.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    spent = (int(fields[13]) + int(fields[14])) / TICKS
    for each in (pid, *children(pid)):
        try:
            spent += time.clock_gettime((~each << 3) | PROCESS_CLOCK)
        except OSError:  # it has just ended
            continue
    return spent


def resident_mb(pids: list[int]) -> float:
    """Resident memory of these processes, without what several of them share twice."""
    total = 0
    for pid in pids:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    return total / 1024


def of_its_own_mb(pid: int) -> float:
    """Memory that no file stands behind."""
    return memory_kb(pid)["RssAnon"] / 1024


def bytes_below(folder: Path) -> int:
    """On the disk, of all files in a folder."""
    files = (file for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
    return sum(file.stat().st_blocks * 512 for file in files)
