"""Timing, and results as a table on the screen and as JSON in `benchmarks/out`."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

OUT = Path(__file__).parent / "out"

T = TypeVar("T")


class Report:
    """Rows of: what, baseline, measured, ratio, target. Printed as they come."""

    def __init__(self, name: str, **setting: object) -> None:
        self._name = name
        self._setting = {**setting, "cpus": os.cpu_count(), "python": platform.python_version()}
        self._rows: list[dict[str, str]] = []
        print(f"\n{name}: {', '.join(f'{key} {value}' for key, value in self._setting.items())}\n")
        print("| what | baseline | measured | ratio | target |\n| --- | --- | --- | --- | --- |")

    def row(
        self, what: str, measured: str, baseline: str = "–", ratio: str = "–", target: str = "–"
    ) -> None:
        """One line of the table."""
        cells = {
            "what": what,
            "baseline": baseline,
            "measured": measured,
            "ratio": ratio,
            "target": target,
        }
        self._rows.append(cells)
        print(f"| {' | '.join(cells.values())} |", flush=True)

    def save(self) -> None:
        """Write the JSON."""
        OUT.mkdir(parents=True, exist_ok=True)
        path = OUT / f"{self._name}.json"
        written: dict[str, Any] = {"setting": self._setting, "rows": self._rows}
        path.write_text(json.dumps(written, indent=1))
        print(f"\nwritten to {path.relative_to(Path.cwd())}")


def median_s(ask: Callable[[], object], runs: int) -> float:
    """The median duration, after one run to warm up."""
    return medians_s([ask], runs)[0]


def medians_s(asks: Sequence[Callable[[], object]], runs: int) -> list[float]:
    """The median duration of each, taken in turns: whatever slows the machine down slows all."""
    return [statistics.median(times) for times in in_turns_s(asks, runs)]


def in_turns_s(asks: Sequence[Callable[[], object]], runs: int) -> list[tuple[float, ...]]:
    """All durations of each, taken in turns, after one run of each to warm up."""
    for ask in asks:
        ask()
    took = [[timed_s(ask)[0] for ask in asks] for _ in range(runs)]
    return list(zip(*took, strict=True))


def timed_s(ask: Callable[[], T]) -> tuple[float, T]:
    """How long a call took, and what it returned."""
    start = time.perf_counter()
    answer = ask()
    return time.perf_counter() - start, answer


def ms(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms"


def rate(events: float, seconds: float) -> str:
    return f"{events / seconds:,.0f}/s"


def memory(pid: int) -> str:
    """Resident memory of a process. How much of the engine's library counts depends on how its file
    came into the page cache, so what is the process's own is said, too."""
    kb = memory_kb(pid)
    return f"{kb['VmRSS'] / 1024:,.0f} MB, {kb['RssAnon'] / 1024:,.0f} its own"


def memory_kb(pid: int | str) -> dict[str, int]:
    """What Linux says of a process's memory, by its names, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {
        line.split(":")[0]: int(line.split()[1])
        for line in status
        if line.startswith(("Vm", "Rss"))
    }
