"""What a project gave names to: segments, which are filters on people, and goals, which are
conversions."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import NamedTuple

from threadline.questions.comparing import event_conditions
from threadline.questions.filters import Condition, near, refused


@dataclass(frozen=True)
class Names:
    """What a project gave names to. Each says None for a name that there is not. `segments` and
    `goals`: the names there are."""

    segment: Callable[[str], str | None] = lambda name: None
    goal: Callable[[str], "Goal | None"] = lambda name: None
    segments: Collection[str] = ()
    goals: Collection[str] = ()


class Goal(NamedTuple):
    """A conversion with a name: an event, which has to pass all the conditions. The properties that
    hold what it is worth, and in which currency; empty where it has none."""

    event: str
    conditions: tuple[Condition, ...] = ()
    value_property: str = ""
    currency_property: str = ""


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
    conditions = event_conditions(goal.conditions, name, values)
    parts = [f"e.event_name = {{{name}_event:String}}", *conditions]
    return f"({' AND '.join(parts)})"
