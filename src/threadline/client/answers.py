"""What answers are made of, as typed objects."""

import json
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

from threadline.client.wire import Json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")


@dataclass(frozen=True, slots=True)
class EventRow:
    """A stored event, with what the server added to it. None: it came without that."""

    timestamp: datetime
    event_id: str
    event_name: str
    anonymous_id: str
    user_id: str | None = None
    session_id: str = ""
    source: str = ""
    medium: str = ""
    campaign: str | None = None
    source_confidence: str = ""
    source_rule_id: str = ""
    url: str | None = None
    path: str | None = None
    referrer: str | None = None
    country: str | None = None
    device_type: str | None = None
    browser: str | None = None
    os: str | None = None
    properties: dict[str, Any] = field(default_factory=dict)
    channel: str = ""
    is_bot: bool = False


@dataclass(frozen=True, slots=True)
class Touch:
    """An event that somebody came by. None: it came without that."""

    timestamp: datetime
    event_id: str
    anonymous_id: str | None
    source: str
    medium: str
    campaign: str | None = None
    url: str | None = None
    referrer: str | None = None
    channel: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """A visitor id of a user. `shared`: others were seen on it, too."""

    anonymous_id: str
    first_seen: datetime
    last_seen: datetime
    shared: bool


@dataclass(frozen=True, slots=True)
class User:
    """One user, before and after they were known."""

    user_id: str
    known_since: datetime
    first_touch: Touch
    last_touch: Touch
    traits: dict[str, Any]
    devices: list[Device]
    shared_devices: list[str]
    stitch: str = ""


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user in a list. `converted_at` and `seconds_to_conversion` are there if a conversion was
    asked for and happened, `value`, a number or one by currency, with `value_property`, and
    `last_seen` in the order of that name."""

    user_id: str
    known_since: datetime
    first_touch: Touch
    devices: int
    converted_at: datetime | None = None
    seconds_to_conversion: float | None = None
    value: Any = None
    last_seen: datetime | None = None


def read(kind: type[Row], value: Json) -> Row:
    """JSON as the dataclass. What it does not know is left out: servers may be newer."""
    given = {
        name: _convert(wanted, value[name])
        for name, wanted in _types(kind).items()
        if name in value
    }
    return kind(**given)


@cache
def _types(kind: "type[DataclassInstance]") -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {part.name: hints[part.name] for part in fields(kind)}


def _convert(wanted: Any, value: Any) -> Any:
    if isinstance(wanted, UnionType):
        if value is None:
            return None
        wanted = next(part for part in get_args(wanted) if part is not type(None))
    if wanted is datetime:
        return datetime.fromisoformat(value)
    if isinstance(wanted, type) and is_dataclass(wanted):
        return read(wanted, value)
    if get_origin(wanted) is list:
        return [_convert(get_args(wanted)[0], part) for part in value]
    if get_origin(wanted) is dict and isinstance(value, str):
        return json.loads(value)  # properties come as the JSON they were sent as
    return value
