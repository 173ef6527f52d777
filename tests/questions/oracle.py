"""What the counting questions should answer, in plain Python over one owner for each event."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import groupby, pairwise
from statistics import mean, median
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


def _session(event: Event) -> tuple[str, int]:
    # Without a device each event has a session of its own.
    return event["a"] or event["id"], int(event["t"].timestamp()) // 1800


def _sessions(events: list[Event]) -> list[list[Event]]:
    found: dict[tuple[str, int], list[Event]] = defaultdict(list)
    for event in events:
        found[_session(event)].append(event)
    return list(found.values())


def _arrivals(events: list[Event]) -> list[Event]:
    return [event for event in events if event["source"] != "internal"]


def _touches(events: list[Event], place: Callable[[Event], int]) -> list[Event]:
    """The first event of each session that is not internal; of the same moment, the smallest
    place."""
    firsts = [
        min(found, key=lambda event: (event["t"], place(event)))
        for session in _sessions(events)
        if (found := _arrivals(session))
    ]
    return sorted(firsts, key=lambda event: (event["t"], place(event)))


def sessions(pairs: Owned, place: Callable[[Event], int]) -> dict[str, tuple[float, ...]]:
    """Source to sessions, persons, events a session, mean seconds, share of one event."""
    found: dict[str, list[tuple[str, list[Event]]]] = defaultdict(list)
    for person, events in by_person(pairs).items():
        for session in _sessions(events):
            touch = min(
                _arrivals(session),
                key=lambda event: (event["t"], place(event)),
                default={"source": "internal"},
            )
            found[touch["source"]].append((person, session))
    return {
        source: (
            len(rows),
            len({person for person, _ in rows}),
            mean(len(session) for _, session in rows),
            mean((s[-1]["t"] - s[0]["t"]).total_seconds() for _, s in rows),
            mean(len(session) == 1 for _, session in rows),
        )
        for source, rows in found.items()
    }


def _weights(model: str, touches: list[Event], at: dt.datetime) -> list[float]:
    n = len(touches)
    if model == "first_touch":
        return [1.0] + [0.0] * (n - 1)
    if model == "last_touch":
        return [0.0] * (n - 1) + [1.0]
    if model == "last_non_direct":
        others = [i for i, t in enumerate(touches) if t["source"] not in ("direct", "internal")]
        return [float(i == (others[-1] if others else n - 1)) for i in range(n)]
    if model == "linear":
        return [1 / n] * n
    if model == "position_based":
        if n < 3:
            return [1 / n] * n
        return [0.4] + [0.2 / (n - 2)] * (n - 2) + [0.4]
    decayed = [0.5 ** ((at - t["t"]) / dt.timedelta(days=7)) for t in touches]
    return [d / sum(decayed) for d in decayed]


def attribution(
    pairs: Owned,
    conversion: str,
    model: str,
    lookback: dt.timedelta,
    place: Callable[[Event], int],
) -> dict[tuple[str, str], tuple[float, int, float]]:
    """(source, medium) to conversions, persons, value."""
    credit: dict[tuple[str, str], float] = defaultdict(float)
    value: dict[tuple[str, str], float] = defaultdict(float)
    who: dict[tuple[str, str], set[str]] = defaultdict(set)
    for person, events in by_person(pairs).items():
        touches = _touches(events, place)
        for event in events:
            if event["event"] != conversion:
                continue
            found = [t for t in touches if event["t"] - lookback <= t["t"] <= event["t"]]
            found = found or [{"t": event["t"], "source": "direct", "medium": "direct"}]
            for touch, weight in zip(found, _weights(model, found, event["t"]), strict=True):
                if weight > 0:
                    key = (touch["source"], touch["medium"])
                    credit[key] += weight
                    value[key] += weight * event["value"]
                    who[key].add(person)
    return {key: (credit[key], len(who[key]), value[key]) for key in credit}


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
    for events in by_person(pairs).values():
        at = min((event["t"] for event in events if event["event"] == anchor), default=None)
        if at is None:
            continue
        sign = 1 if direction == "after" else -1
        near = [e for e in events if dt.timedelta() < sign * (e["t"] - at) <= window]
        near.sort(key=lambda e: (e["t"], rank(e["event"])))
        passed = [name for name, _ in groupby(near, key=lambda e: e["event"])]
        path = passed[:steps] if direction == "after" else passed[-steps:]
        ways[tuple(path)] += 1
        # Away from the event, so that the step next to it is the first.
        away = [anchor, *(path if direction == "after" else path[::-1])]
        for step, (near_by, further) in enumerate(pairwise(away), start=1):
            flow = (near_by, further) if direction == "after" else (further, near_by)
            flows[step, *flow] += 1
    return ways, flows
