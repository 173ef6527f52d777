"""One condition as SQL, on a value of whatever kind. Values are bound, never text."""

import re
from collections.abc import Iterable
from typing import cast

from threadline.contract.times import within
from threadline.questions.dimensions import DIMENSIONS, json_text
from threadline.questions.filters import COMPARISONS, Condition, key, number, time_ms
from threadline.store import bound_ms


def is_exact(text: str) -> bool:
    """Whether a value is a number that is compared as one."""
    return bool(re.fullmatch(NUMBER, text)) and abs(float(text)) < MOST_EXACT


def takes_absent(condition: Condition) -> bool:
    """Whether it holds for what is absent."""
    if condition.operator not in ("==", "!="):
        return False
    return ("" in condition.values) == (condition.operator == "==")


def compare(sql: str, condition: Condition, name: str, values: dict[str, object]) -> str:
    """The condition on a value; what it binds, under names that begin with `name`, goes into
    `values`."""
    operator, given, kind = condition.operator, condition.values, condition.kind
    if kind == "boolean":
        wanted = {value == "true" for value in given}
        if len(wanted) == 2:
            return "TRUE" if operator == "==" else "FALSE"
        return sql if wanted == {operator == "=="} else f"NOT {sql}"
    if operator in COMPARISONS:
        return _compare_size(sql, condition, name, values)
    if operator in ("==", "!="):
        numbers = kind == "number"
        values[name] = [number(value) for value in given] if numbers else list(given)
        kind_of = "Float64" if numbers else "String"
        found = f"{sql} {'IN' if operator == '==' else 'NOT IN'} {{{name}:Array({kind_of})}}"
        if kind == "property" and (equal := [float(v) for v in given if is_exact(v)]):
            values |= {f"{name}_number": equal, f"{name}_written": f"^({NUMBER})$"}
            same = (
                f"(ifNull({_finite(sql)}, nan) IN {{{name}_number:Array(Float64)}}"
                f" AND match({sql}, {{{name}_written:String}}))"
            )
            return f"({found} OR {same})" if operator == "==" else f"({found} AND NOT {same})"
        return found
    if operator == "=~":
        values[name] = given[0]
        return f"match({sql}, {{{name}:String}})"
    parts = []
    for nth, value in enumerate(given, start=1):
        values[f"{name}_{nth}"] = like(value) if operator == "=^" else value
        bound = f"{{{name}_{nth}:String}}"
        parts.append(f"{sql} LIKE {bound}" if operator == "=^" else f"position({sql}, {bound}) > 0")
    return parts[0] if len(parts) == 1 else f"({' OR '.join(parts)})"


def _compare_size(sql: str, condition: Condition, name: str, values: dict[str, object]) -> str:
    operator, value = condition.operator, condition.values[0]
    found = number(value)
    if found is not None:
        values[name] = found
        read = sql if condition.kind == "number" else _finite(sql)
        about = f"ifNull({read} {operator} {{{name}:Float64}}, FALSE)"
        if condition.kind == "number" or abs(found) < MOST_EXACT or not LONG.fullmatch(value):
            return about
        values[f"{name}_exact"] = value
        exact = f"toDecimal256OrNull({sql}, 6) {operator} toDecimal256({{{name}_exact:String}}, 6)"
        return f"ifNull({exact}, {about})"
    values[name] = bound_ms(within(cast(int, time_ms(value))))
    # A number alone would be read as a time, too.
    read = f"parseDateTime64BestEffortOrNull(if(position({sql}, '-') > 1, {sql}, ''), 3, 'UTC')"
    return f"ifNull({read} {operator} {{{name}:DateTime64(3, 'UTC')}}, FALSE)"


# Texts such as `inf` can be read, but are no numbers.
# A number as JSON writes it: 5, 5.0 and 5e0 are the same, 007 and +5 are texts.
NUMBER = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?"
# Beyond, neighbours are the same number, which ids must not be.
MOST_EXACT = 2.0**53
LONG = re.compile(r"-?[0-9]{1,60}")
GLOB = re.compile(r"\\(.)|([*?])|([%_\\])", re.DOTALL)


def like(glob: str) -> str:
    """A glob, where `*` is anything and `?` one character, as what LIKE takes."""

    def part(found: re.Match[str]) -> str:
        if found[2]:
            return "%" if found[2] == "*" else "_"
        meant = found[1] or found[3]
        return f"\\{meant}" if meant in "%_\\" else meant

    return GLOB.sub(part, glob)


def event_condition(condition: Condition, name: str, values: dict[str, object]) -> str:
    """One of the event's scope, on `e`; what it binds, under names that begin with `name`, goes
    into `values`."""
    found = DIMENSIONS.get(condition.dimension)
    if found:
        return compare(found.sql, condition, name, values)
    values[f"{name}_key"] = key(condition)
    return compare(json_text("e.properties", f"{{{name}_key:String}}"), condition, name, values)


def event_conditions(
    conditions: Iterable[Condition], name: str, values: dict[str, object]
) -> list[str]:
    """Each of several."""
    return [
        event_condition(condition, f"{name}_{nth}", values)
        for nth, condition in enumerate(conditions, start=1)
    ]


def _finite(text: str) -> str:
    return f"if(isFinite(toFloat64OrZero({text})), toFloat64OrNull({text}), NULL)"
