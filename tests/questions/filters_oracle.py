"""The filters of `questions.md` in plain Python, event by event. Slow and obvious; shares nothing
with the SQL, nor with what reads filters.

Whose an event is says the oracle of identity; what a visit, a touch and a credit is, that of
visits. Of each event is known what these want, and what was stored of it: all dimensions by their
names, `properties` as they were sent.
"""

import datetime as dt
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.identity import oracle as identity
from tests.visits import oracle as visits

Event = identity.Event
NONE = "(none)"
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
STORED = "event_name path url referrer source medium campaign channel term content".split()
STORED += "country device_type browser os".split()
TOUCHED = "source medium campaign channel path country".split()
EVENT = (*STORED, "event", "host", "confidence", "rule")
VISIT = tuple(f"visit.{n}" for n in "source medium campaign channel entry_path exit_path".split())
PERSON = (*(f"first.{n}" for n in TOUCHED), *(f"last.{n}" for n in TOUCHED), "user_id")
BOOLEANS = ("visit.bounce", "known")


class Condition(NamedTuple):
    """`values`: as they are meant; None is what is absent. `within`: how long ago, of `did`, as
    `30d`; `least`: how many times."""

    dimension: str
    operator: str
    values: tuple[str | None, ...]
    within: str = ""
    least: int = 1

    @property
    def scope(self) -> str:
        name = self.dimension
        if name in EVENT or name.startswith("properties."):
            return "event"
        return "visit" if name.startswith("visit.") else "person"

    def text(self, generous: bool = False) -> str:
        """As it is written; `generous`: with backslashes and blanks where none are needed."""
        name = escaped(self.dimension, r"\=!<>(;", generous)
        if self.within or self.least > 1:
            name += f"({self.within}{f',{self.least}' if self.least > 1 else ''})"
        blank = " " if generous else ""
        return f"{blank}{name}{blank}{self.operator}{blank}{self._values(generous)}{blank}"

    def _values(self, generous: bool) -> str:
        if self.operator == "=~":
            return str(self.values[0]).replace(";", r"\;")
        if self.operator == "=^":  # whose own signs are `*`, `?` and the backslash
            return "|".join(str(v).replace(";", r"\;").replace("|", r"\|") for v in self.values)
        return "|".join(
            NONE if value is None else escaped(value, r"\;|", generous) for value in self.values
        )


def escaped(text: str, needed: str, generous: bool) -> str:
    """With a backslash before what means something, and before blanks around."""
    if text == NONE:
        return "\\" + text
    blanks = len(text) - len(text.lstrip()), len(text.rstrip())
    return "".join(
        "\\" + char
        if char in needed or not blanks[0] <= at < blanks[1] or (generous and not char.isalnum())
        else char
        for at, char in enumerate(text)
    )


# -- one value --------------------------------------------------------------------------------


