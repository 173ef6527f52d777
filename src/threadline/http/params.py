"""Query strings into parameter Structs, naming everything that is wrong with them at once."""

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from litestar import Request

from threadline.contract.bodies import FieldErrors
from threadline.contract.errors import InvalidParams
from threadline.contract.times import Moment

Params = TypeVar("Params", bound=msgspec.Struct)


def read_params(request: Request[Any, Any, Any], struct: type[Params]) -> Params:
    """The query string as its Struct. Raises `InvalidParams`."""
    return parse_params(dict(request.query_params.items()), struct)


def parse_params(given: Mapping[str, str], struct: type[Params]) -> Params:
    """Parameters by name, as text, as their Struct.

    Raises `InvalidParams`: a parameter that does not exist is an error too, because an answer that
    silently ignored it would be to another question.
    """
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    errors: FieldErrors = {}
    values: dict[str, Any] = {}
    for name, text in given.items():
        if name not in fields:
            errors[name] = [_unknown(name, list(fields))]
            continue
        try:
            values[fields[name].name] = msgspec.convert(
                text, fields[name].type, strict=False, dec_hook=_read_moment
            )
        except msgspec.ValidationError as error:
            errors[name] = [str(error).replace("`", "")]
    errors |= {
        name: ["Required"] for name, field in fields.items() if field.required and name not in given
    }
    if errors:
        name, messages = next(iter(errors.items()))
        raise InvalidParams(f"Parameter {name}: {messages[0]}.", fieldErrors=errors)
    return struct(**values)


def _read_moment(kind: type, value: object) -> Moment:
    if kind is not Moment:
        raise NotImplementedError(kind)
    return Moment.parse(str(value))


def _unknown(name: str, known: list[str]) -> str:
    matches = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {matches[0]}?" if matches else f"known: {', '.join(known)}"
    return f"There is no such parameter; {hint}"
