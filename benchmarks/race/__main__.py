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
from benchmarks.race import answers, tables, writing
from benchmarks.race.engines import Engine, databases
from benchmarks.race.log import Log, make
from benchmarks.race.processes import resident_mb
from benchmarks.race.questions import OVERVIEW, OVERVIEW_NAME, Asked, all_asked, everything
from benchmarks.race.threadline import Threadline
from benchmarks.race.turns import Turns, in_turns

# Where nothing is timed, so many events come one by one before answers are compared again.
LATE = 10


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.race",
        description=benchmarks.race.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=7, help="of each question")
    parser.add_argument("--users", type=int, default=50, help="about whom is asked, in turn")
    parser.add_argument("--seconds", type=float, default=10, help="of each load; 0: none")
    parser.add_argument("--answers-only", action="store_true", help="compare, and time nothing")
    options = parser.parse_args()
    log = make(options.events)
    users = Random(1).sample(log.users, min(options.users, len(log.users)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with ExitStack() as opened:
            threadline = Threadline(folder / "threadline")
            others = databases(folder, opened)
            engines: list[Engine] = [opened.enter_context(threadline), *others]
            load(engines, log)
            check(engines, everything(), users)
            if options.answers_only:
                for late in log.late[:LATE]:
                    for engine in engines:
                        engine.insert(late)
            else:
                race(engines, log, users, options.runs)
            # What had come meanwhile has to be in all answers, the kept ones included.
            check(engines, [each for each in everything() if each.policy != "first"], users[:1])
        if options.seconds and not options.answers_only:
            writing.measure(log, folder / "threadline", options.seconds, folder)


def load(engines: Sequence[Engine], log: Log) -> None:
    """All but the late events, one engine after the other."""
    for engine in engines:
        started = time.perf_counter()
        engine.load(log)
        took_s = time.perf_counter() - started
        size = engine.bytes_on_disk() / (log.events - len(log.late))
        print(
            f"- {engine.title}: loaded in {took_s:.1f} s, {size:.0f} bytes an event on the disk, "
            f"{resident_mb(engine.pids):,.0f} MB resident",
            flush=True,
        )


def check(engines: Sequence[Engine], every: Sequence[Asked], users: Sequence[str]) -> None:
    """Leaves with exit status 1 where any answer differs."""
    started = time.perf_counter()
    count, found = answers.compare(engines, every, users)
    print(*found, sep="\n", end="\n" if found else "")
    if found:
        sys.exit(f"{len(found)} of {count} answers differ from Threadline's.")
    took_s = time.perf_counter() - started
    print(f"- {count} answers are the same as Threadline's ({took_s:.1f} s)", flush=True)


def race(engines: Sequence[Engine], log: Log, users: Sequence[str], runs: int) -> None:
    """Every question in turns, and the table of it."""
    titles = [engine.title for engine in engines]
    load_1 = os.getloadavg()[0]
    print(
        f"\n{log.events:,} events, {len(log.users):,} users; median of {runs}, milliseconds (of "
        f"CPU), and how many times as long Threadline takes; load {load_1:.1f}\n"
    )
    print(tables.head(titles))
    some, late = cycle(users), iter(log.late)
    every: list[Turns] = []
    for name, asked in [*((each.name, [each]) for each in all_asked()), (OVERVIEW_NAME, OVERVIEW)]:
        every.append(in_turns(name, engines, asked, some, late, runs))
        print(tables.row(every[-1], titles, log.events), flush=True)
    print(f"\n{tables.next_to_first(every, titles[0])}")
    setting: dict[str, object] = {"events": log.events, "runs": runs, "load": load_1}
    print(f"written to {tables.save(every, setting).relative_to(Path.cwd())}")


if __name__ == "__main__":
    main()
