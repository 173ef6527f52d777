"""Segments and goals: what may be in them, and as questions take them.

All of it is pure: each change takes a project's definitions and gives those that there are to be,
or raises `ApiError`. HTTP, the command line and files of settings go by the same.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from threadline.contract.definitions import Definitions, GoalDefinition, Segment
from threadline.contract.errors import InUse, InvalidParams, InvalidPayload
from threadline.questions.boards import check_board, check_insight
from threadline.questions.defined import added, check_shown, invalid, one_of, removed
from threadline.questions.dimensions import DID, DIMENSIONS, SEGMENT
from threadline.questions.filters import NONE, Condition, near, read_filters
from threadline.questions.named import Goal, Names
from threadline.questions.steps import GOAL, MAX_EVENT_NAME, name_and_conditions

# Of a segment with those that it refers to.
MAX_EXPANDED = 100
# They are written in filters and steps, where these mean something else.
NOT_IN_NAMES = ";|,{}\\"


def names_of(definitions: Definitions) -> Names:
    """What questions look names up in."""

    def segment(name: str) -> str | None:
        found = definitions.segments.get(name)
        return found.filters if found else None

    def goal(name: str) -> Goal | None:
        found = definitions.goals.get(name)
        return goal_of(found) if found else None

    return Names(segment, goal, definitions.segments, definitions.goals)


def goal_of(goal: GoalDefinition) -> Goal:
    """The event without braces, and all the conditions. Raises `InvalidPayload`."""
    event, conditions = read_event(goal.event)
    found = (*_read(conditions, "event", of_steps=True), *_read(goal.filters, "filters"))
    return Goal(event, found, goal.value_property, goal.currency_property)


def read_event(text: str) -> tuple[str, str]:
    """`purchase{plan=pro}`: the event's name, and the conditions. Raises `InvalidPayload`."""
    name, conditions = name_and_conditions(text)
    if not name:
        raise invalid(
            "event", f"{text!r} is not an event; write a name, or one as in purchase{{plan=pro}}"
        )
    return name, conditions or ""


# -- changes ------------------------------------------------------------------------------------


def put_segment(definitions: Definitions, segment: Segment) -> Definitions:
    """With this segment, in place of one of its name. Raises `InvalidPayload`."""
    check_name("segment", segment.name)
    after = definitions._replace(segments=added(definitions.segments, segment.name, segment))
    check_segment(after, segment)
    # What refers to it grows with it.
    for other in after.segments.values():
        if SEGMENT in other.filters:
            _expand(after, other)
    return after


def put_goal(definitions: Definitions, goal: GoalDefinition) -> Definitions:
    """With this goal, in place of one of its name. Raises `InvalidPayload`."""
    check_name("goal", goal.name)
    check_goal(goal)
    return definitions._replace(goals=added(definitions.goals, goal.name, goal))


def delete_segment(definitions: Definitions, name: str) -> Definitions:
    """Without it. Raises `NotFound`, or `InUse` with those that use it."""
    one_of(definitions.segments, name, "segment")
    _refuse_in_use(definitions, SEGMENT, name, "segment", name)
    return definitions._replace(segments=removed(definitions.segments, name))


def delete_goal(definitions: Definitions, name: str) -> Definitions:
    """Without it. Raises `NotFound`, or `InUse` with those that use it."""
    one_of(definitions.goals, name, "goal")
    _refuse_in_use(definitions, DID, f"{GOAL}{name}", "goal", name)
    return definitions._replace(goals=removed(definitions.goals, name))


def _refuse_in_use(
    definitions: Definitions, dimension: str, value: str, what: str, name: str
) -> None:
    users = [
        segment.name
        for segment in definitions.segments.values()
        if value in _values(read_filters(segment.filters), dimension)
    ]
    if users:
        raise InUse(
            f"The {what} {name} is used by {_listed(users)}; change or delete that first.",
            used_by=users,
        )


def _listed(segments: list[str]) -> str:
    return f"segment{'s' if len(segments) > 1 else ''} {', '.join(segments)}"


# -- what is allowed ----------------------------------------------------------------------------


def check_all(definitions: Definitions) -> Iterator[tuple[str, str, InvalidPayload]]:
    """Everything that is wrong with them: the table, the name, the error."""
    for table, check in CHECKS.items():
        for name, one in getattr(definitions, table).items():
            try:
                check(definitions, one)
            except InvalidPayload as error:
                yield table, name, error


