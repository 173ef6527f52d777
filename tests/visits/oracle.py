"""`visits.md` in plain Python, event by event. Slow and obvious; shares nothing with the SQL.

Whose an event is says the oracle of identity. Of each event is known besides: `source`, `medium`,
`campaign`, `channel`, `path`; `device`, on which it lies; `on_page`, whether a visitor looked at
something. Of the same millisecond the engine orders by numbers, which are the event's `place` and
`visitor`: always alike, that is all that is promised.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.identity import oracle as identity

Event = identity.Event
RETURN_TIMEOUT = dt.timedelta(hours=4)
LOOKBACK = dt.timedelta(days=30)
MODELS = "first_touch last_touch last_non_direct linear position_based time_decay".split()
Names = tuple[str, str, str, str]
DIRECT: Names = ("direct", "direct", "", "Direct")
OUTSIDE: Names = ("outside_window",) * 4


def is_return(event: Event) -> bool:
    return bool(event["medium"] == "return")


def is_external(event: Event) -> bool:
    return event["source"] not in ("direct", "internal") and event["medium"] not in (
        "internal",
        "return",
        "spam",
    )


def names(event: Event) -> Names:
    return (event["source"], event["medium"], event["campaign"], event["channel"])


class Touch(NamedTuple):
    """In the order in which they count. `place`: a number for `names`. `events`: those of its
    millisecond that may have been it."""

    t: dt.datetime
    place: int
    visitor: int
    names: Names
    events: tuple[str, ...]

    @property
    def is_direct(self) -> bool:
        return self.names[0] == "direct"


@dataclass
class Visit:
    """`events`: in order of time, of the same time a return first."""

    events: list[Event]
    direct_place: int

    @property
    def start(self) -> dt.datetime:
        start: dt.datetime = self.events[0]["t"]
        return start

    @property
    def seconds(self) -> float:
        seconds: float = (self.events[-1]["t"] - self.start).total_seconds()
        return seconds

    @property
    def page_views(self) -> int:
        return sum(event["event"] in ("$pageview", "$screen") for event in self.events)

    @property
    def bounced(self) -> bool:
        did = any(not event["event"].startswith("$") for event in self.events)
        return self.page_views == 1 and not did and self.seconds < 10

    @property
    def entry_path(self) -> str:
        """Of several at the same time the smallest path, a return's before all."""
        ways = [(e["t"], not is_return(e), e["path"]) for e in self.events if e["path"]]
        return min(ways)[2] if ways else ""

    @property
    def exit_path(self) -> str:
        ways = [(e["t"], e["path"]) for e in self.events if e["path"]]
        return max(ways)[1] if ways else ""

    @property
    def touches(self) -> list[Touch]:
        found: dict[Names, Touch] = {}
        for event in self.events:
            if is_external(event):
                same = [
                    other["id"]
                    for other in self.events
                    if (other["t"], names(other)) == (event["t"], names(event))
                ]
                touch = Touch(
                    event["t"], event["place"], event["visitor"], names(event), tuple(same)
                )
                found.setdefault(names(event), touch)
        if found:
            return sorted(found.values())
        if is_return(self.events[0]):
            return []
        same = [event["id"] for event in self.events if event["t"] == self.start]
        return [Touch(self.start, self.direct_place, self.visitor, DIRECT, tuple(same))]

    @property
    def visitor(self) -> int:
        visitor: int = self.events[0]["visitor"]
        return visitor

    @property
    def source(self) -> Names:
        return self.touches[0].names if self.touches else DIRECT


@dataclass
class Person:
    """Somebody's events, in order of time, and what follows."""

    events: list[Event]
    visits: list[Visit]

    @property
    def touches(self) -> list[Touch]:
        return sorted(touch for visit in self.visits for touch in visit.touches)

    def source_at(self, event: Event) -> Names:
        """Where the visit came from in which this happened."""
        for visit in self.visits:
            if any(other["id"] == event["id"] for other in visit.events):
                return visit.source
        return names(event)

    @property
    def first_event(self) -> Event:
        return min(self.events, key=lambda e: (not e["on_page"], e["t"], e["id"]))


@dataclass
class World:
    """How visits are cut. `direct_place`: the number of direct."""

    timeout: dt.timedelta
    direct_place: int

    def visits(self, events: list[Event]) -> list[Visit]:
        on: dict[str, list[Event]] = defaultdict(list)
        for event in events:
            if event["on_page"]:
                on[event["device"]].append(event)
        found: list[Visit] = []
        for there in on.values():
            there.sort(key=lambda event: (event["t"], not is_return(event)))
            visit: list[Event] = []
            for event in there:
                pause = max(RETURN_TIMEOUT, self.timeout) if is_return(event) else self.timeout
                if visit and event["t"] - visit[-1]["t"] > pause:
                    found.append(Visit(visit, self.direct_place))
                    visit = []
                visit.append(event)
            found.append(Visit(visit, self.direct_place))
        return found

    def person(self, events: Iterable[Event]) -> Person:
        ordered = sorted(events, key=lambda event: (event["t"], event["id"]))
        return Person(ordered, self.visits(ordered))

    def people(
        self, log: list[Event], policy: str, decided: identity.Decisions = identity.NONE
    ) -> dict[str, Person]:
        """Everybody, under a partition."""
        log = identity.once(log)
        of: dict[str, list[Event]] = defaultdict(list)
        for event in log:
            of[identity.person(event, log, policy, decided)].append(event)
        return {person: self.person(events) for person, events in of.items()}


