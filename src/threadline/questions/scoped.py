"""Groups of events, by any dimension. A source may be each event's own, its visit's, or the
person's first."""

from collections.abc import Mapping, Sequence
from string import Template
from typing import Literal, NamedTuple

from threadline.contract.errors import InvalidGroupBy
from threadline.identity.activity import Told
from threadline.identity.visits import Wanted
from threadline.questions.dimensions import (
    DID,
    DIMENSIONS,
    IS_BOUNCE,
    KEYED,
    PROPERTIES,
    SEGMENT,
    json_text,
    key_of,
    nearest_dimension,
    scope_of,
)
from threadline.questions.dimensions import Scope as DimensionScope
from threadline.questions.facts import Facts
from threadline.questions.filters import plain as unescaped
from threadline.questions.filters import split
from threadline.questions.parameters import GROUPS, in_time
from threadline.questions.traffic_sources import GROUPS as SOURCES
from threadline.store import Params
from threadline.store.states import OFF_PAGE

Scope = Literal["event", "visit", "first"]
# Of each way to say whose source is meant, what stands before its name.
PREFIXES: Mapping[str, Scope] = {"event_": "event", "visit.": "visit", "first.": "first"}
ALL_GROUPS = (*GROUPS, *(f"{prefix}{name}" for prefix in PREFIXES for name in SOURCES))
MAX_GROUPS = 30

# What is joined to events `p`: where each visit came from, and each person first. What happens on
# no page is in no visit, and keeps its own.
JOINS: Mapping[Scope, str] = {
    "visit": """ASOF LEFT JOIN (
    SELECT person, device, fromUnixTimestamp64Milli(started, 'UTC') AS started,
        arrival.2 AS traffic_source$more
    FROM visits$alias
) AS v ON v.person = p.person AND v.device = p.on_device AND p.timestamp >= v.started
LEFT ANY JOIN named_sources AS vn
    ON vn.traffic_source = if(p.on_page, v.traffic_source, p.own_source)""",
    "first": """LEFT ANY JOIN (
    SELECT person, first_touch.traffic_source AS traffic_source FROM first_events
) AS f ON f.person = p.person
LEFT ANY JOIN named_sources AS fn ON fn.traffic_source = f.traffic_source""",
}
JOIN_FACTS = "LEFT ANY JOIN $relation AS $relation ON $relation.person = $of.person"
NAMES: Mapping[Scope, str] = {"visit": "vn", "first": "fn"}
TO_JOIN = {
    "on_device": "e.visitor",
    "on_page": f"NOT ({OFF_PAGE})",
    "own_source": "e.traffic_source",
}
# The same of half hours on pages, whose own source nobody asks for.
TOLD_TO_JOIN = {
    "on_device": Told("visitor", TO_JOIN["on_device"]),
    "on_page": Told("TRUE", TO_JOIN["on_page"]),
    "own_source": Told("toUInt64(0)", TO_JOIN["own_source"]),
}


class OfVisit(NamedTuple):
    """A dimension of visits. `sql`: over `v`, what `visits` has; `needs`: of it."""

    sql: str
    needs: tuple[str, ...]
    kind: str = "text"


OF_VISITS: Mapping[str, OfVisit] = {
    "visit.entry_path": OfVisit("v.entry_path", ("entry_path",)),
    "visit.exit_path": OfVisit("v.exit_path", ("exit_path",)),
    "visit.bounce": OfVisit(IS_BOUNCE, ("page_views", "actions"), "boolean"),
}


class Scoped(NamedTuple):
    """`names`: the columns of the answer. `own`: of those that an event `e` has itself, the SQL.
    `joined`: of the others, over `p` and what is joined to it. `scopes`: what has to be joined.
    `source_scope`: whose source is meant; None where none is asked for. `titles`: what columns are
    called in the answer, where it is something else. `of_visits`, `relations`: what else is joined,
    of visits and of people. `values`: what all of it binds."""

    names: list[str]
    own: dict[str, str]
    joined: dict[str, str]
    scopes: list[Scope]
    source_scope: Scope | None
    titles: dict[str, str]
    of_visits: dict[str, OfVisit]
    relations: list[str]
    values: dict[str, object]

    @property
    def columns(self) -> dict[str, str]:
        """What is needed of events `e`."""
        return self.own | (TO_JOIN if "visit" in self.scopes else {})

    @property
    def joins(self) -> str:
        """What stands behind `person_events AS p`."""
        more = "".join(f",\n        {each.sql} AS {name}" for name, each in self.of_visits.items())
        slots = {"more": more, "alias": " AS v" if more else ""}
        joined = [Template(JOINS[scope]).substitute(slots) for scope in self.scopes]
        return "\n".join([*joined, *join_facts(self.relations, "p")])

    @property
    def of_people(self) -> bool:
        """Whether it has to be known whose an event is."""
        return bool(self.scopes or self.relations)

    @property
    def of_persons(self) -> bool:
        """Whether it takes all that a person did to know in which group somebody is."""
        return "first" in self.scopes or bool(self.relations)

    def title(self, name: str) -> str:
        """What a column is called in the answer."""
        plain = name.replace("_", ".", 1)
        return self.titles.get(name, plain if plain in ALL_GROUPS else name)

    @property
    def every_title(self) -> dict[str, str]:
        """What each of `names` is called in an answer that has no such column of its own."""
        return {name: self.title(name) for name in self.names}

    @property
    def grouped(self) -> list[str]:
        """What rows are grouped by: the interval, where there is one, before `names`."""
        return [*(name for name in self.own if name not in self.names), *self.names]

    @property
    def selected(self) -> str:
        """The columns of the answer, by name, each with a comma behind it."""
        return "".join(f"{self.joined.get(name, f'p.{name}')} AS {name}, " for name in self.grouped)

    def with_visits(self) -> "Scoped":
        """The same, with the visit of each event joined."""
        if "visit" in self.scopes:
            return self
        return self._replace(scopes=["visit", *self.scopes])

    def visits(self, values: Params, also: Sequence[str] = ()) -> Wanted | None:
        """What it needs of them, and `also` these columns."""
        if "visit" not in self.scopes:
            return None
        needed = [name for each in self.of_visits.values() for name in each.needs]
        return in_time(("arrival", *dict.fromkeys([*needed, *also])), values, running=True)


