"""Cohorts: people by the interval they began in, and the intervals they were there in. What
`retention` counts, and of which `retention_people` names the people."""

from collections.abc import Mapping, Sequence
from string import Template
from typing import Annotated, Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from threadline.identity.activity import FIRST_OF_STRETCH, active
from threadline.identity.compose import all_of, fill, where
from threadline.questions.context import Context
from threadline.questions.dimensions import scope_of
from threadline.questions.filters import Filtered, refused
from threadline.questions.intervals import Kind, WeekStart, bucket, differ, kind_of, start
from threadline.questions.intervals import between as intervals_between
from threadline.questions.named_events import NamedEvent, event_text, read_event
from threadline.questions.parameters import between
from threadline.questions.scoped import event_sql, join_facts, person_sql


class Cohorts(Filtered, kw_only=True):
    """`from` and `to` choose cohorts by when people began."""

    interval: Annotated[
        Literal["day", "week", "month"], msgspec.Meta(description="In the time zone `tz`.")
    ] = "week"
    week_start: WeekStart = "monday"
    cohort: Annotated[
        str,
        event_text(
            "When people begin: `first_seen`, `known` (their first event with a user id), or with "
            "their first such event."
        ),
    ] = "first_seen"
    event: Annotated[str, event_text("What counts as coming back. Default: any event.")] | None = (
        None
    )
    mode: Annotated[
        Literal["bounded", "unbounded"],
        msgspec.Meta(description="Who is back: in the interval, or in it or any later one."),
    ] = "bounded"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.week_start != "monday" and self.interval != "week":
            raise refused("week_start", "goes with interval=week; add that, or leave it out")

    @property
    def kind(self) -> Kind:
        """The interval, and of weeks where they begin."""
        return kind_of(self.interval, self.week_start)


# What people may begin with, other than an event of some name.
BEGINS = {"first_seen": "TRUE", "known": "known"}

# What is looked at where events of a name matter; else half hours tell as much, see
# `identity/activity`.
EVENTS = """
SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
    e.timestamp AS begins, e.user_hash != 0 AS known, e.event_name AS event_name$besides
FROM counted_events AS e
$where"""

PEOPLE = """
), $name AS (
    SELECT person$also, minIf(begins, $begins) AS began, countIf($begins) > 0 AS has_begun,
        groupUniqArrayIf($period, $returns) AS active$began_with
    FROM person_events
    GROUP BY person
"""
# On each of several machines, who are nobody's, began in the same interval, and were there in the
# same ones, become one row: as good as any of them, with how many `people` they are.
DIVIDED_PEOPLE = f"""{PEOPLE}
), finished AS (
    SELECT if(p.is_nobodys, cityHash64($began_in, arraySort(p.active)), p.person) AS somebody,
        p.is_nobodys AS is_nobodys, min(p.began) AS first_began, max(p.has_begun) AS begun,
        groupUniqArrayArray(p.active) AS periods, count() AS people
    FROM people_here AS p
    WHERE NOT is_nobodys OR ($asked_for)
    GROUP BY somebody, is_nobodys
), people AS (
    SELECT f.somebody AS person, minIf(f.first_began, f.begun) AS began,
        max(f.begun) AS has_begun, groupUniqArrayArray(f.periods) AS active,
        if(f.is_nobodys, sum(f.people), 1) AS people
    FROM finished AS f
    GROUP BY f.somebody, f.is_nobodys
"""
COHORTS = """
WITH considered AS (
    $considered
$people
), counted_people AS (
    SELECT person
    FROM people
    $where
), cohorts AS (
    SELECT $columns$began_in AS cohort,
        arrayDistinct(arrayMap(
            at -> dateDiff({interval:String}, cohort, at, {tz:String}), active
        )) AS periods
    FROM people
    $joins
    $where
)"""
# Whether they were back in the `$k`-th interval.
IS_BACK = {
    "bounded": Template("has(periods, $k)"),
    "unbounded": Template("arrayExists(period -> period >= $k, periods)"),
}


class CohortsRequest(NamedTuple):
    """What fills `COHORTS`. `begins`, `returns`: the events, where they are named."""

    values: dict[str, object]
    slots: Mapping[str, object]
    begins: NamedEvent | None
    returns: NamedEvent | None