# -- visits -----------------------------------------------------------------------------------

Group = Callable[[Visit], Any]


def count_visits(
    people: dict[str, Person], group: Group, start: dt.datetime | None, end: dt.datetime | None
) -> dict[Any, dict[str, float]]:
    """What `/v1/visits` says of each group of the visits that start then."""
    found: dict[Any, list[tuple[str, Visit]]] = defaultdict(list)
    for name, person in people.items():
        for visit in person.visits:
            if (start is None or visit.start >= start) and (end is None or visit.start < end):
                found[group(visit)].append((name, visit))
    return {
        key: {
            "visits": len(rows),
            "persons": len({name for name, _ in rows}),
            "events_per_visit": sum(len(v.events) for _, v in rows) / len(rows),
            "page_views_per_visit": sum(v.page_views for _, v in rows) / len(rows),
            "mean_seconds": sum(v.seconds for _, v in rows) / len(rows),
            "bounce_share": sum(v.bounced for _, v in rows) / len(rows),
        }
        for key, rows in found.items()
    }


# -- credit -----------------------------------------------------------------------------------


def weights(model: str, touches: list[Touch], at: dt.datetime) -> list[float]:
    """What each of these gets of one conversion."""
    n = len(touches)
    if model == "first_touch":
        return [1.0] + [0.0] * (n - 1)
    if model == "last_touch":
        return [0.0] * (n - 1) + [1.0]
    if model == "last_non_direct":
        others = [i for i, touch in enumerate(touches) if not touch.is_direct]
        return [float(i == (others[-1] if others else n - 1)) for i in range(n)]
    if model == "linear":
        return [1 / n] * n
    if model == "position_based":
        if n < 3:
            return [1 / n] * n
        return [0.4] + [0.2 / (n - 2)] * (n - 2) + [0.4]
    decayed = [0.5 ** ((at - touch.t) / dt.timedelta(days=7)) for touch in touches]
    return [d / sum(decayed) for d in decayed]


@dataclass
class Credited:
    """One conversion. `shares`: of each touch under each model, `None` being none at all, which
    stands for `instead`."""

    at: dt.datetime
    shares: dict[Touch | None, dict[str, float]]
    inside: list[Touch]
    instead: Names


def credit(
    touches: list[Touch], at: dt.datetime, lookback: dt.timedelta | None, models: list[str]
) -> Credited:
    """`lookback`: if one was asked for."""
    before = [touch for touch in touches if touch.t <= at]
    inside = [touch for touch in before if touch.t >= at - (lookback or LOOKBACK)]
    shares: dict[Touch | None, dict[str, float]] = defaultdict(lambda: dict.fromkeys(models, 0.0))
    for model in models:
        counted = inside
        if model == "first_touch" and lookback is None:
            counted = before
        if not counted:
            shares[None][model] = 1.0
        for touch, weight in zip(
            counted, weights(model, counted, at) if counted else [], strict=True
        ):
            if weight or touch in inside:
                shares[touch][model] += weight
    return Credited(at, dict(shares), inside, OUTSIDE if before else DIRECT)


@dataclass
class Row:
    conversions: dict[str, float]
    value: dict[str, float]
    persons: dict[str, set[str]]
    influenced: set[str]
    lags: list[float]


def attribution(
    people: dict[str, Person],
    conversion: str,
    models: list[str],
    lookback: dt.timedelta | None,
    group: Callable[[Touch | None, Names, Person], Any],
    start: dt.datetime | None,
    end: dt.datetime | None,
) -> dict[Any, Row]:
    """Rows of `/v1/attribution`. `group`: of a touch, or of none and what stands instead."""
    rows: dict[Any, Row] = defaultdict(
        lambda: Row(
            dict.fromkeys(models, 0.0),
            dict.fromkeys(models, 0.0),
            {model: set() for model in models},
            set(),
            [],
        )
    )
    for name, person in people.items():
        for event in person.events:
            if event["event"] != conversion:
                continue
            if (start and event["t"] < start) or (end and event["t"] >= end):
                continue
            credited = credit(person.touches, event["t"], lookback, models)
            for touch, shares in credited.shares.items():
                row = rows[group(touch, touch.names if touch else credited.instead, person)]
                if touch and touch in credited.inside:
                    row.influenced.add(name)
                    row.lags.append((event["t"] - touch.t).total_seconds())
                for model, share in shares.items():
                    row.conversions[model] += share
                    row.value[model] += share * event["value"]
                    if share:
                        row.persons[model].add(name)
    return dict(rows)


def quantile(numbers: list[float], q: float) -> float:
    """Between neighbours in a straight line."""
    ordered = sorted(numbers)
    place = q * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
