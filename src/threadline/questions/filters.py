"""The grammar of `filters`: conditions joined by `;`, values by `|`, `\\` before what is meant as
it is. Read here, once, for every question, step, goal and segment.

    source==facebook|instagram;country==DE
    properties.plan==pro;path=^/docs/*
    first.medium==paid;did(30d,3)==login;did!=purchase
"""

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, NamedTuple, cast, get_args

import msgspec
import re2

from threadline.contract.errors import InvalidParams
from threadline.contract.times import parse_ms
from threadline.questions.dimensions import (
    DID,
    DIMENSIONS,
    NAMES,
    PROPERTIES,
    SEGMENT,
    TRAITS,
    Kind,
    Scope,
    key_of,
    nearest_dimension,
    scope_of,
)
from threadline.questions.near import nearest
from threadline.questions.parameters import UNITS_S, Ranged

MAX_CHARS = 4000
MAX_CONDITIONS = 30
MAX_VALUES = 200
MAX_PATTERN = 300
MOST_NAMED = 20
MAX_SHOWN = 200
NONE = "(none)"

Operator = Literal["==", "!=", "=~", "=@", "=^", ">=", "<=", ">", "<"]
OPERATORS: tuple[Operator, ...] = get_args(Operator)
COMPARISONS = (">=", "<=", ">", "<")

FiltersText = Annotated[
    str,
    msgspec.Meta(
        max_length=MAX_CHARS,
        description="Conditions by `;` (all hold), values by `|` (any does), `\\` before what is "
        "meant as it is: `source==facebook|instagram;properties.plan==pro;path=^/docs/*;"
        "did!=purchase`. Operators: == != =~ (regular expression) =@ (contains) =^ (glob) > >= < "
        "<=; `(none)`: absent.",
        examples=["source==facebook|instagram;country==DE"],
    ),
]

# What a condition may say, by kind of its dimension.
ALLOWED: dict[Kind, tuple[Operator, ...]] = {
    "text": ("==", "!=", "=~", "=@", "=^"),
    "property": OPERATORS,
    "number": ("==", "!=", ">=", "<=", ">", "<"),
    "boolean": ("==", "!="),
}
# Up to the first operator that no backslash stands before.
CONDITION = re.compile(
    r"\s*((?:\\.|[^\\=!<>(])+|did)\s*(\([^)]*\))?\s*(==|!=|=~|=@|=\^|>=|<=|>|<|=)(.*)", re.DOTALL
)
WINDOW = re.compile(r"\(\s*(?:([1-9][0-9]{0,4})([smhdw]))?\s*(?:,\s*([1-9][0-9]{0,5}))?\s*\)")
ESCAPED = re.compile(r"\\(.)", re.DOTALL)
# Spaces around, but for one behind a backslash that is none itself.
AROUND = re.compile(r"^\s+|(?<!\\)((?:\\\\)*)\s+$")


class Condition(NamedTuple):
    """`text`: as it was written. `values`: as they are meant, and empty for `(none)`; of globs and
    regular expressions as they were written. `window_ms`: how long ago, of `did`; `least`: how many
    times."""

    text: str
    dimension: str
    operator: Operator
    values: tuple[str, ...]
    window_ms: int | None = None
    least: int = 1

    @property
    def scope(self) -> Scope:
        return cast(Scope, scope_of(self.dimension))

    @property
    def kind(self) -> Kind:
        found = DIMENSIONS.get(self.dimension)
        return found.kind if found else "property"


def read_filters(text: str, parameter: str = "filters", of_steps: bool = False) -> list[Condition]:
    """The conditions of a text. `of_steps`: `=` is the same as `==`, and a name that is no
    dimension is that of a property. Raises `InvalidParams` that names what cannot be read."""
    try:
        found = [_condition(part, of_steps) for part in split(text, ";") if part.strip()]
        if text.strip() and not found:
            raise ValueError("write at least one condition, such as country==DE")
        if len(found) > MAX_CONDITIONS:
            raise ValueError(f"write at most {MAX_CONDITIONS} conditions")
        if sum(len(condition.values) for condition in found) > MAX_VALUES:
            raise ValueError(f"write at most {MAX_VALUES} values")
    except ValueError as error:
        raise refused(parameter, str(error)) from None
    return found


def refused(parameter: str, message: str) -> InvalidParams:
    stop = "" if message.endswith("?") else "."
    return InvalidParams(
        f"Parameter {parameter}: {message}{stop}", fieldErrors={parameter: [message]}
    )


def split(text: str, by: str) -> Iterator[str]:
    """Parts of the text, but not where a backslash stands before."""
    part, position = "", 0
    while position < len(text):
        if text[position] == "\\":
            part += text[position : position + 2]
            position += 2
            continue
        if text[position] == by:
            yield part
            part = ""
        else:
            part += text[position]
        position += 1
    yield part


def plain(text: str) -> str:
    """A value as it is meant: without backslashes, and without spaces around but for those behind
    one."""
    return ESCAPED.sub(r"\1", AROUND.sub(r"\1", text))


