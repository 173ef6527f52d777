"""`group_by` with dimensions of people, beside what a question groups by of its own."""

import difflib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import msgspec

from threadline.contract.errors import InvalidGroupBy
from threadline.questions.answers import MAY_BE_ABSENT
from threadline.questions.context import Context
from threadline.questions.dimensions import DID, DIMENSIONS, SEGMENT, Scope, scope_of
from threadline.questions.filters import plain, split
from threadline.store import Row

AnyRow = TypeVar("AnyRow", bound=msgspec.Struct)
KEYED = {"person": "traits.KEY", "event": "properties.KEY"}
MAX_GROUPS = 10


def breakdown(own: Sequence[str], of: str, scopes: Sequence[Scope] = ("person",)) -> msgspec.Meta:
    """What a parameter `group_by` says of itself. `own`: what the question has besides."""
    names = ", ".join([*own, *(KEYED[scope] for scope in scopes)])
    return msgspec.Meta(
        description=f"{of}{names}; and of the person first.source, last.medium, known, devices and "
        "whatever else filters know of people. Several by commas.",
        extra_json_schema={"type": "array", "items": {"type": "string"}},
    )


def read_breakdown(text: str, own: Iterable[str], scopes: Sequence[Scope]) -> list[str]:
    """Names by commas, each one of the question's own or a dimension of these scopes. Raises
    `InvalidGroupBy`."""
    groups = [plain(part) for part in split(text, ",") if part.strip()]
    dimensions = [name for name, found in DIMENSIONS.items() if found.scope in scopes]
    allowed = [*own, *(name for name in dimensions if name not in own)]
    for group in groups:
        is_keyed = group not in DIMENSIONS and group not in (DID, SEGMENT)
        if group in allowed or (is_keyed and scope_of(group) in scopes):
            continue
        allowed += [KEYED[scope] for scope in scopes]
        near = difflib.get_close_matches(group, allowed, n=1)
        hint = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(allowed)}."
        raise InvalidGroupBy(f"Cannot group by {group!r}; {hint}", allowed=allowed)
    found = list(dict.fromkeys(groups))
    if len(found) > MAX_GROUPS:
        raise InvalidGroupBy(f"Group by at most {MAX_GROUPS}.", allowed=allowed)
    return found


class Breakdown(NamedTuple):
    """Dimensions of people, beside a relation that has a `person`. `columns`: of each name the SQL,
    a text that is empty for what is absent. `joins`: what stands behind that relation."""

    columns: dict[str, str]
    joins: str


def of_people(
    context: Context, names: Iterable[str], person: str, parameter: str = "group_by"
) -> Breakdown:
    """These dimensions of people. `person`: SQL for who, over what they are joined to. Raises
    `InvalidParams`."""
    columns, joins = {}, {}
    for name in names:
        relation, column = context.facts.of(name, parameter)
        value = f"{relation}.{column}"
        is_true = name in DIMENSIONS and DIMENSIONS[name].kind == "boolean"
        columns[name] = f"if({value}, 'true', 'false')" if is_true else f"toString({value})"
        joins[relation] = f"LEFT ANY JOIN {relation} AS {relation} ON {relation}.person = {person}"
    return Breakdown(columns, "\n".join(joins.values()))


def rows_by(kind: type[AnyRow], names: Sequence[str], rows: Iterable[Row]) -> list[AnyRow]:
    """Rows as they go out: the columns by which they are grouped first, under their names, such as
    `traits.plan`; null where there is none."""
    made, fields = _with_columns(kind, tuple(names))
    found = []
    for row in rows:
        given = {fields.get(name, name): _shown(name, value, names) for name, value in row.items()}
        found.append(made(**given))
    return found


def _shown(name: str, value: Any, names: Sequence[str]) -> object:
    if name not in names:
        return value
    kind = DIMENSIONS[name].kind if name in DIMENSIONS else "text"
    if kind == "boolean":
        return value == "true"
    if kind == "number":
        return int(value or 0)
    may_be_absent = name in MAY_BE_ABSENT or "." in name or name == "user_id"
    return None if value == "" and may_be_absent else value


@lru_cache(1000)
def _with_columns(kind: type[Any], names: tuple[str, ...]) -> tuple[type[Any], dict[str, str]]:
    """The struct with these columns in front, and what each is called in Python."""
    fields = {name: f"group_{nth}" for nth, name in enumerate(names, start=1)}
    own = [each for each in msgspec.structs.fields(kind) if each.encode_name not in names]
    columns: list[tuple[str, Any, Any]] = [
        (field, Any, msgspec.field(name=name)) for name, field in fields.items()
    ]
    columns += [(each.name, each.type, _again(each)) for each in own]
    return msgspec.defstruct(kind.__name__, columns, kw_only=True), fields


def _again(field: msgspec.structs.FieldInfo) -> Any:
    if field.default is msgspec.NODEFAULT:
        return msgspec.field(name=field.encode_name)
    return msgspec.field(name=field.encode_name, default=field.default)
