"""Arguments of tools, as agents give them, as they are in an address."""

from threadline.mcp.api import Json, invalid

# How several are written, where not by commas; and what there is one of.
APART = {"filters": ";"}
ALONE = frozenset({"event", "conversion", "start", "end", "user_id", "anonymous_id", "property"})


def as_texts(arguments: Json) -> dict[str, str]:
    """Arguments as they are in an address; those that are null count as not given. Raises
    `RouteRefused` for what no address can hold."""
    return {name: _text(name, value) for name, value in arguments.items() if value is not None}


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(part, str | int | float) for part in value):
        if name in ALONE and len(value) > 1:
            raise invalid(name, "takes one value; call once for each")
        return APART.get(name, ",").join(_text(name, part) for part in value)
    raise invalid(name, "write text, a number, true or false, or a list of texts")
