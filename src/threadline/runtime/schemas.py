"""JSON Schema of our structs, as the reference and the tools of agents have it."""

from typing import Any

import msgspec

from threadline.contract.times import Timestamp

Json = dict[str, Any]
IN_OPENAPI = "#/components/schemas/{name}"
IN_DEFS = "#/$defs/{name}"


def component(kind: type, ref: str = IN_OPENAPI) -> Json:
    """The schema of one Struct, in place instead of by reference."""
    (_,), components = msgspec.json.schema_components(
        [kind], schema_hook=_schema_of_ours, ref_template=ref
    )
    return dict(components[kind.__name__])


def schema(kind: object, components: Json, ref: str = IN_OPENAPI) -> Json:
    """The schema of any type; the structs that it refers to are added to `components`."""
    (found,), more = msgspec.json.schema_components(
        [kind], schema_hook=_schema_of_ours, ref_template=ref
    )
    components |= more
    return dict(found)


def without_null(found: Json) -> Json:
    """A parameter that is not given is absent; it cannot be null."""
    if "anyOf" in found:
        kinds = [kind for kind in found["anyOf"] if kind != {"type": "null"}]
        found = {**{k: v for k, v in found.items() if k != "anyOf"}, **kinds[0]}
    if found.get("default", 0) is None:
        del found["default"]
    return found


def _schema_of_ours(kind: type) -> Json:
    if kind is Timestamp:
        return {"type": "string", "format": "date-time"}
    raise NotImplementedError(kind)
