import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from random import Random

import benchmarks.race
from benchmarks.race import answers, tables
from benchmarks.race.engines import Engine, databases
from benchmarks.race.log import Log, make
from benchmarks.race.questions import OVERVIEW, all_asked
from benchmarks.race.threadline import Threadline
from benchmarks.race.turns import in_turns


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.race", description=benchmarks.race.__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--users", type=int, default=50, help="whose journeys are asked for")
    parser.add_argument("--answers-only", action="store_true", help="compare, and time nothing")
    options = parser.parse_args()
    log = make(options.events)
    some = Random(1).sample(log.users, min(options.users, len(log.users)))
    with tempfile.TemporaryDirectory() as name, ExitStack() as opened:
        threadline = opened.enter_context(Threadline(Path(name) / "threadline"))
        engines: list[Engine] = [threadline, *databases(Path(name), opened)]
        load(engines, log)
        check(engines, some)
        if not options.answers_only:
            race(engines, log, some, options.runs)
            check(engines, some[:5])


def load(engines: Sequence[Engine], log: Log) -> None:
    for engine in engines:
        started = time.perf_counter()
        engine.load(log)
        size = engine.bytes_on_disk() / (log.count - len(log.late))
        print(
            f"{engine.title}: loaded in {time.perf_counter() - started:.1f} s, "
            f"{size:.0f} bytes an event on the disk",
            flush=True,
        )


def check(engines: Sequence[Engine], users: Sequence[str]) -> None:
    """Leaves with exit status 1 where any answer differs."""
    started = time.perf_counter()
    found = answers.compare(engines, users)
    print(*found, sep="\n", end="\n" if found else "")
    if found:
        sys.exit(f"{len(found)} answers differ from Threadline's.")
    took_s = time.perf_counter() - started
    print(f"All answers are the same ({took_s:.1f} s).", flush=True)


def race(engines: Sequence[Engine], log: Log, users: Sequence[str], runs: int) -> None:
    titles = [engine.title for engine in engines]
    load_1 = os.getloadavg()[0]
    print(f"\n{log.count:,} events, {len(log.users):,} users, {runs} runs, load {load_1:.1f}\n")
    print(tables.head(titles))
    some, late = cycle(users), iter(log.late)
    for asked in all_asked():
        found = in_turns(engines, [asked], some, late, runs)
        print(tables.row(asked.name, titles, found), flush=True)
    found = in_turns(engines, OVERVIEW, some, late, runs)
    print(tables.row(f"an overview of {len(OVERVIEW)} tiles at once", titles, found), flush=True)


if __name__ == "__main__":
    main()
