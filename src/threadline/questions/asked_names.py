"""Names that a question mentions: of events, of their properties, and of traits.

They stand in many parameters, some as they are and some within a grammar. Whatever a question makes
of them, what never came is said with the answer. Here is no more than where names stand; what
cannot be read the question itself refuses.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from threadline.contract.errors import InvalidParams
from threadline.questions.context import Context
from threadline.questions.dimensions import DID, PROPERTIES, TRAITS
from threadline.questions.filters import Condition, key, plain, read_filters, split
from threadline.questions.known_names import Name
from threadline.questions.named_values import IDENTIFY
from threadline.questions.warned import Warned, unknown_names

EVENTS = ("event", "event_name")
GOAL = "goal:"
# Of events, as steps are written: names by bars, conditions in braces, a mark of what is optional.
STEP = re.compile(r"((?:\\.|[^\\{}])+?)(?:\{(.*)\})?\s*(\?)?\s*", re.DOTALL)
# The same of one event.
EVENT = re.compile(r"((?:\\.|[^\\{}])+)(?:\{(.*)\}\s*)?", re.DOTALL)
PIECE = re.compile(r"\\.|[{},]|[^\\{},]+", re.DOTALL)
# What else than an event may stand there.
WORDS: Mapping[str, frozenset[str]] = {"cohort": frozenset({"first_seen", "known"})}


def warn(context: Context, params: msgspec.Struct, answer: Any) -> Any:
    """The answer, with a warning for each name that never came, unless it says so itself."""
    if isinstance(answer, Warned):
        said = list(answer.warnings or [])
        known = {(warning.code, warning.parameter) for warning in said}
        new = [
            warning
            for warning in unknown_names(context, asked_names(params))
            if (warning.code, warning.parameter) not in known
        ]
        if new:
            answer.warnings = [*said, *new]
    return answer


def asked_names(params: msgspec.Struct) -> list[tuple[str, Name]]:
    """Each with the parameter it stands in."""
    found: list[tuple[str, Name]] = []
    of = _events_asked(params)
    for field in msgspec.structs.fields(params):
        read, text = READERS.get(field.name), getattr(params, field.name)
        if read is None or not isinstance(text, str) or text in ("", field.default):
            continue
        try:
            found += [(field.encode_name, name) for name in read(field.name, text, of)]
        except (InvalidParams, ValueError):
            continue  # another grammar than this one
    return found


def _events_asked(params: msgspec.Struct) -> tuple[str, ...]:
    """The events that a question is about, where it names any: their properties are meant."""
    for name in ("event", "conversion"):
        text = getattr(params, name, None)
        if isinstance(text, str):
            return tuple(each.events[0] for each in _event(name, text, ()) if each.key is None)
    return ()


def _filters(_: str, text: str, events: Sequence[str]) -> Iterator[Name]:
    conditions = read_filters(text)
    named = [c for c in conditions if c.dimension in EVENTS and c.operator == "=="]
    of = tuple(named[0].values) if len(named) == 1 and not events else tuple(events)
    for condition in conditions:
        yield from _of_condition(condition, of)


def _of_condition(condition: Condition, events: tuple[str, ...]) -> Iterator[Name]:
    dimension = condition.dimension
    if dimension in (*EVENTS, DID) and condition.operator in ("==", "!="):
        yield from (Name(None, (value,)) for value in condition.values if value)
    elif dimension.startswith(PROPERTIES):
        yield Name(key(condition), events)
    elif dimension.startswith(TRAITS):
        yield Name(key(condition), (IDENTIFY,))


def _steps(parameter: str, text: str, _: Sequence[str]) -> Iterator[Name]:
    for part in _parts(text):
        if match := STEP.fullmatch(part):
            events = tuple(plain(each) for each in split(match[1], "|"))
            yield from _of_events(parameter, events, match[2])


def _event(parameter: str, text: str, _: Sequence[str]) -> Iterator[Name]:
    # A name alone is what it is, spaces included.
    if not re.search(r"[\\{}]", text):
        yield from _of_events(parameter, (text,), None)
    elif match := EVENT.fullmatch(text):
        yield from _of_events(parameter, (plain(match[1]),), match[2])


def _of_events(parameter: str, named: Sequence[str], conditions: str | None) -> Iterator[Name]:
    words = WORDS.get(parameter, frozenset())
    events = tuple(name for name in named if not name.startswith(GOAL) and name not in words)
    yield from (Name(None, (event,)) for event in events)
    for condition in read_filters(conditions or "", parameter, of_steps=True):
        yield from _of_condition(condition, events)


def _parts(text: str) -> list[str]:
    """What stands between commas, but for those within braces."""
    parts, depth = [""], 0
    for piece in PIECE.findall(text):
        depth += {"{": 1, "}": -1}.get(piece, 0)
        if piece == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += piece
    return [part for part in parts if part.strip()]


def _groups(_: str, text: str, events: Sequence[str]) -> Iterator[Name]:
    for part in (part.strip() for part in text.split(",")):
        if part.startswith(PROPERTIES):
            yield Name(part.removeprefix(PROPERTIES), tuple(events))
        elif part.startswith(TRAITS):
            yield Name(part.removeprefix(TRAITS), (IDENTIFY,))


def _property(_: str, text: str, events: Sequence[str]) -> Iterator[Name]:
    yield Name(text, tuple(events))


# By parameter.
READERS: Mapping[str, Callable[[str, str, Sequence[str]], Iterator[Name]]] = {
    "filters": _filters,
    "group_by": _groups,
    "columns": _groups,
    "values_of": _groups,
    "property": _property,
    "value_property": _property,
    "currency_property": _property,
    **dict.fromkeys(("event", "conversion", "cohort", "start", "end"), _event),
    **dict.fromkeys(("steps", "exclude"), _steps),
}
