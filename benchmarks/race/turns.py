"""Timing in turns, so that what else the machine does meets all engines."""

import statistics
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.race.engines import Engine
from benchmarks.race.log import Late
from benchmarks.race.processes import cpu_s
from benchmarks.race.questions import Asked

# A question that takes so long in all is asked fewer times, at least once after it was warm.
MOST_S = 60.0


class Timed(NamedTuple):
    """Medians, in milliseconds, of an engine: until the answer was there, and of CPU."""

    wall_ms: float
    cpu_ms: float


class Turns(NamedTuple):
    """`name`: of what was asked. `asked`: of each engine by its title, after something had come.
    `again`: of the first of them, asked the same once more with nothing new."""

    name: str
    asked: dict[str, Timed]
    again: Timed


def in_turns(
    name: str,
    engines: Sequence[Engine],
    asked: Sequence[Asked],
    users: Iterator[str],
    late: Iterator[Late],
    runs: int,
) -> Turns:
    """These questions at once to every engine, after one more event has come to all of them; each
    time about another user. The first turn warms up and does not count."""
    took: dict[str, list[Timed]] = {engine.title: [] for engine in engines}
    again: list[Timed] = []
    started = time.monotonic()
    for turn in range(runs + 1):
        user, event = next(users), next(late)
        for number, engine in enumerate(engines):
            engine.insert(event)
            timed = [_timed(engine, asked, user)]
            if number == 0:
                timed.append(_timed(engine, asked, user))
            if turn:
                took[engine.title].append(timed[0])
                again += timed[1:]
        if turn and time.monotonic() - started > MOST_S:
            break
    medians = {title: _median(times) for title, times in took.items()}
    return Turns(name, medians, _median(again))


def _timed(engine: Engine, asked: Sequence[Asked], user: str) -> Timed:
    before_s = cpu_s(engine.pids)
    took_s = engine.took_s(asked, user)
    return Timed(took_s * 1000, (cpu_s(engine.pids) - before_s) * 1000)


def _median(times: Sequence[Timed]) -> Timed:
    return Timed(*(statistics.median(values) for values in zip(*times, strict=True)))
