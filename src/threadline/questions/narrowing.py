"""Filters as SQL: conditions on events `e`, on visits `v` and on persons, and the relations that
these name. Values are bound, never text.

Relations, besides those of `stitch` and `visits`. Those that count are narrowed to the people and
visits that are asked for; what they were before is `every_…`, and the facts stand on these.

    first_facts   (person, source, medium, campaign, channel, path, country)
                  of everybody's first event
    last_facts    the same of the last touch; direct where there never was one
    person_facts  (person, known, user_id, devices)
    traits_N      (person, value)             one trait, as it was said last
    did_N         (person, timestamp)         events of one kind, with whose they are
    chosen_visits (person, device, started, ended)
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple, cast

from threadline.contract.times import within
from threadline.identity.compose import NAMED, fill, where
from threadline.identity.resolution import Resolution
from threadline.identity.visits import DIRECT, Wanted
from threadline.identity.visits import visits as visit_relations
from threadline.questions.dimensions import DID as DID_NAME
from threadline.questions.dimensions import DIMENSIONS, SEGMENT, json_text
from threadline.questions.filters import (
    COMPARISONS,
    Condition,
    is_trait,
    key,
    near,
    number,
    read_filters,
    refused,
    time_ms,
)
from threadline.store import bound_ms
from threadline.store.states import OFF_PAGE

# What is narrowed to the people who are asked for, and the column that says who.
OF_PEOPLE: Mapping[str, str] = {
    "person_events": "person",
    "person_stretches": "person",
    "first_events": "person",
    "first_touches": "sipHash64('user', user_id)",
    "first_touch_times": "sipHash64('user', user_id)",
}

FIRST_FACTS = """
SELECT f.person AS person, n.source AS source, n.medium AS medium, n.campaign AS campaign,
    n.channel AS channel$details
FROM every_first_events AS f
LEFT ANY JOIN named_sources AS n ON n.traffic_source = f.first_touch.traffic_source
$joined"""
# The states hold no paths and countries; each is fetched from where its event lies.
FIRST_DETAILS = """
LEFT ANY JOIN (
    SELECT e.visitor AS visitor, e.event_id AS event_id, e.path AS path,
        toString(e.country) AS country
    FROM counted_events AS e
    WHERE (e.visitor, e.event_id) IN (
        SELECT first_touch.visitor, first_touch.event_id FROM every_first_events
    )
) AS d ON d.visitor = f.first_touch.visitor AND d.event_id = f.first_touch.event_id"""
DETAILS = ", d.path AS path, d.country AS country"

LAST_FACTS = f"""
SELECT f.person AS person, n.source AS source, n.medium AS medium, n.campaign AS campaign,
    n.channel AS channel$details
FROM every_first_events AS f
LEFT ANY JOIN (
    SELECT person, touches[-1] AS touch FROM all_touches
) AS t ON t.person = f.person
LEFT ANY JOIN named_sources AS n
    ON n.traffic_source = if(t.touch.1 = 0, {DIRECT}, t.touch.2)
$joined"""
LAST_DETAILS = """
LEFT ANY JOIN (
    SELECT e.visitor AS visitor, toUnixTimestamp64Milli(e.timestamp) AS at,
        argMin(e.path, (e.path = '', e.event_id)) AS path,
        argMin(toString(e.country), (e.path = '', e.event_id)) AS country
    FROM counted_events AS e
    WHERE (visitor, at) IN (SELECT touches[-1].3, touches[-1].1 FROM all_touches)
    GROUP BY visitor, at
) AS d ON d.visitor = t.touch.3 AND d.at = t.touch.1"""

# Whoever is nobody's has the one device that they are.
PERSON_FACTS = """
SELECT f.person AS person, u.user_id != '' AS known, u.user_id AS user_id,
    if(known, d.devices, 1) AS devices
FROM every_first_events AS f
LEFT ANY JOIN (
    SELECT sipHash64('user', user_id) AS person, user_id FROM tagged_touches
) AS u ON u.person = f.person
LEFT ANY JOIN (
    SELECT user_hash AS person, uniqExact(visitor) AS devices FROM user_links GROUP BY user_hash
) AS d ON d.person = f.person"""

TRAIT = """
SELECT person, argMax(said, (timestamp, event_id)) AS value
FROM (
    SELECT $person_hash AS person, r.timestamp AS timestamp, r.event_id AS event_id,
        $text AS said
    FROM counted_events AS r
    WHERE r.event_name = '$$identify' AND r.user_hash != 0
        AND JSONHas(r.properties, $key)
)
GROUP BY person"""

DONE = """
SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
    e.user_id AS user_id
