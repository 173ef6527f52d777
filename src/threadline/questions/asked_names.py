"""Names that a question mentions: of events, of their properties, and of traits.

They stand in many parameters, some as they are and some within a grammar. Whatever a question makes
of them, what never came is said with the answer. Here is no more than where names stand; what
cannot be read the question itself refuses.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from threadline.contract.errors import InvalidParams
from threadline.questions.asked_values import is_empty, unknown_values
from threadline.questions.context import Context
from threadline.questions.dimensions import DID, PROPERTIES, TRAITS
from threadline.questions.filters import Condition, key, read_filters
from threadline.questions.known_names import Name
from threadline.questions.named_values import IDENTIFY
from threadline.questions.steps import GOAL, Step, parse_event, parse_steps
from threadline.questions.warned import Warned, unknown_names

Found = TypeVar("Found")

EVENTS = ("event", "event_name")
# Of a parameter's name, its text, and the events that the question is about.
Reader = Callable[[str, str, Sequence[str]], Iterator[Name]]
# What else than a name may stand there.
WORDS: Mapping[str, frozenset[str]] = {
    "cohort": frozenset({"first_seen", "known"}),
    "currency_property": frozenset({"none"}),
}


def warn(context: Context, params: msgspec.Struct, answer: Any) -> Any:
    """The answer, with a warning for each name that never came, unless it says so itself; and, of
    an empty one, for each value."""
    if isinstance(answer, Warned):
        said = list(answer.warnings or [])
        known = {(warning.code, warning.parameter) for warning in said}
        found = unknown_names(context, asked_names(params))
        if is_empty(answer):
            # What never was has no values either.
            named = {warning.parameter for warning in found}
            asked = [each for each in asked_conditions(params) if each[0] not in named]
            found += unknown_values(context, asked)
        new = [warning for warning in found if (warning.code, warning.parameter) not in known]
        if new:
            answer.warnings = [*said, *new]
    return answer


def asked_names(params: msgspec.Struct) -> list[tuple[str, Name]]:
    """Each with the parameter it stands in."""
    of = events_asked(params)
    return [
        (parameter, name)
        for field, parameter, text in _texts(params, READERS)
        for name in _read(READERS[field], field, text, of)
    ]


def asked_conditions(params: msgspec.Struct) -> list[tuple[str, Condition]]:
    """What filters and steps hold events to, each with the parameter it stands in."""
    return [
        (parameter, condition)
        for field, parameter, text in _texts(params, CONDITIONS)
        for condition in _read(CONDITIONS[field], text, field)
    ]


def _texts(params: msgspec.Struct, readers: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """What these parameters say that was not there by itself: field, name and text."""
    for field in msgspec.structs.fields(params):
        text = getattr(params, field.name)
        if field.name in readers and isinstance(text, str) and text not in ("", field.default):
            yield field.name, field.encode_name, text


def _read(read: Callable[..., Iterable[Found]], *given: object) -> list[Found]:
    """What it reads. Nothing of another grammar than this one: what nobody can read the question
    itself refuses."""
    try:
        return list(read(*given))
    except InvalidParams:
        return []


def names_in(definition: msgspec.Struct) -> list[tuple[str, Name]]:
    """The same of what a goal or a segment says."""
    found: list[tuple[str, Name]] = []
    of: tuple[str, ...] = ()
    for field in ("event", "filters", "value_property", "currency_property"):
        if text := getattr(definition, field, ""):
            names = _read(READERS[field], field, text, of)
            of = of or tuple(each.events[0] for each in names if each.key is None)
            found += [(field, name) for name in names]
    return found


def events_asked(params: msgspec.Struct) -> tuple[str, ...]:
    """The events that a question is about, where it names any: their properties are meant."""
    for name in ("event", "conversion"):
        text = getattr(params, name, None)
        if isinstance(text, str):
            found = _read(_event, name, text, ())
            return tuple(each.events[0] for each in found if each.key is None)
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
        names = [name for name in condition.values if name and not name.startswith(GOAL)]
        yield from (Name(None, (name,)) for name in names)
    elif dimension.startswith(PROPERTIES):
        yield Name(key(condition), events)
    elif dimension.startswith(TRAITS):
        yield Name(key(condition), (IDENTIFY,))


def _steps(parameter: str, text: str, _: Sequence[str]) -> Iterator[Name]:
    for step in parse_steps(text, parameter):
        yield from _of_step(parameter, step)


def _event(parameter: str, text: str, _: Sequence[str]) -> Iterator[Name]:
    yield from _of_step(parameter, parse_event(text, parameter))


def _end(parameter: str, text: str, events: Sequence[str]) -> Iterator[Name]:
    """Of paths, which begin and end with pages, too."""
    if not text.startswith("/"):
        yield from _event(parameter, text, events)


def _of_step(parameter: str, step: Step) -> Iterator[Name]:
    words = WORDS.get(parameter, frozenset())
    named = [each.name for each in step.names if not each.is_goal]
    events = tuple(name for name in named if name not in words)
    yield from (Name(None, (event,)) for event in events)
    for condition in step.conditions:
        yield from _of_condition(condition, events)


def _groups(_: str, text: str, events: Sequence[str]) -> Iterator[Name]:
    for part in (part.strip() for part in text.split(",")):
        if part.startswith(PROPERTIES):
            yield Name(part.removeprefix(PROPERTIES), tuple(events))
        elif part.startswith(TRAITS):
            yield Name(part.removeprefix(TRAITS), (IDENTIFY,))


def _property(parameter: str, text: str, events: Sequence[str]) -> Iterator[Name]:
    if text not in WORDS.get(parameter, ()):
        yield Name(text, tuple(events))


# Where conditions stand, by parameter.
CONDITIONS: Mapping[str, Callable[[str, str], Sequence[Condition]]] = {
    "filters": read_filters,
    **dict.fromkeys(
        ("event", "conversion", "cohort", "start", "end"),
        lambda text, parameter: parse_event(text, parameter).conditions,
    ),
    **dict.fromkeys(
        ("steps", "exclude"),
        lambda text, parameter: [
            each for step in parse_steps(text, parameter) for each in step.conditions
        ],
    ),
}
# By parameter.
READERS: Mapping[str, Reader] = {
    "filters": _filters,
    "group_by": _groups,
    "columns": _groups,
    "values_of": _groups,
    "property": _property,
    "value_property": _property,
    "currency_property": _property,
    **dict.fromkeys(("event", "conversion", "cohort"), _event),
    **dict.fromkeys(("start", "end"), _end),
    **dict.fromkeys(("steps", "exclude"), _steps),
}