def near(name: str, names: Iterable[str], what: str) -> str:
    """What to say of a name that there is not: the nearest, or those that there are."""
    known = sorted(names)
    if not known:
        return f"the project has no {what}s yet"
    if (found := nearest(name, known)) is not None:
        return f"did you mean {found}?"
    more = ", …" if len(known) > MOST_NAMED else ""
    return f"there are {', '.join(known[:MOST_NAMED])}{more}"


def _condition(text: str, of_steps: bool) -> Condition:
    shown = text.strip()
    if len(shown) > MAX_SHOWN:
        shown = f"{shown[:MAX_SHOWN]}…"
    match = CONDITION.fullmatch(text)
    if not match:
        raise ValueError(
            f"{shown!r} is not a condition; write a name, an operator and a value, such as "
            "country==DE"
        )
    name, brackets, operator, rest = plain(match[1]), match[2], match[3], match[4]
    if operator == "=":
        if not of_steps:
            raise ValueError(f"in {shown!r} write == for equal")
        operator = "=="
    if of_steps and scope_of(name) is None:
        name = f"{PROPERTIES}{name}"
    if scope_of(name) is None:
        raise ValueError(_unknown(name))
    operator = cast(Operator, operator)
    try:
        values = _values(rest, operator)
    except ValueError as error:
        raise ValueError(f"in {shown!r} {error}") from None
    window_ms, least = _window(name, brackets, shown)
    found = Condition(shown, name, operator, values, window_ms, least)
    _check(found)
    return found


def _unknown(name: str) -> str:
    found = nearest_dimension(name, NAMES)
    hint = f"did you mean {found}?" if found else f"there are {', '.join(NAMES)}"
    return f"there is no dimension {name[:MAX_SHOWN]!r}; {hint}"


def _values(text: str, operator: Operator) -> tuple[str, ...]:
    if operator == "=~":
        # A bar is part of the expression, and so are all backslashes but one before a semicolon.
        expression = text.strip().replace("\\;", ";")
        if not expression:
            raise ValueError("the regular expression is empty")
        return (expression,)
    parts = [AROUND.sub(r"\1", part) for part in split(text, "|")]
    if not all(parts):
        raise ValueError("a value is empty; write (none) for absent")
    if operator == "=^":
        return tuple(parts)
    return tuple("" if part == NONE else plain(part) for part in parts)


def _window(name: str, brackets: str | None, shown: str) -> tuple[int | None, int]:
    if brackets is None:
        return None, 1
    match = WINDOW.fullmatch(brackets)
    if name != DID or not match:
        raise ValueError(
            f"in {shown!r}: only did takes brackets, with a time, how many times at least (from 1 "
            "on), or both: did(30d), did(,3), did(12h,3)"
        )
    many, unit, least = match.groups()
    window_ms = int(many) * UNITS_S[unit] * 1000 if many else None
    return window_ms, int(least or 1)


def _check(condition: Condition) -> None:
    text, operator = condition.text, condition.operator
    allowed: tuple[str, ...] = ("==", "!=")
    if condition.dimension not in (DID, SEGMENT):
        allowed = ALLOWED[condition.kind]
    elif "" in condition.values:
        raise ValueError(f"in {text!r} write a name, not (none)")
    if operator not in allowed:
        raise ValueError(f"{condition.dimension} takes {' '.join(allowed)}, not {operator}")
    if operator not in ("==", "!=") and not all(condition.values):
        raise ValueError(f"in {text!r}: (none) goes with == or !=")
    if operator == "=~":
        _check_expression(condition)
    if operator in COMPARISONS:
        if len(condition.values) > 1:
            raise ValueError(f"in {text!r}: {operator} takes one value")
        if number(condition.values[0]) is None and (
            condition.kind == "number" or time_ms(condition.values[0]) is None
        ):
            raise ValueError(f"in {text!r}: {operator} takes a number or a time such as 2026-05-01")
    elif condition.kind == "number" and any(number(value) is None for value in condition.values):
        raise ValueError(f"in {text!r}: {condition.dimension} is a number")
    if condition.kind == "boolean" and not set(condition.values) <= {"true", "false"}:
        raise ValueError(f"in {text!r}: write true or false")


def _check_expression(condition: Condition) -> None:
    """With the engine's own library."""
    if len(condition.values[0]) > MAX_PATTERN:
        raise ValueError(f"a regular expression has at most {MAX_PATTERN} characters")
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(condition.values[0], options)
    except re2.error:
        raise ValueError(
            f"in {condition.text!r} the regular expression cannot be read; write one as RE2 takes "
            "it, without look-around and back references, and not as large"
        ) from None


def number(text: str) -> float | None:
    """The number that a text is; None for any other, and for what is not finite."""
    return (
        float(text)
        if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,2})?", text, re.ASCII | re.IGNORECASE)
        else None
    )


def time_ms(text: str) -> int | None:
    """The time that a text is, in milliseconds since 1970."""
    try:
        return parse_ms(text) if "-" in text[1:] else None
    except (ValueError, OverflowError):
        return None


def key(condition: Condition) -> str:
    """`plan` of a condition on `properties.plan`."""
    return cast(str, key_of(condition.dimension))


def is_trait(condition: Condition) -> bool:
    return condition.dimension.startswith(TRAITS)


class Filtered(Ranged, kw_only=True):
    """What every question takes that can be narrowed; what its filters speak of, the question
    says."""

    filters: FiltersText = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        read_filters(self.filters)
