"""What a funnel can be grouped by: any dimension, of the person or of the event that was the first
step."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec

from threadline.contract.errors import InvalidGroupBy
from threadline.identity.visits import Wanted
from threadline.questions.answers import Group
from threadline.questions.context import Context
from threadline.questions.dimensions import (
    DID,
    DIMENSIONS,
    NAMES,
    SEGMENT,
    json_text,
    key_of,
    nearest_dimension,
    scope_of,
)
from threadline.questions.filters import plain, split
from threadline.questions.parameters import in_time
from threadline.questions.traffic_sources import GROUPS
from threadline.store import Params, Row
from threadline.store.states import OFF_PAGE

FunnelGroups = Annotated[
    str,
    msgspec.Meta(
        description=f"By commas. {', '.join(GROUPS)}: of the person's first event. Any other "
        "dimension of filters: of people (`traits.plan`), of the event that was the first step "
        "(`path`, `properties.plan`, `event_source`), or of its visit (`visit.source`).",
        examples=["source", "properties.plan"],
    ),
]
# The source of the event itself, as `stats` calls it.
OF_EVENT = {f"event_{name}": name for name in GROUPS}
ALLOWED = (*GROUPS, *OF_EVENT, *(name for name in NAMES if name not in (*GROUPS, DID, SEGMENT)))

# Of everybody's first event, as long as nothing else is asked for.
FIRST_EVENTS = """
INNER JOIN first_events AS f ON f.person = w.person
LEFT ANY JOIN named_sources AS n ON n.traffic_source = f.first_touch.traffic_source"""
# The visit in which the first step happened began last before it. What happens on no page is in no
# visit, and keeps its own source.
VISITS = """
ASOF LEFT JOIN (
    SELECT person, device, toInt64(started) AS started, ended, page_views, actions, entry_path,
        exit_path, arrival
    FROM visits
) AS v ON v.person = w.person AND v.device = w.device AND w.started >= v.started
LEFT ANY JOIN named_sources AS n
    ON n.traffic_source = if(w.on_page, v.arrival.2, w.own_source)"""
VISIT_COLUMNS = ("page_views", "actions", "entry_path", "exit_path", "arrival")
# Of an event that is a first step, what its visit is found by.
TO_FIND_VISITS = ("e.visitor", f"NOT ({OFF_PAGE})", "e.traffic_source")
FOUND_BY = """,
        first_step.2 AS device, first_step.3 AS on_page, first_step.4 AS own_source"""
# Of events at the same moment the one with the smallest values.
STARTS = """
), starts AS (
    SELECT *, times[1] AS started,
        arraySort(arrayFilter(step -> step.1 = started, first_steps))[1] AS first_step$found_by
    FROM walks"""


class FunnelGrouping(NamedTuple):
    """`names`: the columns of the answer. `columns`: SQL of each. `events`: what is needed of
    events `e` that are first steps. `joins`: what stands behind `walks AS w`."""

    names: Sequence[str]
    columns: Sequence[str] = ()
    events: Sequence[str] = ()
    joins: str = ""
    of_visits: bool = False

    @property
    def aliases(self) -> list[str]:
        return [
            name if name.isidentifier() else f"group_{nth}"
            for nth, name in enumerate(self.names, start=1)
        ]

    @property
    def selected(self) -> str:
        """The columns by their aliases, each with a comma behind it."""
        pairs = zip(self.columns, self.aliases, strict=True)
        return "".join(f"{column} AS {alias}, " for column, alias in pairs)

    def slots(self, first: str) -> dict[str, object]:
        """What goes into the statement of a walk. `first`: whether an event may be a first step."""
        found = dict.fromkeys(("columns", "carry", "carried", "starts"), "")
        if not self.events:
            return {**found, "walks": "walks"}
        numbers = range(1, len(self.events) + 1)
        columns = zip(self.events, numbers, strict=True)
        carried = ", ".join(f"step_value_{n}" for n in numbers)
        return {
            "columns": "".join(f",\n        {sql} AS step_value_{n}" for sql, n in columns),
            "carry": f", groupArrayIf((toUnixTimestamp64Milli(timestamp), {carried}), {first})"
            " AS first_steps",
            "carried": ", first_steps",
            "starts": STARTS.strip().replace("$found_by", FOUND_BY if self.of_visits else ""),
            "walks": "starts",
        }

    def visits(self, values: Params) -> Wanted | None:
        return in_time(VISIT_COLUMNS, values, running=True) if self.of_visits else None

    def row(self, row: Row) -> Row:
        """The columns as they go out; null where there is none."""
        pairs = zip(self.names, self.aliases, strict=True)
        return {name: row[alias] or None for name, alias in pairs}


def funnel_groups(context: Context, text: str, values: dict[str, object]) -> FunnelGrouping:
    """What the text asks for; what it binds goes into `values`. Raises `InvalidGroupBy`."""
    names = list(dict.fromkeys(plain(part) for part in split(text, ",") if part.strip()))
    for name in names:
        if name not in ALLOWED and (scope_of(name) is None or name in (DID, SEGMENT)):
            raise InvalidGroupBy(_unknown(name), allowed=list(ALLOWED))
    if all(name in GROUPS for name in names):
        columns = [f"n.{name}" for name in names]
        return FunnelGrouping(names, columns, joins=FIRST_EVENTS.strip() if names else "")
    return _of_dimensions(context, names, values)


def _unknown(name: str) -> str:
    near = nearest_dimension(name, ALLOWED)
    hint = f"did you mean {near}? Allowed" if near else "allowed"
    return f"Cannot group by {name!r}; {hint}: {', '.join(ALLOWED)}."


def _of_dimensions(context: Context, names: list[str], values: dict[str, object]) -> FunnelGrouping:
    meant = [f"first.{name}" if name in GROUPS else OF_EVENT.get(name, name) for name in names]
    of_visits = any(scope_of(name) == "visit" for name in meant)
    columns, joins = [], []
    events = list(TO_FIND_VISITS) if of_visits else []
    for nth, name in enumerate(meant, start=1):
        scope = scope_of(name)
        if scope == "event":
            events.append(_of_event(name, f"group_key_{nth}", values))
            columns.append(f"w.first_step.{len(events) + 1}")
        elif scope == "visit":
            columns.append(_of_visit(name))
        else:
            relation, column = context.facts.of(name, "group_by")
            joins.append(f"LEFT ANY JOIN {relation} AS g{nth} ON g{nth}.person = w.person")
            columns.append(_as_text(name, f"g{nth}.{column}"))
    if of_visits:
        joins.insert(0, VISITS.strip())
    return FunnelGrouping(names, columns, events, "\n".join(joins), of_visits)


def _of_visit(name: str) -> str:
    """Of an event on no page only where it came from, which is its own."""
    sql = _as_text(name, DIMENSIONS[name].sql)
    return sql if DIMENSIONS[name].sql.startswith("n.") else f"if(w.on_page, {sql}, '')"


def _as_text(name: str, sql: str) -> str:
    found = DIMENSIONS.get(name)
    is_boolean = found is not None and found.kind == "boolean"
    return f"if({sql}, 'true', 'false')" if is_boolean else f"toString({sql})"


def _of_event(name: str, key_name: str, values: dict[str, object]) -> str:
    if found := DIMENSIONS.get(name):
        return f"toString({found.sql})"
    values[key_name] = key_of(name)
    return json_text("e.properties", f"{{{key_name}:String}}")


def grouped_by(
    kind: type[msgspec.Struct], names: Sequence[str], rows: Sequence[Mapping[str, object]]
) -> list[Any]:
    """Rows as structs of this kind, with the columns of `names` before its own."""
    if not names:
        return [kind(**row) for row in rows]
    fields: list[Any] = [
        (f"group_{nth}", Group, msgspec.field(name=name)) for nth, name in enumerate(names, start=1)
    ]
    own = [field for field in msgspec.structs.fields(kind) if field.name not in names]
    fields += [
        (
            field.name,
            field.type,
            msgspec.field(
                name=field.encode_name,
                default=field.default if field.default is msgspec.UNSET else msgspec.NODEFAULT,
            ),
        )
        for field in own
    ]
    made = msgspec.defstruct(kind.__name__, fields, kw_only=True)
    columns = {name: f"group_{nth}" for nth, name in enumerate(names, start=1)}
    return [made(**{columns.get(name, name): value for name, value in row.items()}) for row in rows]