def check_name(what: str, name: str) -> None:
    """Raises `InvalidPayload` for a name that could not be written in filters and steps."""
    check_shown(what, name)
    if name == NONE or any(sign in name for sign in NOT_IN_NAMES):
        signs = " ".join(NOT_IN_NAMES)
        raise invalid("name", f"the name of a {what} holds none of {signs}, and is not {NONE}")


def check_segment(definitions: Definitions, segment: Segment) -> None:
    """Among these definitions. Raises `InvalidPayload`."""
    conditions = _read(segment.filters, "filters")
    if not conditions:
        raise invalid("filters", "write at least one condition, such as did==purchase")
    for condition in conditions:
        if condition.scope != "person":
            raise invalid("filters", _of_no_person(condition))
    for goal in _goals(conditions):
        if goal not in definitions.goals:
            hint = near(goal, definitions.goals, "goal")
            raise invalid("filters", f"there is no goal {goal!r}; {hint}")
    _expand(definitions, segment)


def _expand(definitions: Definitions, segment: Segment) -> None:
    """Whatever the segment refers to is there, none of it refers to the segment, and all of it
    together is no more than a question can take."""
    total = 0

    def walk(text: str, chain: list[str]) -> None:
        nonlocal total
        conditions = _read(text, "filters")
        total += len(conditions)
        if total > MAX_EXPANDED:
            raise invalid(
                "filters",
                f"segment {segment.name} with those that it refers to has over {MAX_EXPANDED} "
                "conditions",
            )
        for other in _values(conditions, SEGMENT):
            if other in chain:
                circle = " → ".join([*chain, other])
                raise invalid("filters", f"segments refer to each other in a circle: {circle}")
            if other not in definitions.segments:
                hint = near(other, {*definitions.segments} - {segment.name}, "segment")
                raise invalid("filters", f"there is no segment {other!r}; {hint}")
            walk(definitions.segments[other].filters, [*chain, other])

    walk(segment.filters, [segment.name])


def _of_no_person(condition: Condition) -> str:
    said = f"a segment takes conditions on people, and {condition.text!r} is of {condition.scope}s"
    first = f"first.{condition.dimension.removeprefix('visit.')}"
    if condition.dimension in ("event", "event_name"):
        return f"{said}; did you mean {DID}{condition.operator}…?"
    return f"{said}; did you mean {first}?" if first in DIMENSIONS else said


def check_goal(goal: GoalDefinition) -> None:
    """Raises `InvalidPayload`."""
    event, conditions = read_event(goal.event)
    if len(event) > MAX_EVENT_NAME:
        raise invalid("event", f"the name of an event has at most {MAX_EVENT_NAME} characters")
    if event.startswith(GOAL):
        raise invalid("event", f"a goal is of an event, and {event} is a goal")
    for field, text in (("event", conditions), ("filters", goal.filters)):
        for condition in _read(text, field, of_steps=field == "event"):
            if condition.scope != "event":
                raise invalid(
                    field,
                    f"a goal takes conditions on events, and {condition.text!r} is of "
                    f"{condition.scope}s",
                )
    if goal.currency_property and not goal.value_property:
        raise invalid("currency_property", "it needs value_property")
    for field in ("value_property", "currency_property", "description"):
        if not getattr(goal, field).isprintable():
            raise invalid(field, "write it on one line, without control characters")


def _check_named_segment(definitions: Definitions, segment: Segment) -> None:
    check_name("segment", segment.name)
    check_segment(definitions, segment)


def _check_named_goal(_: Definitions, goal: GoalDefinition) -> None:
    check_name("goal", goal.name)
    check_goal(goal)


CHECKS: Mapping[str, Callable[[Definitions, Any], None]] = {
    "segments": _check_named_segment,
    "goals": _check_named_goal,
    "insights": lambda _, insight: check_insight(insight),
    "boards": check_board,
}


def _read(text: str, field: str, of_steps: bool = False) -> list[Condition]:
    try:
        return read_filters(text, field, of_steps)
    except InvalidParams as error:
        errors: Any = error.details["fieldErrors"]
        raise invalid(field, errors[field][0]) from None


def _goals(conditions: Iterable[Condition]) -> list[str]:
    named = _values(conditions, DID)
    return [name.removeprefix(GOAL) for name in named if name.startswith(GOAL)]


def _values(conditions: Iterable[Condition], dimension: str) -> list[str]:
    found = (each.values for each in conditions if each.dimension == dimension)
    return [value for values in found for value in values]
