"""Steps of a funnel as text: names of events by commas, and conditions in braces, as of `filters`.

$pageview{path=^/docs/*},signup|trial_started,purchase{plan=pro;amount>=10}
$pageview,$pageview,signup?,goal:order
"""

import re
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

from threadline.questions.comparing import event_condition
from threadline.questions.dimensions import PROPERTIES, scope_of
from threadline.questions.filters import (
    NONE,
    Condition,
    plain,
    read_filters,
    refused,
    split,
)
from threadline.questions.named import GOAL, Names, goal_condition, goal_named

MAX_STEPS = 10
MAX_NAME = 128
MAX_NAMES = 20

PIECE = re.compile(r"\\.|[{},]|[^\\{},]+", re.DOTALL)
# Names, perhaps conditions, perhaps the mark of what is optional.
STEP = re.compile(r"((?:\\.|[^\\{}])+?)(?:\{(.*)\})?\s*(\?)?\s*", re.DOTALL)
EXAMPLE = "$pageview,signup,purchase{plan=pro}"


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
        conditions = [
            event_condition(condition, f"{name}_{nth}", values)
            for nth, condition in enumerate(self.conditions, start=1)
        ]
        return f"({' AND '.join([found, *conditions])})"


def read_steps(
    text: str, names: Names, parameter: str = "steps", least: int = 2
) -> list[FunnelStep]:
    """The steps of a text, by commas. Raises `InvalidParams` that says what to write."""
    found = [_step(part, names, parameter) for part in _parts(text, parameter)]
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


def _parts(text: str, parameter: str) -> list[str]:
    """What stands between commas, but for those within braces."""
    pieces = PIECE.findall(text)
    parts, depth = [""], 0
    for piece in pieces:
        depth += {"{": 1, "}": -1}.get(piece, 0)
        if depth < 0:
            break
        if piece == "," and not depth:
            parts.append("")
        else:
            parts[-1] += piece
    if depth or sum(map(len, pieces)) < len(text):
        message = f"each {{ needs its }}, and a backslash something behind it, such as {EXAMPLE}"
        raise refused(parameter, message)
    return parts


def _step(text: str, names: Names, parameter: str) -> FunnelStep:
    match = STEP.fullmatch(text)
    named = list(split(match[1], "|")) if match else []
    if not match or not all(map(plain, named)) or (match[2] is not None and not match[2].strip()):
        raise refused(parameter, f"write event names by commas, such as {EXAMPLE}")
    if len(named) > MAX_NAMES or max(len(plain(name)) for name in named) > MAX_NAME:
        raise refused(
            parameter,
            f"event names have at most {MAX_NAME} characters, and a step at most {MAX_NAMES} names",
        )
    conditions = tuple(read_filters(match[2] or "", parameter, of_steps=True))
    for condition in conditions:
        _refuse_others(condition, parameter)
    alternatives = tuple(_alternative(name, conditions, names, parameter) for name in named)
    shown = "|".join(map(plain, named))
    if conditions:
        shown += f"{{{';'.join(map(_shown, conditions))}}}"
    return FunnelStep(shown, alternatives, conditions, match[3] is not None)


def _alternative(
    text: str, conditions: tuple[Condition, ...], names: Names, parameter: str
) -> Alternative:
    # As written: behind a backslash it is the name of an event.
    if not text.strip().startswith(GOAL):
        return Alternative(plain(text), conditions)
    name = plain(text).removeprefix(GOAL)
    goal = goal_named(names, name, parameter)
    return Alternative(goal.event, (*conditions, *read_filters(goal.filters)), name)


def _refuse_others(condition: Condition, parameter: str) -> None:
    """A step is an event: who did it is not a condition of one step, but of all."""
    if condition.scope == "event":
        return
    about = {"person": "people", "visit": "visits"}[condition.scope]
    values = "|".join(value or NONE for value in condition.values)
    filters = f"filters={condition.dimension}{condition.operator}{values}"
    message = f"{condition.text!r} is about {about}, not about one event; write {filters}"
    if "." not in condition.dimension:
        message += f", or {PROPERTIES}{condition.dimension} for a property of that name"
    raise refused(parameter, message)


def _shown(condition: Condition) -> str:
    name = condition.dimension
    if scope_of(bare := name.removeprefix(PROPERTIES)) is None:
        name = bare
    operator = "=" if condition.operator == "==" else condition.operator
    return f"{name}{operator}{'|'.join(value or NONE for value in condition.values)}"
