"""What the counting questions should answer, in plain Python over one owner for each event."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import groupby, pairwise
from statistics import median
from typing import Any

from tests.identity import oracle

Event = dict[str, Any]  # as the identity oracle's, and: source, medium, value
Decisions = oracle.Decisions
Owned = list[tuple[str, Event]]  # each event with its owner, in order of time and id
HOUR = dt.timedelta(hours=1)


def owned(log: list[Event], policy: str, decided: Decisions) -> Owned:
    log = oracle.once(log)
    pairs = [(oracle.person(event, log, policy, decided), event) for event in log]
    return sorted(pairs, key=lambda pair: (pair[1]["t"], pair[1]["id"]))


def by_person(pairs: Owned) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = defaultdict(list)
    for person, event in pairs:
        found[person].append(event)
    return found


def persons(pairs: Owned, group: Callable[[Event], Any]) -> dict[Any, int]:
    seen = {(group(event), person) for person, event in pairs}
    counted: dict[Any, int] = defaultdict(int)
    for key, _ in seen:
        counted[key] += 1
    return dict(counted)


def funnel(
    pairs: Owned, steps: list[str], window: dt.timedelta, exclude: str | None
) -> tuple[list[int], list[float | None]]:
    """Persons at each step, and the median seconds from the step before. At the same moment the
    order of the steps counts, and what excludes comes first."""
    order = [exclude, *steps]
    ways: list[list[dt.datetime]] = []
    for events in by_person(pairs).values():
        best: list[dt.datetime] = []
        alive: dict[int, list[dt.datetime]] = {}
        walked = [event for event in events if event["event"] in order]
        for event in sorted(walked, key=lambda event: (event["t"], order.index(event["event"]))):
            if event["event"] in steps:
                k, t = steps.index(event["event"]), event["t"]
                if k == 0:
                    alive[0] = [t]
                elif k - 1 in alive and t - alive[k - 1][0] <= window:
                    alive[k] = [*alive[k - 1], t]
                else:
                    continue
                if len(alive[k]) > len(best):
                    best = alive[k]
            elif event["event"] == exclude:
                alive = {}
        ways.append(best)
    counts = [sum(len(way) > k for way in ways) for k in range(len(steps))]
    gaps = [
        [(way[k] - way[k - 1]).total_seconds() for way in ways if len(way) > k]
        for k in range(1, len(steps))
    ]
    return counts, [None, *(median(gap) if gap else None for gap in gaps)]


def retention(
    pairs: Owned, cohort: str, returning: str | None, periods: int
) -> dict[dt.date, tuple[int, list[int]]]:
    """Daily cohorts (UTC)."""
    rows: dict[dt.date, tuple[int, list[int]]] = {}
    for events in by_person(pairs).values():
        began = [
            event["t"]
            for event in events
            if cohort == "first_seen"
            or (cohort == "known" and event["u"] is not None)
            or event["event"] == cohort
        ]
        if not began:
            continue
        day = min(began).date()
        back = {(e["t"].date() - day).days for e in events if returning in (None, e["event"])}
        size, kept = rows.get(day, (0, [0] * periods))
        rows[day] = (size + 1, [kept[k] + (k in back) for k in range(periods)])
    return rows


def paths(
    pairs: Owned,
    anchor: str,
    direction: str,
    steps: int,
    window: dt.timedelta,
    rank: Callable[[str], int],
) -> tuple[Counter[tuple[str, ...]], Counter[tuple[int, str, str]]]:
    """Persons by path, and by (step, from, to)."""
    ways: Counter[tuple[str, ...]] = Counter()
    flows: Counter[tuple[int, str, str]] = Counter()
    for _, path in walked(pairs, anchor, direction, steps, window, rank).values():
        ways[path] += 1
        # Away from the event, so that the step next to it is the first.
        away = [anchor, *(path if direction == "after" else path[::-1])]
        for step, (near_by, further) in enumerate(pairwise(away), start=1):
            flow = (near_by, further) if direction == "after" else (further, near_by)
            flows[step, *flow] += 1
    return ways, flows


def walked(
    pairs: Owned,
    anchor: str,
    direction: str,
    steps: int,
    window: dt.timedelta,
    rank: Callable[[str], int],
) -> dict[str, tuple[dt.datetime, tuple[str, ...]]]:
    """Of each person: when they did it, and their path."""
    found: dict[str, tuple[dt.datetime, tuple[str, ...]]] = {}
    for person, events in by_person(pairs).items():
        at = min((event["t"] for event in events if event["event"] == anchor), default=None)
        if at is None:
            continue
        sign = 1 if direction == "after" else -1
        near = [e for e in events if dt.timedelta() < sign * (e["t"] - at) <= window]
        near.sort(key=lambda e: (e["t"], rank(e["event"])))
        passed = [name for name, _ in groupby(near, key=lambda e: e["event"])]
        path = passed[:steps] if direction == "after" else passed[-steps:]
        found[person] = (at, tuple(path))
    return found