def join_facts(relations: Sequence[str], of: str) -> list[str]:
    """What stands behind a relation with a `person` in FROM, for facts about these."""
    return [Template(JOIN_FACTS).substitute(relation=name, of=of) for name in relations]


def read_dimensions(text: str, plain: Sequence[str], scopes: Sequence[DimensionScope]) -> list[str]:
    """Dimensions by commas; `\\,` is one within a key. `plain`: names that are known beside them,
    `scopes`: whose dimensions go here. Raises `InvalidGroupBy`."""
    groups = [unescaped(part) for part in split(text, ",") if part.strip()]
    known = [*DIMENSIONS, *(f"{prefix}KEY" for prefix in KEYED)]
    here = [name for name in known if name not in plain and scope_of(name) in scopes]
    allowed = [*plain, *here]
    for group in groups:
        if group in plain or (group not in (DID, SEGMENT) and scope_of(group) in scopes):
            continue
        near = nearest_dimension(group, allowed)
        # First what was meant, as the list is long.
        hint = f"did you mean {near}? Allowed" if near else "allowed"
        raise InvalidGroupBy(
            f"Cannot group by {group!r}; {hint}: {', '.join(allowed)}.", allowed=allowed
        )
    found = list(dict.fromkeys(groups))
    if len(found) > MAX_GROUPS:
        raise InvalidGroupBy(f"Group by at most {MAX_GROUPS} dimensions.", allowed=allowed)
    return found


def scoped(groups: list[str], plain: Scope, facts: Facts | None = None) -> Scoped:
    """These of `ALL_GROUPS`, and any others that `read_dimensions` reads. `plain`: whose source is
    meant where a group does not say. Raises `InvalidParams`."""
    found = Scoped([], {}, {}, [], None, {}, {}, [], {})
    for group in groups:
        if group not in ALL_GROUPS:
            found = _with_dimension(found, group, facts)
            continue
        prefix = next((prefix for prefix in PREFIXES if group.startswith(prefix)), "")
        part = group.removeprefix(prefix) if group not in GROUPS else group
        scope: Scope = "event"
        if part in SOURCES:
            scope = PREFIXES[prefix] if prefix else plain
            found = found._replace(source_scope=found.source_scope or scope)
        name = group.replace(".", "_")
        found.names.append(name)
        if scope == "event":
            found.own[name] = GROUPS[part]
            continue
        found.joined[name] = f"{NAMES[scope]}.{part}"
        if scope not in found.scopes:
            found.scopes.append(scope)
    return found


def _with_dimension(found: Scoped, group: str, facts: Facts | None) -> Scoped:
    name = f"group_{len(found.names) + 1}"
    found.names.append(name)
    found.titles[name] = group
    scope = scope_of(group)
    if scope == "event":
        found.own[name] = event_sql(group, name, found.values)
        return found
    if scope == "visit":
        of_visit = OF_VISITS[group]
        found.of_visits[name] = of_visit
        absent = "NULL" if of_visit.kind == "boolean" else "''"
        value = shown(f"v.{name}", of_visit.kind)
        found.joined[name] = f"if(p.on_page, {value}, {absent})"
        return found.with_visits()
    assert facts
    relation, sql = person_sql(group, facts)
    found.joined[name] = sql
    if relation not in found.relations:
        found.relations.append(relation)
    return found


def event_sql(group: str, name: str, values: dict[str, object]) -> str:
    """A dimension of an event `e`; what it binds, under names that begin with `name`, goes into
    `values`."""
    if group.startswith(PROPERTIES):
        values[f"{name}_key"] = key_of(group)
        return json_text("e.properties", f"{{{name}_key:String}}")
    return f"toString({DIMENSIONS[group].sql})"


def person_sql(group: str, facts: Facts) -> tuple[str, str]:
    """A dimension of people: the relation to be joined under its own name, and the SQL over it."""
    relation, column = facts.of(group, "group_by")
    kind = DIMENSIONS[group].kind if group in DIMENSIONS else "text"
    return relation, shown(f"{relation}.{column}", kind)


def shown(sql: str, kind: str) -> str:
    """The SQL of a dimension as answers have it."""
    return f"toBool({sql})" if kind == "boolean" else sql
