"""Groups of events, where a source may be each event's own, its visit's, or the person's first."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from threadline.identity.visits import Wanted
from threadline.questions.parameters import GROUPS, in_time
from threadline.questions.traffic_sources import GROUPS as SOURCES
from threadline.store import Params
from threadline.store.states import OFF_PAGE

Scope = Literal["event", "visit", "first"]
# Of each way to say whose source is meant, what stands before its name.
PREFIXES: Mapping[str, Scope] = {"event_": "event", "visit.": "visit", "first.": "first"}
ALL_GROUPS = (*GROUPS, *(f"{prefix}{name}" for prefix in PREFIXES for name in SOURCES))

# What is joined to events `p`: where each visit came from, and each person first. What happens on
# no page is in no visit, and keeps its own.
JOINS: Mapping[Scope, str] = {
    "visit": """ASOF LEFT JOIN (
    SELECT person, device, fromUnixTimestamp64Milli(started, 'UTC') AS started,
        arrival.2 AS traffic_source
    FROM visits
) AS v ON v.person = p.person AND v.device = p.on_device AND p.timestamp >= v.started
LEFT ANY JOIN named_sources AS vn
    ON vn.traffic_source = if(p.on_page, v.traffic_source, p.own_source)""",
    "first": """LEFT ANY JOIN (
    SELECT person, first_touch.traffic_source AS traffic_source FROM first_events
) AS f ON f.person = p.person
LEFT ANY JOIN named_sources AS fn ON fn.traffic_source = f.traffic_source""",
}
NAMES: Mapping[Scope, str] = {"visit": "vn", "first": "fn"}
TO_JOIN = {
    "on_device": "e.visitor",
    "on_page": f"NOT ({OFF_PAGE})",
    "own_source": "e.traffic_source",
}


class Scoped(NamedTuple):
    """`names`: the columns of the answer. `own`: of those that an event `e` has itself, the SQL.
    `joined`: of the others, over `p` and what is joined to it. `scopes`: what has to be joined.
    `source_scope`: whose source is meant; None where none is asked for."""

    names: list[str]
    own: dict[str, str]
    joined: dict[str, str]
    scopes: list[Scope]
    source_scope: Scope | None

    @property
    def columns(self) -> dict[str, str]:
        """What is needed of events `e`."""
        return self.own | (TO_JOIN if "visit" in self.scopes else {})

    @property
    def joins(self) -> str:
        """What stands behind `person_events AS p`."""
        return "\n".join(JOINS[scope] for scope in self.scopes)

    @property
    def selected(self) -> str:
        """The columns of the answer, by name, each with a comma behind it."""
        return "".join(
            f"{self.joined.get(name, f'p.{name}')} AS {name}, "
            for name in (*(name for name in self.own if name not in self.names), *self.names)
        )

    def visits(self, values: Params) -> Wanted | None:
        return in_time(("arrival",), values, running=True) if "visit" in self.scopes else None


def scoped(groups: list[str], plain: Scope) -> Scoped:
    """These of `ALL_GROUPS`. `plain`: whose source is meant where a group does not say."""
    found = Scoped([], {}, {}, [], None)
    for group in groups:
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