FROM counted_events AS e
WHERE $done"""
DID = """
SELECT person
FROM (
    $owned
)
GROUP BY person
HAVING count() >= $least"""
# Under `any` an event may have several owners.
OF_OWNERS = """
SELECT sipHash64('user', owner) AS person
FROM (
    $owned
)"""

# The visit in which an event happened began last before it.
IN_VISITS = """
SELECT p.* EXCEPT (happened_on)
FROM events_of_visits AS p
ASOF INNER JOIN (
    SELECT person, device, fromUnixTimestamp64Milli(started, 'UTC') AS started,
        fromUnixTimestamp64Milli(ended, 'UTC') AS ended
    FROM chosen_visits
) AS c ON c.person = p.person AND c.device = p.happened_on AND p.timestamp >= c.started
WHERE p.timestamp <= c.ended"""
CHOSEN_VISITS = """
SELECT v.person AS person, v.device AS device, v.started AS started, v.ended AS ended
FROM all_visits AS v
LEFT ANY JOIN named_sources AS n ON n.traffic_source = v.arrival.2
$where"""
# Visits in which an event happened that passes the conditions on events.
MET = """
SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp
FROM counted_events AS e
WHERE $events"""
MET_VISITS = """
SELECT c.person AS person, c.device AS device, toUnixTimestamp64Milli(c.started) AS started
FROM events_met AS p
ASOF INNER JOIN (
    SELECT person, device, fromUnixTimestamp64Milli(started, 'UTC') AS started FROM chosen_visits
) AS c ON c.person = p.person AND c.device = p.happened_on AND p.timestamp >= c.started"""
VISIT_COLUMNS = ("page_views", "actions", "entry_path", "exit_path", "arrival")
OF_VISITS = ("page_stretches", "person_stretches", "in_order", "visits", "touches")
ON_PAGE = f"NOT ({OFF_PAGE})"


@dataclass(frozen=True)
class Narrowing:
    """`events`: conditions on events `e`. `persons`: on `person`. `of_visits`: only events of
    `chosen_visits` count. `relations`: what these name. `values`: what they bind."""

    events: Sequence[str] = ()
    persons: Sequence[str] = ()
    of_visits: bool = False
    relations: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, object] = field(default_factory=dict)

    @property
    def is_nothing(self) -> bool:
        return not (self.events or self.persons or self.of_visits)

    @property
    def of_people(self) -> bool:
        """Whether it matters whose an event is."""
        return bool(self.persons) or self.of_visits

    @property
    def visits(self) -> list[str]:
        """Conditions on visits, by the columns person, device and started, of questions that are
        about visits: such in which such events happened."""
        if not (self.events or self.of_visits):
            return []
        name = "met_visits" if self.events else "chosen_visits"
        return [f"(person, device, started) IN (SELECT person, device, started FROM {name})"]

    def narrowed(self, known: Mapping[str, str]) -> dict[str, str]:
        """These relations, as far as they are about people only of those who are asked for."""
        found = {name: _renamed(text, OF_PEOPLE, "every_") for name, text in known.items()}
        for name, person in OF_PEOPLE.items():
            if name not in known:
                continue
            every = found.pop(name)
            narrower = f"SELECT *\nFROM every_{name}"
            if name == "person_events" and self.of_visits:
                every = _with_visitor(every)
                found["events_of_visits"] = _where(narrower, self.persons, person)
                narrower = IN_VISITS
            else:
                narrower = _where(narrower, self.persons, person)
            found |= {f"every_{name}": every, name: narrower}
        return {**found, **self.relations}


NOTHING = Narrowing()
# A condition may be of several.
OF_PERSON = re.compile(r"\bperson(?= (?:NOT )?IN )")


def _where(sql: str, conditions: Sequence[str], person: str) -> str:
    """`person IN …` on another column than that."""
    asked = "\n    AND ".join(OF_PERSON.sub(person, each) for each in conditions)
    return f"{sql}\nWHERE {asked}" if asked else sql


def _renamed(text: str, names: Collection[str], before: str) -> str:
    """The text with these relations under other names."""

    def rename(found: re.Match[str]) -> str:
        return found[0].replace(found[1], before + found[1]) if found[1] in names else found[0]

    return NAMED.sub(rename, text)


def _with_visitor(person_events: str) -> str:
    """The relation with the device of each event beside it."""
    every = "r.* EXCEPT (visitor, user_hash)"
    return person_events.replace(every, f"r.visitor AS happened_on, {every}")


def _takes_absent(condition: Condition) -> bool:
    """Whether it holds for what is absent."""
    if condition.operator not in ("==", "!="):
        return False
    return ("" in condition.values) == (condition.operator == "==")


def compare(sql: str, condition: Condition, name: str, values: dict[str, object]) -> str:
    """The condition on a value; what it binds, under names that begin with `name`, goes into
    `values`."""
    operator, given, kind = condition.operator, condition.values, condition.kind
    if kind == "boolean":
        wanted = {value == "true" for value in given}
        if len(wanted) == 2:
            return "TRUE" if operator == "==" else "FALSE"
        return sql if wanted == {operator == "=="} else f"NOT {sql}"
    if operator in COMPARISONS:
        return _compare_size(sql, condition, name, values)
    if operator in ("==", "!="):
        numbers = kind == "number"
        values[name] = [number(value) for value in given] if numbers else list(given)
        kind_of = "Float64" if numbers else "String"
        return f"{sql} {'IN' if operator == '==' else 'NOT IN'} {{{name}:Array({kind_of})}}"
    if operator == "=~":
        values[name] = given[0]
        return f"match({sql}, {{{name}:String}})"
    parts = []
    for nth, value in enumerate(given, start=1):
        values[f"{name}_{nth}"] = like(value) if operator == "=^" else value
        bound = f"{{{name}_{nth}:String}}"
        parts.append(f"{sql} LIKE {bound}" if operator == "=^" else f"position({sql}, {bound}) > 0")
    return parts[0] if len(parts) == 1 else f"({' OR '.join(parts)})"


def _compare_size(sql: str, condition: Condition, name: str, values: dict[str, object]) -> str:
    operator, value = condition.operator, condition.values[0]
    found = number(value)
    if found is not None:
        values[name] = found
        read = sql if condition.kind == "number" else f"toFloat64OrNull({sql})"
        return f"ifNull({read} {operator} {{{name}:Float64}}, FALSE)"
    values[name] = bound_ms(within(cast(int, time_ms(value))))
    # A number alone would be read as a time, too.
    read = f"parseDateTime64BestEffortOrNull(if(position({sql}, '-') > 1, {sql}, ''), 3, 'UTC')"
    return f"ifNull({read} {operator} {{{name}:DateTime64(3, 'UTC')}}, FALSE)"


GLOB = re.compile(r"\\(.)|([*?])|([%_\\])", re.DOTALL)


def like(glob: str) -> str:
    """A glob, where `*` is anything and `?` one character, as what LIKE takes."""

    def part(found: re.Match[str]) -> str:
        if found[2]:
            return "%" if found[2] == "*" else "_"
        meant = found[1] or found[3]
        return f"\\{meant}" if meant in "%_\\" else meant

    return GLOB.sub(part, glob)


def event_condition(condition: Condition, name: str, values: dict[str, object]) -> str:
    """One of the event's scope, on `e`; what it binds, under names that begin with `name`, goes
    into `values`."""
    found = DIMENSIONS.get(condition.dimension)
    if found:
        return compare(found.sql, condition, name, values)
    values[f"{name}_key"] = key(condition)
    return compare(json_text("e.properties", f"{{{name}_key:String}}"), condition, name, values)


@dataclass(frozen=True)
class Names:
    """What a project gave names to. Each says None for a name that there is not. `segments` and
    `goals`: the names there are."""

    segment: Callable[[str], str | None] = lambda name: None
    goal: Callable[[str], "Goal | None"] = lambda name: None
    segments: Collection[str] = ()
    goals: Collection[str] = ()


class Goal(NamedTuple):
    """A conversion with a name: an event, which may have to pass `filters`. The properties that
    hold what it is worth, and in which currency; empty where it has none."""

    event: str
    filters: str = ""
    value_property: str = ""
    currency_property: str = ""


def narrow(
    conditions: Sequence[Condition],
    resolution: Resolution,
    known: Mapping[str, str],
    timeout_ms: int,
    now_ms: int,
    names: Names,
) -> Narrowing:
    """The conditions on this resolution. `known`: the relations of `stitch` for it. `now_ms`: from
    when on windows reach back. Raises `InvalidParams`."""
    return _Narrowed(resolution, known, timeout_ms, now_ms, names).of(conditions)


class _Narrowed:
    """What is put together, condition by condition."""

    def __init__(
        self,
        resolution: Resolution,
        known: Mapping[str, str],
        timeout_ms: int,
        now_ms: int,
        names: Names,
    ) -> None:
        self._resolution = resolution
        self._known = known
        self._timeout_ms = timeout_ms
        self._now_ms = now_ms
        self._names = names
        self._relations: dict[str, str] = {}
        self._values: dict[str, object] = {}
        self._numbers = count(1)
        self._inside: list[str] = []  # segments

    def of(self, conditions: Sequence[Condition]) -> Narrowing:
        by_scope: dict[str, list[Condition]] = {"event": [], "visit": [], "person": []}
        for condition in conditions:
            by_scope[condition.scope].append(condition)
        events = [
            event_condition(condition, self._name(), self._values)
            for condition in by_scope["event"]
        ]
        persons = [self._person(condition) for condition in by_scope["person"]]
        if by_scope["visit"]:
            self._choose_visits(by_scope["visit"])
            events.append(ON_PAGE)
        if events:
            self._meet(events)
        return Narrowing(events, persons, bool(by_scope["visit"]), self._relations, self._values)

    def _name(self) -> str:
        return f"filter_{next(self._numbers)}"

    def _person(self, condition: Condition) -> str:
        """SQL on `person`."""
        if condition.dimension == DID_NAME:
            return self._did(condition)
        if condition.dimension == SEGMENT:
            return self._segments(condition)
        name = self._name()
        if is_trait(condition):
            relation, column = f"traits_{name}", "value"
            self._relations[relation] = self._trait(key(condition), name)
        else:
            found = DIMENSIONS[condition.dimension]
            relation, column = found.relation, found.sql
            self._need(relation, column)
        if condition.dimension == "user_id":
            persons = tuple(map(self._resolution.person, condition.values))
            condition = condition._replace(values=persons)
        sql = compare(column, condition, name, self._values)
        # Whom a trait was never said of has no row there.
        if is_trait(condition) and _takes_absent(condition):
            return f"person NOT IN (SELECT person FROM {relation} WHERE NOT ({sql}))"
        return f"person IN (SELECT person FROM {relation} WHERE {sql})"

    def _need(self, relation: str, column: str) -> None:
        """One of the relations with facts about persons."""
        details = column in ("path", "country")
        if relation == "person_facts":
            self._relations[relation] = fill(PERSON_FACTS, {})
        elif details or relation not in self._relations:
            texts = {
                "first_facts": (FIRST_FACTS, FIRST_DETAILS),
                "last_facts": (LAST_FACTS, LAST_DETAILS),
            }
            facts, joined = texts[relation]
            slots = {
                "details": DETAILS if details else "",
                "joined": joined.strip() if details else "",
            }
            self._relations[relation] = fill(facts, slots)
        if relation == "last_facts":
            self._need_visits("last touches")

    def _trait(self, trait: str, name: str) -> str:
        self._values[f"{name}_key"] = trait
        bound = f"{{{name}_key:String}}"
        slots = {"text": json_text("r.properties", bound), "key": bound}
        return fill(TRAIT, {**self._resolution.slots, **slots})

    def _did(self, condition: Condition) -> str:
        name = self._name()
        done = self._done(condition.values, name)
        if condition.window_ms is not None:
            since = within(self._now_ms - condition.window_ms)
            self._values[f"{name}_since"] = bound_ms(since)
            done = f"({done}) AND e.timestamp >= {{{name}_since:DateTime64(3, 'UTC')}}"
        self._relations[f"done_{name}"] = fill(DONE, {"done": done})
        if self._resolution.policy == "any":
            owned = fill(OF_OWNERS, {"owned": self._known["owned_events"]})
        else:
            owned = self._known["person_events"]
        owned = owned.replace("FROM considered", f"FROM done_{name}")
        self._relations[f"did_{name}"] = fill(DID, {"owned": owned, "least": condition.least})
        negated = "NOT " if condition.operator == "!=" else ""
        return f"person {negated}IN (SELECT person FROM did_{name})"

    def _done(self, values: Sequence[str], name: str) -> str:
        """Of events, that they are one of these; `goal:NAME` is what a goal says."""
        events = [value for value in values if not value.startswith(GOAL)]
        parts = []
        if events:
            self._values[name] = events
            parts.append(f"e.event_name IN {{{name}:Array(String)}}")
        for value in values:
            if value.startswith(GOAL):
                parts.append(self._goal(value.removeprefix(GOAL)))
        return f"({' OR '.join(parts)})"

    def _goal(self, goal_name: str) -> str:
        name = self._name()
        return goal_condition(goal_named(self._names, goal_name, "filters"), name, self._values)

    def _segments(self, condition: Condition) -> str:
        """Any of the segments; `!=`: none of them."""
        found = [self._segment(value) for value in condition.values]
        sql = f"({' OR '.join(found)})"
        return f"NOT {sql}" if condition.operator == "!=" else sql

    def _segment(self, segment_name: str) -> str:
        text = segment_named(self._names, segment_name, "filters")
        if segment_name in self._inside:
            chain = " → ".join([*self._inside, segment_name])
            raise refused("filters", f"segments refer to each other in a circle: {chain}")
        self._inside.append(segment_name)
        parts = [self._person(condition) for condition in read_filters(text)]
        self._inside.pop()
        return f"({' AND '.join(parts)})"

    def _need_visits(self, what: str) -> None:
        if self._resolution.policy == "any":
            raise refused(
                "filters",
                f"{what} need a policy under which each event has one owner; choose stitch=next",
            )
        wanted = Wanted(("page_views", "actions", "entry_path", "exit_path", "arrival", "arrivals"))
        made = visit_relations(self._resolution, self._known, self._timeout_ms, wanted)
        for name, text in made.items():
            renamed = f"all_{name}" if name in OF_VISITS else name
            self._relations[renamed] = _renamed(text, OF_VISITS, "all_")

    def _choose_visits(self, conditions: Sequence[Condition]) -> None:
        self._need_visits("visits")
        parts = [
            compare(DIMENSIONS[each.dimension].sql, each, self._name(), self._values)
            for each in conditions
        ]
        self._relations["chosen_visits"] = fill(CHOSEN_VISITS, {"where": where(parts)})

    def _meet(self, events: Sequence[str]) -> None:
        """For questions about visits; others never name it."""
        if self._resolution.policy == "any":
            return
        if "chosen_visits" not in self._relations:
            self._choose_visits([])
        met = [*events, ON_PAGE]
        self._relations["met"] = fill(MET, {"events": "\n    AND ".join(met)})
        of_met = _with_visitor(self._known["person_events"]).replace("FROM considered", "FROM met")
        self._relations |= {"events_met": of_met, "met_visits": fill(MET_VISITS, {})}


GOAL = "goal:"


def goal_named(names: Names, name: str, parameter: str) -> Goal:
    """Raises `InvalidParams`."""
    found = names.goal(name)
    if found is None:
        hint = near(name, names.goals, "goal")
        raise refused(parameter, f"there is no goal {name!r}; {hint}")
    return found


def segment_named(names: Names, name: str, parameter: str) -> str:
    """The filters of a segment. Raises `InvalidParams`."""
    found = names.segment(name)
    if found is None:
        hint = near(name, names.segments, "segment")
        raise refused(parameter, f"there is no segment {name!r}; {hint}")
    return found


def goal_condition(goal: Goal, name: str, values: dict[str, object]) -> str:
    """That an event `e` is one of the goal's."""
    values[f"{name}_event"] = goal.event
    parts = [f"e.event_name = {{{name}_event:String}}"]
    for nth, condition in enumerate(read_filters(goal.filters), start=1):
        parts.append(event_condition(condition, f"{name}_{nth}", values))
    return f"({' AND '.join(parts)})"
