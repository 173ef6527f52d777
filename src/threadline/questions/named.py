"""What a project gave names to: segments, which are filters on people, and goals, which are
conversions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from threadline.questions.comparing import event_condition
from threadline.questions.filters import read_filters, refused

# Before a goal's name, where the name of an event may stand.
GOAL = "goal:"


@dataclass(frozen=True)
class Names:
    """What a project gave names to. Each says None for a name that there is not."""

    segment: Callable[[str], str | None] = lambda name: None
    goal: Callable[[str], "Goal | None"] = lambda name: None


class Goal(NamedTuple):
    """A conversion with a name: an event, which may have to pass `filters`. What it is worth lies
    in `value_property`, and in which currency in `currency_property`, if they are not empty."""

    event: str
    filters: str = ""
    value_property: str = ""
    currency_property: str = ""


def goal_named(names: Names, name: str, parameter: str) -> Goal:
    """Raises `InvalidParams`."""
    found = names.goal(name)
    if found is None:
        raise refused(parameter, f"there is no goal {name!r}")
    return found


def goal_condition(goal: Goal, name: str, values: dict[str, object]) -> str:
    """That an event `e` is one of the goal's."""
    values[f"{name}_event"] = goal.event
    parts = [f"e.event_name = {{{name}_event:String}}"]
    for nth, condition in enumerate(read_filters(goal.filters), start=1):
        parts.append(event_condition(condition, f"{name}_{nth}", values))
    return f"({' AND '.join(parts)})"
