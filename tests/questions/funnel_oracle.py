"""Funnels in plain Python, by what `docs/funnels.md` says: ways through a person's events, looked
for backwards from each event. Slow and obvious; shares nothing with the SQL."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

Event = dict[str, Any]
Is = Callable[[Event], bool]


class Wanted(NamedTuple):
    """One step: whether an event may be it. Steps that are the same have the same `text`."""

    text: str
    is_it: Is
    optional: bool = False


@dataclass(frozen=True)
class Asked:
    """`excluded`: of an event, whether it must not come in between."""

    steps: Sequence[Wanted]
    window: dt.timedelta
    order: str = "sequence"
    excluded: Is = lambda event: False


class Reached(NamedTuple):
    """One person: when each step was done, and how long after the one before it that nobody may
    leave out; nothing where it was not."""

    at: list[dt.datetime | None]
    gaps: list[dt.timedelta | None]


def reached(events: list[Event], asked: Asked) -> Reached | None:
    """How far a person got; None who did not do the first step."""
    line = _in_order(events, asked)
    found = _in_any_order(line, asked) if asked.order == "any" else _in_this_order(line, asked)
    return found if found.at[0] else None


def _stands_between(event: Event, asked: Asked) -> bool:
    return asked.order == "strict" or asked.excluded(event)


def _may_be(event: Event, asked: Asked) -> list[int]:
    return [k for k, step in enumerate(asked.steps) if step.is_it(event)]


def _in_order(events: list[Event], asked: Asked) -> list[Event]:
    """Of the same moment by the first step that each may be, then by the others; what may be none
    comes before them."""
    kinds = list(dict.fromkeys(step.text for step in asked.steps))
    places = {k: k for k in range(len(asked.steps))}
    if asked.order == "any":
        places = {k: kinds.index(step.text) for k, step in enumerate(asked.steps)}

    def key(event: Event) -> tuple[Any, ...]:
        may_be = {places[k] for k in _may_be(event, asked)}
        marks = sum(2**k for k in may_be)
        between = _stands_between(event, asked)
        return (event["t"], min(may_be) if may_be else -1, marks, between)

    done = [
        event
        for event in events
        if _may_be(event, asked)
        or (asked.excluded(event) if asked.order != "strict" else event["event"] != "$identify")
    ]
    return sorted(done, key=key)


def _in_this_order(line: list[Event], asked: Asked) -> Reached:
    steps = asked.steps
    required = [k for k, step in enumerate(steps) if not step.optional]
    back = {k: max(r for r in required if r < k) for k in range(1, len(steps))}

    @cache
    def way(n: int, k: int) -> dict[int, dt.datetime] | None:
        """The way on which the nth event is step k: it goes on from the latest there was."""
        if not steps[k].is_it(line[n]):
            return None
        at = line[n]["t"]
        if k == 0:
            return {0: at}
        for m in range(n - 1, -1, -1):
            before = _before(m, k)
            if before is not None:
                return {**before, k: at} if at - before[0] <= asked.window else None
            if _stands_between(line[m], asked):
                return None
        return None

    def _before(m: int, k: int) -> dict[int, dt.datetime] | None:
        """The way to what stands before step k, if the mth event completes one. Where nothing may
        come in between, that may be a step that others leave out."""
        ends = range(back[k], k) if asked.order == "strict" else [back[k]]
        ways = [(end, found) for end in ends if (found := way(m, end)) is not None]
        return max(ways, key=lambda pair: (pair[1][0], pair[0]))[1] if ways else None

    firsts = [
        next((found for n in range(len(line)) if (found := way(n, k)) is not None), None)
        for k in range(len(steps))
    ]
    furthest = next((firsts[k] for k in reversed(required) if firsts[k] is not None), None)
    at: list[dt.datetime | None] = []
    gaps: list[dt.timedelta | None] = []
    for k, first in enumerate(firsts):
        of = first if steps[k].optional else furthest
        got = first is not None and of is not None
        at.append(of[k] if got and of else None)
        gaps.append(of[k] - of[back[k]] if got and of and k else None)
    return Reached(at, gaps)


def _in_any_order(line: list[Event], asked: Asked) -> Reached:
    texts = [step.text for step in asked.steps]
    best: list[dt.datetime] = []
    for n, event in enumerate(line):
        start = max((m for m in range(n + 1) if _stands_between(line[m], asked)), default=0)
        near = [e for e in line[start : n + 1] if event["t"] - e["t"] <= asked.window]
        done: list[dt.datetime] = []
        for text in dict.fromkeys(texts):
            (step, *_) = [each for each in asked.steps if each.text == text]
            times = [e["t"] for e in near if step.is_it(e)]
            done += times[-texts.count(text) :]
        if len(done) > len(best):
            best = sorted(done)
    missing = len(texts) - len(best)
    gaps = [later - earlier for earlier, later in pairwise(best)]
    return Reached(
        [*best, *[None] * missing],
        [None, *gaps, *[None] * (len(texts) - 1 - len(gaps))],
    )
