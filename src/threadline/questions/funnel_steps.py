"""Steps of a funnel, as `steps` writes them, with a project's goals, and as SQL."""

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

from threadline.questions.comparing import event_conditions
from threadline.questions.dimensions import PROPERTIES, scope_of
from threadline.questions.filters import NONE, Condition, refused
from threadline.questions.named import Names, goal_condition, goal_named
from threadline.questions.steps import EventName, Step, parse_steps

MAX_STEPS = 10


class Alternative(NamedTuple):
    """One event that a step may be. `goal`: its name, where the event is that of a goal."""

    event: str
    conditions: tuple[Condition, ...]
    goal: str | None = None


class FunnelStep(NamedTuple):
    """`text`: how the answer shows it. `conditions`: of all alternatives, in braces."""

    text: str
    alternatives: tuple[Alternative, ...]
    conditions: tuple[Condition, ...]
    optional: bool

    @property
    def events(self) -> list[str]:
        return [each.event for each in self.alternatives]

    @property
    def key(self) -> object:
        """The same for steps that the same events are."""
        conditions = frozenset(condition[1:] for condition in self.conditions)
        return frozenset((each.event, each.goal) for each in self.alternatives), conditions

    def sql(self, name: str, names: Names, values: dict[str, object]) -> str:
        """That an event `e` is this step; what it binds, under names that begin with `name`, goes
        into `values`."""
        parts = []
        events = [each.event for each in self.alternatives if each.goal is None]
        if len(events) == 1:
            values[name] = events[0]
            parts.append(f"e.event_name = {{{name}:String}}")
        elif events:
            values[name] = events
            parts.append(f"e.event_name IN {{{name}:Array(String)}}")
        for nth, each in enumerate(self.alternatives, start=1):
            if each.goal is not None:
                goal = goal_named(names, each.goal, "steps")
                parts.append(goal_condition(goal, f"{name}_goal_{nth}", values))
        found = parts[0] if len(parts) == 1 else f"({' OR '.join(parts)})"
        if not self.conditions:
            return found
        conditions = event_conditions(self.conditions, name, values)
        return f"({' AND '.join([found, *conditions])})"


def read_steps(
    text: str, names: Names, parameter: str = "steps", least: int = 2
) -> list[FunnelStep]:
    """The steps of a text, by commas. Raises `InvalidParams` that says what to write."""
    found = [_step(step, names, parameter) for step in parse_steps(text, parameter)]
    if not least <= len(found) <= MAX_STEPS:
        raise refused(parameter, f"name {least} to {MAX_STEPS} events")
    return found


def are_apart(steps: Iterable[FunnelStep]) -> bool:
    """Whether, for all that can be said beforehand, no event is two of them."""
    return all(_apart(one, other) for one, other in combinations(steps, 2))


def first_not_apart(steps: Sequence[FunnelStep]) -> tuple[FunnelStep, FunnelStep] | None:
    """Two that one event may be."""
    pairs = combinations(steps, 2)
    return next((pair for pair in pairs if not _apart(*pair)), None)


def _apart(one: FunnelStep, other: FunnelStep) -> bool:
    return all(
        a.event != b.event or _contradict(a.conditions, b.conditions)
        for a in one.alternatives
        for b in other.alternatives
    )


def _contradict(some: Iterable[Condition], others: Iterable[Condition]) -> bool:
    return any(
        a.dimension == b.dimension and (_rules_out(a, b) or _rules_out(b, a))
        for a in some
        for b in others
    )


def _rules_out(one: Condition, other: Condition) -> bool:
    """Whether what is one of these values cannot pass the other condition."""
    if one.operator != "==":
        return False
    if other.operator == "==":
        return not set(one.values) & set(other.values)
    return other.operator == "!=" and set(one.values) <= set(other.values)


def _step(step: Step, names: Names, parameter: str) -> FunnelStep:
    conditions = step.conditions
    alternatives = tuple(_alternative(each, conditions, names, parameter) for each in step.names)
    shown = "|".join(each.text for each in step.names)
    if conditions:
        shown += f"{{{';'.join(map(_shown, conditions))}}}"
    return FunnelStep(shown, alternatives, conditions, step.optional)


def _alternative(
    event: EventName, conditions: tuple[Condition, ...], names: Names, parameter: str
) -> Alternative:
    if not event.is_goal:
        return Alternative(event.name, conditions)
    goal = goal_named(names, event.name, parameter)
    return Alternative(goal.event, (*conditions, *goal.conditions), event.name)


def _shown(condition: Condition) -> str:
    name = condition.dimension
    if scope_of(bare := name.removeprefix(PROPERTIES)) is None:
        name = bare
    operator = "=" if condition.operator == "==" else condition.operator
    return f"{name}{operator}{'|'.join(value or NONE for value in condition.values)}"