def as_text(value: Any) -> str:
    """A value of JSON; nothing where there is none."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # as JavaScript writes it
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def as_number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str) and re.fullmatch(NUMBER, value):
        return float(value)
    return None


def as_time(value: Any) -> dt.datetime | None:
    if not isinstance(value, str) or "-" not in value[1:]:
        return None
    try:
        at = dt.datetime.fromisoformat(value)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=dt.UTC)


def holds(condition: Condition, value: Any) -> bool:
    """Whether it does of this value, be it a text or any JSON."""
    operator, text = condition.operator, as_text(value)
    if operator == "!=":
        return not holds(condition._replace(operator="=="), value)
    if operator == "==":
        return any(is_equal(value, wanted) for wanted in condition.values)
    values = [str(each) for each in condition.values]
    if operator == "=@":
        return any(each in text for each in values)
    if operator == "=^":
        return any(matches_glob(each, text) for each in values)
    if operator == "=~":
        return re.search(values[0].replace("$", r"\Z"), text, re.DOTALL) is not None
    return is_ordered(operator, value, values[0])


def is_equal(value: Any, wanted: str | None) -> bool:
    """As texts; what JSON writes as a number also as numbers, but for those too large to tell
    apart: what is `5` is `5.0`, and not `05`."""
    text = as_text(value)
    if text == (wanted or ""):
        return True
    both = (text, wanted or "")
    if not all(
        re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d{1,3})?", each, re.A) for each in both
    ):
        return False
    first, second = map(float, both)
    return first == second and abs(first) < 2**53


def is_ordered(operator: str, value: Any, wanted: str) -> bool:
    for read in (as_number, as_time):
        if (bound := read(wanted)) is not None:
            found = read(value)
            return found is not None and COMPARED[operator](found, bound)
    raise AssertionError(wanted)


COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    ">": lambda a, b: bool(a > b),
    ">=": lambda a, b: bool(a >= b),
    "<": lambda a, b: bool(a < b),
    "<=": lambda a, b: bool(a <= b),
}


def matches_glob(glob: str, text: str) -> bool:
    """`*` is any text, `?` any character; a backslash before what is meant as it is."""
    parts = re.findall(r"\\.|.", glob, re.DOTALL)
    signs = {"*": ".*", "?": "."}
    pattern = "".join(signs.get(part) or re.escape(part[-1]) for part in parts)
    return re.fullmatch(pattern, text, re.DOTALL) is not None


# -- people -----------------------------------------------------------------------------------


@dataclass
class Person:
    """One person under a policy. `user_id`: nothing of a visitor. `traits`: the latest of each."""

    user_id: str
    devices: int
    seen: visits.Person
    traits: dict[str, Any] = field(default_factory=dict)

    @property
    def events(self) -> list[Event]:
        return self.seen.events

    def value(self, name: str) -> Any:
        """Of a dimension of persons."""
        if name.startswith("traits."):
            return self.traits.get(name.removeprefix("traits."))
        if name.startswith("first."):
            return self.seen.first_event[name.removeprefix("first.")]
        if name.startswith("last."):
            return self._last(name.removeprefix("last."))
        of_them = {"known": bool(self.user_id), "user_id": self.user_id, "devices": self.devices}
        return of_them[name]

    def _last(self, name: str) -> Any:
        touches = self.seen.touches
        if not touches:  # direct, as in a profile, and on no page
            return visits.DIRECT[TOUCHED.index(name)] if name in TOUCHED[:4] else None
        if name in TOUCHED[:4]:
            return touches[-1].names[TOUCHED.index(name)]
        (event,) = (event for event in self.events if event["id"] == min(touches[-1].events))
        return event[name]

    def visit_of(self, event: Event) -> visits.Visit | None:
        for visit in self.seen.visits:
            if any(other["id"] == event["id"] for other in visit.events):
                return visit
        return None


@dataclass
class World:
    """What is known of a project at a time. `now`: that time, or `as_of`."""

    cut: visits.World
    log: list[Event]
    policy: str
    decided: identity.Decisions
    now: dt.datetime

    def people(self) -> dict[str, Person]:
        """Everybody, by name; under `any` the users alone, as it is asked of nobody else."""
        log = identity.once(self.log)
        users = identity.users(log, self.policy, self.decided)
        if self.policy == "any":
            found = {f"user {user}": self.cut.person(users[user].events) for user in users}
        else:
            found = self.cut.people(log, self.policy, self.decided)
        return {name: self._person(name, seen, users, log) for name, seen in found.items()}

    def _person(
        self, name: str, seen: visits.Person, users: dict[str, identity.User], log: list[Event]
    ) -> Person:
        kind, _, user = name.partition(" ")
        if kind == "visitor":
            return Person("", 1, seen)
        said = [
            event
            for event in log
            if event["event"] == "$identify"
            and event["u"] is not None
            and self.decided.person(event["u"]) == user
        ]
        traits: dict[str, Any] = {}
        for event in sorted(said, key=lambda event: (event["t"], event["id"])):
            traits |= event["properties"]
        return Person(user, len(users[user].devices), seen, traits)

    # -- conditions ---------------------------------------------------------------------------

    def is_wanted(self, person: Person, conditions: Iterable[Condition]) -> bool:
        """Whether all that these say of people holds of this one."""
        return all(self._holds(person, each) for each in conditions if each.scope == "person")

    def _holds(self, person: Person, condition: Condition) -> bool:
        if condition.dimension == "did":
            return self._did(person, condition)
        if condition.dimension == "user_id" and condition.operator in ("==", "!="):
            same = [value and self.decided.person(value) for value in condition.values]
            condition = condition._replace(values=tuple(same))
        return holds(condition, person.value(condition.dimension))

    def _did(self, person: Person, condition: Condition) -> bool:
        events = [event for event in person.events if event["event"] in condition.values]
        if condition.within:
            many, unit = int(condition.within[:-1]), condition.within[-1]
            since = self.now - dt.timedelta(**{UNITS[unit]: many})
            events = [event for event in events if since <= event["t"] <= self.now]
        return (len(events) >= condition.least) == (condition.operator == "==")

    def counts(self, person: Person, event: Event, conditions: Iterable[Condition]) -> bool:
        """Whether all that these say of events, and of their visits, holds of this one."""
        conditions = list(conditions)
        return self.is_such(event, conditions) and (
            not any(each.scope == "visit" for each in conditions)
            or self.is_in_such(person.visit_of(event), conditions)
        )

    @staticmethod
    def is_such(event: Event, conditions: Iterable[Condition]) -> bool:
        return all(holds(c, event_value(event, c)) for c in conditions if c.scope == "event")

    @staticmethod
    def is_in_such(visit: visits.Visit | None, conditions: Iterable[Condition]) -> bool:
        """What happened in no visit happened in no such visit, whatever is said of it."""
        return visit is not None and all(
            holds(c, visit_value(visit, c.dimension)) for c in conditions if c.scope == "visit"
        )


def event_value(event: Event, condition: Condition) -> Any:
    name = condition.dimension
    if name.startswith("properties."):
        return event["properties"].get(name.removeprefix("properties."))
    if name == "host":
        return urlsplit(event["url"]).hostname or ""
    return event[name]


def visit_value(visit: visits.Visit, name: str) -> Any:
    part = name.removeprefix("visit.")
    if part in TOUCHED[:4]:
        return visit.source[TOUCHED.index(part)]
    return {
        "bounce": visit.bounced,
        "entry_path": visit.entry_path,
        "exit_path": visit.exit_path,
    }[part]


# -- what is narrowed -------------------------------------------------------------------------


@dataclass
class Narrowed:
    """A world seen through filters. `people`: those it is about, each with all that they did."""

    world: World
    conditions: list[Condition]

    def __post_init__(self) -> None:
        everybody = self.world.people()
        self.people = {
            name: person
            for name, person in everybody.items()
            if self.world.is_wanted(person, self.conditions)
        }

    def events(self, start: Any = None, end: Any = None) -> list[tuple[str, Event]]:
        """Each of these people with each of their events that count, in order of time."""
        found = [
            (name, event)
            for name, person in self.people.items()
            for event in person.events
            if self.world.counts(person, event, self.conditions)
            and (start is None or event["t"] >= start)
            and (end is None or event["t"] < end)
        ]
        return sorted(found, key=lambda pair: (pair[1]["t"], pair[1]["id"]))

    def visiting(self) -> dict[str, visits.Person]:
        """The people with those of their visits that count: such visits, in which such an event
        happened."""
        return {
            name: visits.Person(
                person.events,
                [
                    visit
                    for visit in person.seen.visits
                    if self.world.is_in_such(visit, self.conditions)
                    and any(self.world.is_such(event, self.conditions) for event in visit.events)
                ],
            )
            for name, person in self.people.items()
        }

    def converting(self, name: str, instead: str = "(other)") -> dict[str, visits.Person]:
        """The people with all their visits; events of this name that do not count have another."""
        found: dict[str, visits.Person] = {}
        for who, person in self.people.items():
            events = [
                event
                if event["event"] != name or self.world.counts(person, event, self.conditions)
                else {**event, "event": instead}
                for event in person.events
            ]
            found[who] = visits.Person(events, person.seen.visits)
        return found

    def seconds_to(self, name: str) -> list[float]:
        """Of each user who did this, from the first touch on."""
        taken = []
        for person in self.people.values():
            if not person.user_id:
                continue
            at = [
                event["t"]
                for event in person.events
                if event["event"] == name and self.world.counts(person, event, self.conditions)
            ]
            if at:
                first: dt.datetime = person.seen.first_event["t"]
                taken.append(max(0.0, (min(at) - first).total_seconds()))
        return taken


def grouped(
    pairs: Iterable[tuple[str, Event]], key: Callable[[Event], Any]
) -> dict[Any, list[tuple[str, Event]]]:
    found: dict[Any, list[tuple[str, Event]]] = defaultdict(list)
    for name, event in pairs:
        found[key(event)].append((name, event))
    return found
