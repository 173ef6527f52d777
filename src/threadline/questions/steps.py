"""How parameters and goals write events: names, conditions in braces as of `filters`, and of steps
the mark of what is optional and commas between them. Only read here; what it means as SQL, and
which goals there are, is said by those who ask.

purchase
signup{plan=pro;value>=5}
$pageview{path=^/docs/*},signup|trial_started,goal:lead?,purchase
"""

import re
from typing import NamedTuple

from threadline.questions.dimensions import PROPERTIES
from threadline.questions.filters import NONE, Condition, plain, read_filters, refused, split

# Before a goal's name, where the name of an event may stand.
GOAL = "goal:"
MAX_EVENT_NAME = 128
MAX_NAMES = 20

# A name, and perhaps all that stands between its first brace and the last. What follows a backslash
# is meant as it is.
EVENT = r"((?:\\.|[^\\{}])+?)(?:\{(.*)\})?\s*"
ONE = re.compile(EVENT, re.DOTALL)
STEP = re.compile(rf"{EVENT}(\?)?\s*", re.DOTALL)
PIECE = re.compile(r"\\.|[{},]|[^\\{},]+", re.DOTALL)
LONG_NAME = f"event names have at most {MAX_EVENT_NAME} characters"
EXAMPLE = "$pageview,signup,purchase{plan=pro}"


class EventName(NamedTuple):
    """The name of an event; or, of a goal, its own."""

    name: str
    is_goal: bool = False

    @property
    def text(self) -> str:
        return f"{GOAL}{self.name}" if self.is_goal else self.name


class Step(NamedTuple):
    """An event of one of these names that passes all the conditions."""

    names: tuple[EventName, ...]
    conditions: tuple[Condition, ...] = ()
    optional: bool = False


def parse_steps(text: str, parameter: str) -> list[Step]:
    """The steps of a text, by commas. Raises `InvalidParams` that says what to write."""
    return [_step(part, parameter) for part in _between_commas(text, parameter)]


def parse_event(text: str, parameter: str) -> Step:
    """One event, or one goal. Without a brace behind a name, all of it is a name, to the letter.
    Raises `InvalidParams`."""
    if text.startswith(GOAL):
        return Step((EventName(text.removeprefix(GOAL).strip(), is_goal=True),))
    if text.startswith("{") or not re.search("[{}]", text):
        name: str = text.removeprefix("\\") if text.startswith(f"\\{GOAL}") else text
        conditions: str | None = None
    else:
        name, conditions = name_and_conditions(text)
    if not name or (conditions is not None and not conditions.strip()):
        write = "write a name, and conditions in braces: signup{plan=pro}"
        escape = "a brace in a name has a \\ before it"
        raise refused(parameter, f"cannot read {text!r}; {write}; {escape}")
    if len(name) > MAX_EVENT_NAME:
        raise refused(parameter, LONG_NAME)
    found = read_filters(conditions or "", parameter, of_steps=True)
    for condition in found:
        if condition.scope != "event":
            message = f"{condition.text!r} is of {condition.scope}s; write it into filters"
            raise refused(parameter, message)
    return Step((EventName(name),), tuple(found))


def name_and_conditions(text: str) -> tuple[str, str | None]:
    """The name, and what stands in braces behind it, if there are any. An empty name: it cannot be
    read."""
    match = ONE.fullmatch(text)
    return (plain(match[1]), match[2]) if match else ("", None)


def _between_commas(text: str, parameter: str) -> list[str]:
    """Commas within braces are left as they are."""
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


def _step(text: str, parameter: str) -> Step:
    match = STEP.fullmatch(text)
    named = list(split(match[1], "|")) if match else []
    if not match or not all(map(plain, named)) or (match[2] is not None and not match[2].strip()):
        raise refused(parameter, f"write event names separated by commas, such as {EXAMPLE}")
    if len(named) > MAX_NAMES or max(len(plain(name)) for name in named) > MAX_EVENT_NAME:
        raise refused(parameter, f"{LONG_NAME}, and a step at most {MAX_NAMES} names")
    names = tuple(map(_event_name, named))
    conditions = read_filters(match[2] or "", parameter, of_steps=True)
    for condition in conditions:
        _refuse_others(condition, parameter)
    return Step(names, tuple(conditions), match[3] is not None)


def _event_name(text: str) -> EventName:
    name = plain(text)
    # As written: behind a backslash it is the name of an event.
    if text.strip().startswith(GOAL):
        return EventName(name.removeprefix(GOAL).strip(), is_goal=True)
    return EventName(name)


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
