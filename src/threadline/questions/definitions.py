"""Segments, goals and annotations: what may be in them, and as questions take them.

All of it is pure: each change takes a project's definitions and gives those that there are to be,
or raises `ApiError`. HTTP, the command line and files of settings go by the same.
"""

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from threadline.contract.definitions import (
    Annotation,
    Definitions,
    GoalDefinition,
    Segment,
)
from threadline.contract.errors import InUse, InvalidParams, InvalidPayload
from threadline.contract.times import Timestamp, format_ms
from threadline.questions.boards import check_board, check_insight
from threadline.questions.defined import (
    added,
    check_shown,
    invalid,
    one_of,
    removed,
)
from threadline.questions.dimensions import DID, DIMENSIONS, SEGMENT
from threadline.questions.filters import (
    NONE,
    Condition,
    near,
    read_filters,
)
from threadline.questions.named import Goal, Names
from threadline.questions.steps import GOAL, MAX_EVENT_NAME, name_and_conditions

# Of a segment with those that it refers to.
MAX_EXPANDED = 100
# They are written in filters and steps, where these mean something else.
NOT_IN_NAMES = ";|,{}\\"
ANNOTATION_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


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
            "event", f"{text!r} is no event; write a name, or one as in purchase{{plan=pro}}"
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


def put_annotation(definitions: Definitions, annotation: Annotation) -> Definitions:
    """With this annotation, in place of one of its id. Raises `InvalidPayload`."""
    found = checked_annotation(annotation)
    annotations = added(definitions.annotations, found.annotation_id, found)
    return definitions._replace(annotations=annotations)


def add_annotation(definitions: Definitions, annotation: Annotation) -> tuple[Definitions, str]:
    """With this annotation, and its id: its own, or that of one that says the same of the same
    time, or a new one. Whoever sends it twice has not made two notes. Raises `InvalidPayload`."""
    same = same_annotation(definitions, annotation)
    annotation_id = annotation.annotation_id or (same.annotation_id if same else new_id())
    link = annotation.link or (same.link if same else "")
    named = msgspec.structs.replace(annotation, annotation_id=annotation_id, link=link)
    return put_annotation(definitions, named), annotation_id


def new_id() -> str:
    """Of an annotation that came without one."""
    return f"note_{secrets.token_hex(6)}"


def same_annotation(definitions: Definitions, annotation: Annotation) -> Annotation | None:
    """The one that says the same of the same time. Raises `InvalidPayload`."""
    said = (checked_time(annotation.at), annotation.text.strip())
    there = definitions.annotations.values()
    return next((each for each in there if (each.at, each.text) == said), None)


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


def delete_annotation(definitions: Definitions, annotation_id: str) -> Definitions:
    """Without it. Raises `NotFound`."""
    one_of(definitions.annotations, annotation_id, "annotation")
    return definitions._replace(annotations=removed(definitions.annotations, annotation_id))


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


def checked_annotation(annotation: Annotation) -> Annotation:
    """As it is kept. Raises `InvalidPayload`."""
    if not ANNOTATION_ID.fullmatch(annotation.annotation_id):
        raise invalid("annotation_id", "write 1 to 64 letters, digits, _ and -")
    text = annotation.text.strip()
    if not text or not text.isprintable():
        raise invalid("text", "write what happened, on one line")
    if annotation.link and not _is_address(annotation.link):
        raise invalid("link", "write an address with http or https, such as https://shop.example/")
    return Annotation(
        annotation_id=annotation.annotation_id,
        at=checked_time(annotation.at),
        text=text,
        link=annotation.link,
    )


def checked_time(text: str) -> str:
    """A date, or a time in UTC. Raises `InvalidPayload`."""
    try:
        found = Timestamp.parse(text.strip())
    except ValueError as error:
        raise invalid("at", str(error)) from None
    return found.day.isoformat() if found.day else format_ms(found.ms)


def _is_address(link: str) -> bool:
    try:
        address = urlsplit(link)
    except ValueError:
        return False
    return address.scheme in ("http", "https") and bool(address.hostname) and link.isprintable()


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
