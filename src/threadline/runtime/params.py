"""Query strings into parameter Structs, naming everything that is wrong with them at once."""

import difflib
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

import msgspec
from msgspec import inspect

from threadline.contract.decoding import FieldErrors
from threadline.contract.errors import InvalidParams
from threadline.contract.times import Timestamp
from threadline.questions.near import one_of
from threadline.questions.registry import QUESTIONS

Params = TypeVar("Params", bound=msgspec.Struct)

MAX_PARAMS = 100
# Cache busters and the like are no business of ours.
IGNORED = "_"

NOTHING: Mapping[str, str] = {}
WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")
# What most questions take, to say of which.
OF_THE_GRAMMAR = (
    *("from", "to", "tz", "compare", "filters", "stitch", "as_of", "include_bots"),
    *("group_by", "limit", "cursor", "order"),
)
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def read_params(
    query: str,
    struct: type[Params],
    in_path: Mapping[str, str] = NOTHING,
    zone: str | None = None,
) -> Params:
    """A query string, and what the path says, as their Struct; `zone`: as of `parse_params`. Raises
    `InvalidParams`."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_PARAMS)
    except ValueError:
        raise InvalidParams(f"There are more than {MAX_PARAMS} parameters.") from None
    times = Counter(name for name, _ in pairs)
    repeated = [name for name, many in times.items() if many > 1]
    return parse_params(dict(pairs), struct, repeated, in_path, zone)


def parse_params(
    given: Mapping[str, str],
    struct: type[Params],
    repeated: Collection[str] = (),
    in_path: Mapping[str, str] = NOTHING,
    zone: str | None = None,
) -> Params:
    """Parameters by name, as text, as their Struct. `repeated`: names that were given twice.
    `in_path`: what stands for itself, as parts of a path do. `zone`: the project's time zone, for
    structs that have a `tz` where none is given.

    Raises `InvalidParams`: a parameter that does not exist, or of which only one value would
    count, is an error too, because an answer that silently ignored it would be to another question.
    """
    fields = {name: field for name, field in _fields(struct).items() if name not in in_path}
    choices = _choices(struct)
    errors: FieldErrors = {}
    values: dict[str, Any] = {**in_path}
    for name, text in given.items():
        if name.startswith(IGNORED):
            continue
        try:
            if name not in fields:
                raise ValueError(_unknown(name, list(fields)))
            if name in repeated:
                raise ValueError("given more than once; give it once")
            field = fields[name]
            values[field.name] = _value(field, text, choices[field.name])
        except ValueError as error:
            errors[name] = [str(error)]
    errors |= {
        name: ["required"] for name, field in fields.items() if field.required and name not in given
    }
    if errors:
        name, messages = next(iter(errors.items()))
        stop = "" if messages[0].endswith("?") else "."
        raise InvalidParams(f"Parameter {name}: {messages[0]}{stop}", fieldErrors=errors)
    if zone and "tz" in fields:
        values.setdefault("tz", zone)
    return struct(**values)


@cache
def _fields(struct: type[msgspec.Struct]) -> dict[str, inspect.Field]:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return {field.encode_name: field for field in info.fields}


@cache
def _choices(struct: type[msgspec.Struct]) -> dict[str, tuple[str, ...]]:
    """Of each field the words it takes, in the order in which they are written down."""
    return {
        name: _words(kind) for name, kind in get_type_hints(struct, include_extras=True).items()
    }


def _words(kind: Any) -> tuple[str, ...]:
    if get_origin(kind) is Literal:
        return get_args(kind)
    return next((words for part in get_args(kind) if (words := _words(part))), ())


def _value(field: inspect.Field, text: str, words: tuple[str, ...]) -> Any:
    if words:
        if text not in words:
            raise ValueError(one_of(text, words))
        return text
    if text == "":
        if field.default == "":
            return text
        raise ValueError("give it a value, or leave it out")
    kind, hints = _kind(field.type)
    return READERS[type(kind)](kind, text, hints)


def _kind(kind: inspect.Type) -> tuple[Any, dict[str, str]]:
    """What it is if it is given, and what to say of it if it is not that."""
    hints: dict[str, str] = {}
    while isinstance(kind, inspect.Metadata | inspect.UnionType):
        if isinstance(kind, inspect.Metadata):
            hints |= kind.extra or {}
            kind = kind.type
        else:
            (kind,) = (part for part in kind.types if not isinstance(part, inspect.NoneType))
    return kind, hints


def _number(kind: inspect.IntType, text: str, hints: dict[str, str]) -> int:
    low, high = kind.ge, kind.le
    bounds = "" if low is None or high is None else f" from {low} to {high}"
    if WHOLE_NUMBER.fullmatch(text):
        number = int(text)
        if (low is None or number >= low) and (high is None or number <= high):
            return number
    raise ValueError(f"write a whole number{bounds}")


def _boolean(kind: inspect.BoolType, text: str, hints: dict[str, str]) -> bool:
    if text.lower() not in BOOLEANS:
        raise ValueError("write true or false")
    return BOOLEANS[text.lower()]


def _text(kind: inspect.StrType, text: str, hints: dict[str, str]) -> str:
    if kind.max_length is not None and len(text) > kind.max_length:
        raise ValueError(f"write at most {kind.max_length} characters")
    if kind.pattern is not None and not re.fullmatch(kind.pattern, text):
        raise ValueError(hints["write"])
    return text


def _moment(kind: inspect.CustomType, text: str, hints: dict[str, str]) -> Timestamp:
    assert kind.cls is Timestamp
    return Timestamp.parse_any(text) if "relative" in hints else Timestamp.parse(text)


READERS: dict[type, Callable[[Any, str, dict[str, str]], Any]] = {
    inspect.IntType: _number,
    inspect.BoolType: _boolean,
    inspect.StrType: _text,
    inspect.CustomType: _moment,
}


def _unknown(name: str, known: list[str]) -> str:
    if name in OF_THE_GRAMMAR and known:
        return f"this question takes no {name}; those that do are {', '.join(_taking(name))}"
    if not known:
        return "there is no such parameter; this takes none"
    matches = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {matches[0]}?" if matches else f"known: {', '.join(known)}"
    return f"there is no such parameter; {hint}"


@cache
def _taking(name: str) -> list[str]:
    """The questions with a parameter of that name."""
    return [each.path for each in QUESTIONS.values() if name in _fields(each.params)]
