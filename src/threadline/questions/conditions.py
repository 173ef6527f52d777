"""Filters as SQL: conditions on events `e`, on visits `v` and on persons, put together, and the
relations that these name. Values are bound, never text.

Relations, besides those of `facts`:

    did_…         (person)                          who did something, as often as asked for
    chosen_visits (person, device, started, ended)  that pass the conditions on visits
    met_visits    (person, device, started)         of these, in which an event passes the others
"""

from collections.abc import Mapping, Sequence
from itertools import count

from threadline.contract.times import within
from threadline.identity.compose import fill, where
from threadline.identity.resolution import Resolution
from threadline.questions.comparing import compare, event_condition, takes_absent
from threadline.questions.dimensions import DID as DID_NAME
from threadline.questions.dimensions import DIMENSIONS, SEGMENT
from threadline.questions.facts import Facts
from threadline.questions.filters import Condition, is_trait, read_filters, refused
from threadline.questions.named import Names, goal_condition, goal_named, segment_named
from threadline.questions.narrowing import Narrowing, with_visitor
from threadline.questions.steps import GOAL
from threadline.store import bound_ms
from threadline.store.states import OFF_PAGE

DONE = """
SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
    e.user_id AS user_id
FROM counted_events AS e
WHERE $done"""
DOERS = """
SELECT $person AS person
FROM (
    $owned
)"""
DID = """
SELECT person
FROM doers_$name
GROUP BY person
HAVING count() >= $least"""
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
ON_PAGE = f"NOT ({OFF_PAGE})"


def narrow(
    conditions: Sequence[Condition],
    resolution: Resolution,
    known: Mapping[str, str],
    facts: Facts,
    now_ms: int,
    names: Names,
) -> Narrowing:
    """The conditions on this resolution. `known`: the relations of `stitch` for it. `now_ms`: from
    when on windows reach back. Raises `InvalidParams`."""
    return _Narrowed(resolution, known, facts, now_ms, names).of(conditions)


class _Narrowed:
    """What is put together, condition by condition."""

    def __init__(
        self,
        resolution: Resolution,
        known: Mapping[str, str],
        facts: Facts,
        now_ms: int,
        names: Names,
    ) -> None:
        self._resolution = resolution
        self._known = known
        self._facts = facts
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
        events = [self._event(condition) for condition in by_scope["event"]]
        persons = self._persons(by_scope["person"])
        if by_scope["visit"]:
            self._choose_visits(by_scope["visit"])
            events.append(ON_PAGE)
        if events:
            self._meet(events)
        return Narrowing(events, persons, bool(by_scope["visit"]), self._relations, self._values)

    def _event(self, condition: Condition) -> str:
        """SQL on events `e`. Where the name of an event stands, a goal may."""
        is_named = condition.dimension in ("event", "event_name")
        is_named = is_named and condition.operator in ("==", "!=")
        name = self._name()
        if not is_named or not any(value.startswith(GOAL) for value in condition.values):
            return event_condition(condition, name, self._values)
        done = self._done(condition.values, name)
        return done if condition.operator == "==" else f"NOT {done}"

    def _name(self) -> str:
        return f"filter_{next(self._numbers)}"

    def _persons(self, conditions: Sequence[Condition]) -> list[str]:
        """SQL on persons, who are `$who`. Facts about everybody are looked up once, however many
        conditions speak of them: each look-up is planned by itself."""
        found: list[str] = []
        of_facts: dict[str, list[str]] = {}
        for condition in conditions:
            if condition.dimension == DID_NAME:
                found.append(self._did(condition))
            elif condition.dimension == SEGMENT:
                found.append(self._segments(condition))
            elif condition.dimension == "account":
                found.append(self._account(condition))
            elif is_trait(condition):
                found.append(self._trait(condition))
            else:
                relation, sql = self._fact(condition)
                of_facts.setdefault(relation, []).append(sql)
        for relation, parts in of_facts.items():
            found.append(f"$who IN (SELECT person FROM {relation} WHERE {' AND '.join(parts)})")
        return found

    def _fact(self, condition: Condition) -> tuple[str, str]:
        relation, column = self._facts.of(condition.dimension)
        if condition.dimension == "user_id" and condition.operator in ("==", "!="):
            persons = tuple(map(self._resolution.person, condition.values))
            condition = condition._replace(values=persons)
        return relation, compare(column, condition, self._name(), self._values)

    def _trait(self, condition: Condition) -> str:
        name = self._name()
        relation, column = self._facts.of(condition.dimension)
        sql = compare(column, condition, name, self._values)
        # Whom a trait was never said of has no row there.
        if takes_absent(condition):
            return f"$who NOT IN (SELECT person FROM {relation} WHERE NOT ({sql}))"
        among = f"$who IN (SELECT person FROM {relation} WHERE {sql})"
        if condition.operator not in ("=~", "=^"):
            return among
        # Such a pattern may be one that nothing at all passes, too.
        of_nothing = compare("''", condition, name, self._values)
        return f"({among} OR {of_nothing} AND $who NOT IN (SELECT person FROM {relation}))"

    def _account(self, condition: Condition) -> str:
        """Any of the accounts that somebody belongs to passes; `!=`: none of them is one of these.
        Whoever belongs to none has no row."""
        self._facts.of(condition.dimension)
        negated = condition.operator == "!="
        if negated:
            condition = condition._replace(operator="==")
        sql = compare("account_id", condition, self._name(), self._values)
        found = f"$who IN (SELECT person FROM account_people WHERE {sql})"
        if takes_absent(condition):
            found = f"({found} OR $who NOT IN (SELECT person FROM account_people))"
        return f"NOT {found}" if negated else found

    def _did(self, condition: Condition) -> str:
        name = self._name()
        done = self._done(condition.values, name)
        if condition.window_ms is not None:
            since = within(self._now_ms - condition.window_ms)
            self._values[f"{name}_since"] = bound_ms(since)
            self._values[f"{name}_until"] = bound_ms(within(self._now_ms))
            done += (
                f" AND e.timestamp BETWEEN {{{name}_since:DateTime64(3, 'UTC')}}"
                f" AND {{{name}_until:DateTime64(3, 'UTC')}}"
            )
        self._relations[f"done_{name}"] = fill(DONE, {"done": done})
        # Under `any` an event may have several owners.
        of_owners = self._resolution.policy == "any"
        person = "sipHash64('user', owner)" if of_owners else "person"
        owned = self._known["owned_events" if of_owners else "person_events"]
        owned = owned.replace("FROM considered", f"FROM done_{name}")
        self._relations[f"doers_{name}"] = fill(DOERS, {"person": person, "owned": owned})
        self._relations[f"did_{name}"] = fill(DID, {"name": name, "least": condition.least})
        negated = "NOT " if condition.operator == "!=" else ""
        return f"$who {negated}IN (SELECT person FROM did_{name})"

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
        parts = self._persons(read_filters(text))
        self._inside.pop()
        return f"({' AND '.join(parts)})"

    def _choose_visits(self, conditions: Sequence[Condition]) -> None:
        columns = [DIMENSIONS[each.dimension].sql for each in conditions]
        self._facts.need_visits("visits", paths=any(name.endswith("_path") for name in columns))
        parts = [
            compare(column, each, self._name(), self._values)
            for column, each in zip(columns, conditions, strict=True)
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
        of_met = with_visitor(self._known["person_events"]).replace("FROM considered", "FROM met")
        self._relations |= {"events_met": of_met, "met_visits": fill(MET_VISITS, {})}