def read(
    context: Context, params: Cohorts, groups: Sequence[str] = (), divided: bool = False
) -> CohortsRequest:
    """The question's parts. `groups`: dimensions of the event that people began with, and of
    persons, which become `group_1`, `group_2`, …. `divided`: without any, rows of `cohorts` are of
    some `people`, as on several machines. Raises `InvalidParams`."""
    values: dict[str, object] = {"tz": params.tz, "interval": params.interval}
    begins = returns = None
    if params.cohort not in BEGINS:
        begins = read_event(context, params.cohort, "cohort", values)
    if params.event is not None:
        returns = read_event(context, params.event, "event", values)
    # Everybody was first seen sometime; all else may never have happened.
    conditions = [] if params.cohort == "first_seen" else ["has_begun"]
    conditions += between(params, values, "began")
    columns, joins, own = _grouped(context, groups, values)
    besides = dict(own)
    slots = {
        "begins": _in_row(begins, "is_begin", besides) or BEGINS[params.cohort],
        "returns": _in_row(returns, "is_return", besides) or "TRUE",
        "period": bucket(params.kind, "timestamp"),
        "began_in": bucket(params.kind, "began"),
        "columns": "people, " if divided else columns,
        "joins": joins,
        "where": where(conditions),
        "began_with": "",
    }
    if own:
        besides["event_id"] = "e.event_id"
        first = f"argMinIf(({', '.join(own)},), (timestamp, event_id), {slots['begins']})"
        slots["began_with"] = f",\n{first} AS began_with"
    slots["people"] = _people(slots, conditions, divided)
    slots["considered"] = _considered(context, params, values, besides, bool(begins or returns))
    return CohortsRequest(values, slots, begins, returns)


def _people(slots: Mapping[str, str], conditions: Sequence[str], divided: bool) -> str:
    if not divided:
        return fill(PEOPLE, {**slots, "name": "people", "also": ""})
    asked_for = {"name": "people_here", "asked_for": all_of(conditions)}
    return fill(DIVIDED_PEOPLE, {**slots, **asked_for, "also": ", any(is_nobodys) AS is_nobodys"})


def _in_row(event: NamedEvent | None, name: str, besides: dict[str, str]) -> str:
    """Of a row, whether it is that event; what that takes goes into `besides`."""
    if event is None or event.is_plain:
        return event.condition.removeprefix("e.") if event else ""
    besides[name] = event.condition
    return name


def _grouped(
    context: Context, groups: Sequence[str], values: dict[str, object]
) -> tuple[str, str, dict[str, str]]:
    """The columns to group by; what is joined to people for them; and what of events `e`."""
    columns, relations, own = "", dict[str, None](), dict[str, str]()
    for nth, name in enumerate(groups, start=1):
        if scope_of(name) == "person":
            relation, sql = person_sql(name, context.facts)
            relations[relation] = None
        else:
            label = f"own_{nth}"
            own[label] = event_sql(name, label, values)
            sql = f"began_with.{len(own)}"
        columns += f"{sql} AS group_{nth}, "
    return columns, "\n".join(join_facts([*relations], "people")), own


def _considered(
    context: Context,
    params: Cohorts,
    values: dict[str, object],
    besides: dict[str, str],
    named: bool,
) -> str:
    narrowing = context.narrowing
    if named or besides or narrowing.events or narrowing.of_visits:
        columns = "".join(f",\n{sql} AS {name}" for name, sql in besides.items())
        slots = {"besides": columns, "where": where(narrowing.events)}
        return fill(EVENTS, slots)
    changes = [differ(params.kind)]
    return active(
        context.resolution, values, changes, everything=True, more=FIRST_OF_STRETCH
    ).strip()


def begun(params: Cohorts, now_ms: int, cohort_ms: int) -> int:
    """How many intervals from this one on have begun by now, or by `as_of`; at least itself."""
    zone = ZoneInfo(params.tz)
    running = start(params.kind, now_ms, zone)
    return max(1, 1 + intervals_between(params.kind, cohort_ms, running, zone))
