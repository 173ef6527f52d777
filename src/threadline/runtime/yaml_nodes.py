"""What a node of a YAML file says, or the line of what is wrong there."""

import difflib
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

import msgspec
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from threadline.contract.errors import ApiError
from threadline.control import ControlError
from threadline.lined_yaml import at_line

NULL = "tag:yaml.org,2002:null"
Value = TypeVar("Value")
Struct = TypeVar("Struct", bound=msgspec.Struct)
NOTHING: Mapping[str, Callable[[Node], Any]] = {}


def struct(
    node: Node,
    kind: type[Struct],
    known: dict[str, str],
    readers: Mapping[str, Callable[[Node], Any]] = NOTHING,
) -> Struct:
    """With what is `known` of it beside the node. `readers`: of fields that are no texts."""
    fields = [field for field in msgspec.structs.fields(kind) if field.name not in known]
    given = {
        name: readers.get(name, scalar)(value)
        for name, value in entries(node, tuple(f.name for f in fields))
    }
    for field in fields:
        if field.required and field.name not in given:
            fail(node, f"{field.name} is missing")
    try:
        return msgspec.convert({**known, **given}, kind, strict=False)
    except msgspec.ValidationError as error:
        fail(node, str(error).replace("`", "").replace("$.", ""))


def entries(node: Node, allowed: tuple[str, ...] = ()) -> list[tuple[str, Node]]:
    """The names and values of a mapping; `allowed`: names there may be, if not any."""
    if node.tag == NULL:
        return []
    if not isinstance(node, MappingNode):
        fail(node, "expected entries `name: value`")
    found: dict[str, Node] = {}
    for key, value in node.value:
        name = scalar(key)
        if allowed and name not in allowed:
            near = difflib.get_close_matches(name, allowed, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(allowed)}"
            fail(key, f"there is no {name!r}; {hint}")
        if name in found:
            fail(key, f"{name} comes twice")
        found[name] = value
    return list(found.items())


def items(node: Node, of: str) -> list[Node]:
    """Of a list; `of`: of what, for who wrote something else."""
    if node.tag == NULL:
        return []
    if not isinstance(node, SequenceNode):
        fail(node, f"expected a list of {of}")
    return list(node.value)


def scalar(node: Node) -> str:
    """A text, number or such, as it is written."""
    if not isinstance(node, ScalarNode) or node.tag == NULL:
        fail(node, "expected a text")
    return str(node.value)


def choice(node: Node, words: tuple[str, ...], more: str = "") -> str:
    """One of these words; `more`: what else is said of them."""
    text = scalar(node)
    if text not in words:
        fail(node, f"{text!r}: choose one of {', '.join(words)}{more}")
    return text


def checked(node: Node, check: Callable[..., Value], *given: object) -> Value:
    """What comes of it; what it refuses, with the line."""
    try:
        return check(*given)
    except (ControlError, ApiError, ValueError) as error:
        fail(node, str(error).rstrip("."))


def fail(node: Node, problem: str) -> NoReturn:
    """Raises `ControlError` that names the node's line."""
    raise ControlError(at_line(node, problem))
