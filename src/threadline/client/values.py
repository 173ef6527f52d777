"""What a program's values mean as JSON, taken at once: the program may change them afterwards."""

import base64
import dataclasses
import json
from collections import UserString
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Set
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from time import time
from typing import Any

# JSON has them, and nobody can change them.
FLAT = frozenset((str, int, float, bool, type(None)))
is_flat = FLAT.issuperset  # of the types of some values; asked for every event
# The server takes 8 KiB of properties; these end a walk through what is far larger, or endless.
MAX_SIZE = 64 * 1024
MAX_DEPTH = 64
# What libraries have for a value that is not there.
MISSING = ("NaTType", "NAType", "MaskedConstant")
MILLISECONDS_FROM = 1e11  # as seconds, that were the year 5138

Timestamp = datetime | date | str | float | None
# Logs a sentence, once.
Note = Callable[..., None]


class Unfit(ValueError):
    """What cannot be sent, and why."""


def snapshot(properties: Any, note: Note) -> dict[str, Any]:
    """Properties as they are now. Raises `Unfit` for what is too large or holds itself, and what
    the text form of a value raises."""
    found = plain(properties, note)
    if isinstance(found, list):  # of pairs, as `dict` takes them
        try:
            found = dict(found)
        except (TypeError, ValueError):
            found = None
    if isinstance(found, dict):
        return found
    kind = type(properties).__name__
    note(f"properties have to be a dictionary; those of the type {kind} were left out")
    return {}


def text(value: Any, note: Note) -> str | None:
    """An id, a name or an address as text; None for what is empty."""
    found = plain(value, note)
    if isinstance(found, float) and found.is_integer():
        found = int(found)  # pandas makes such numbers of whole ones
    return found or None if isinstance(found, str | None) else json.dumps(found)


def id_text(value: Any) -> str:
    """The same, to ask with; "" for what is empty."""
    return text(value, lambda *_: None) or ""


def read_timestamp(value: Any, note: Note) -> str | float:
    """A time, as ISO 8601 or in seconds since 1970.

    Objects without a zone are in the machine's, as everywhere in Python; text without an offset is
    UTC, as everywhere in the API. Raises `Unfit` for what is no time.
    """
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value.strip())
        except ValueError:
            return str(value)  # the server knows more forms, and says what is wrong with it
        if found.tzinfo is None:
            note("timestamp %r has no offset and was taken as UTC; write one, like +00:00", value)
            found = found.replace(tzinfo=UTC)
        return found.astimezone(UTC).isoformat()
    if isinstance(value, date) and type(value).__name__ not in MISSING:
        if not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)
        if value.utcoffset() is None:
            value = value.replace(tzinfo=None).astimezone()
            note(
                "timestamp %s has no zone and was taken as the machine's time (%s); give it one,"
                " as datetime.now(UTC) has",
                value.replace(tzinfo=None),
                value.tzname(),
            )
        return str(value.astimezone(UTC).isoformat())
    number = plain(float(value) if isinstance(value, Decimal) else value, note)
    if isinstance(number, str):  # numpy's times, which are UTC
        return read_timestamp(f"{number}+00:00" if "T" in number else number, note)
    if isinstance(number, int | float) and not isinstance(number, bool):
        return float(number) / (1000 if abs(number) > MILLISECONDS_FROM else 1)
    if number is None:
        note(
            f"a timestamp cannot be of the type {type(value).__name__}; the event gets the time now"
        )
        return time()
    raise Unfit(f"its timestamp cannot be read; it is of the type {type(value).__name__}")


def mended(value: str) -> str:
    """Half of a surrogate pair is no character: it becomes U+FFFD."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return value


def plain(value: Any, note: Note) -> Any:
    """What JSON can say of it. Raises `Unfit`, and what the text form of a value raises."""
    return _Walk(note).plain(value, 0)


class _Walk:
    """Through one value and all that it holds. `left`: about as many characters of JSON."""

    def __init__(self, note: Note) -> None:
        self.note = note
        self.left = MAX_SIZE

    def plain(self, value: Any, depth: int) -> Any:
        kind = type(value)
        self.spend(2)
        if kind is str:
            return self.text(value)
        if kind is float:
            return value if value - value == 0 else None  # NaN and the infinite are no numbers
        if kind in FLAT:
            return value
        if depth > MAX_DEPTH:
            raise Unfit("its properties contain themselves, or are nested too deeply")
        if kind is dict:
            return self.mapping(value, depth)
        if kind is list or kind is tuple:
            return self.items(value, depth)
        if kind.__name__ in MISSING:
            return None
        for kinds, convert in KINDS:
            if isinstance(value, kinds):
                return convert(self, value, depth)
        return self.instance(value, depth)

    def instance(self, value: Any, depth: int) -> Any:
        """One of a library's, or of the program's own."""
        kind = type(value)
        for method, convert in SHAPES:
            if callable(getattr(kind, method, None)):
                try:
                    return convert(self, value, depth)
                except Unfit:
                    raise
                except Exception:  # noqa: BLE001 - a method of the program's own, that does more
                    continue
        if (names := _fields(value)) is not None:
            return self.mapping({name: getattr(value, name) for name in names}, depth)
        for kinds, convert in CONTAINERS:
            if isinstance(value, kinds):
                return convert(self, value, depth)
        if "__str__" not in (own := _defined(kind)) and "__repr__" not in own:
            self.note(f"a property of the type {kind.__name__} has no text form of its own")
        return self.text(str(value))

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise Unfit(f"its properties are larger than {MAX_SIZE:,} characters")

    def text(self, value: str) -> str:
        self.spend(len(value))
        return value if value.isascii() else mended(value)

    def mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        # At once: another thread may be changing it.
        pairs = tuple(value.items())
        return {self.name(name): self.plain(part, depth + 1) for name, part in pairs}

    def name(self, name: Any) -> str:
        found = self.plain(name, MAX_DEPTH - 1)
        return found if isinstance(found, str) else json.dumps(found)

    def items(self, value: Collection[Any], depth: int) -> list[Any]:
        if len(value) > self.left:
            self.spend(len(value))
        return [self.plain(part, depth + 1) for part in list(value)]

    def members(self, value: Set[Any], depth: int) -> list[Any]:
        """In an order that is always the same."""
        found = self.items(value, depth)
        try:
            return sorted(found)
        except TypeError:
            return sorted(found, key=lambda part: json.dumps(part, sort_keys=True))

    def array(self, value: Any, depth: int) -> Any:
        """Of numpy, pandas, polars and the like; or one number out of them."""
        kind = getattr(getattr(value, "dtype", None), "kind", "")
        if getattr(value, "shape", ()) != ():
            return self.items(value, depth)
        if kind == "M":
            return None if str(value) == "NaT" else str(value)
        if kind == "m":
            return self.plain(float(value / type(value)(1, "s")), depth)
        found = value.item()
        return self.plain(float(found) if type(found) is type(value) else found, depth + 1)

    def unread(self, value: object, _depth: int) -> None:
        self.note(
            f"a property of the type {type(value).__name__} can be read only once, so it was not:"
            " null was sent; give a list"
        )


def _defined(kind: type) -> set[str]:
    """What the classes of the program say themselves."""
    return {name for part in kind.__mro__[:-1] for name in vars(part)}


def _fields(value: Any) -> list[str] | None:
    """The names of what it holds, where its class declares them: dataclasses, attrs, msgspec."""
    kind = type(value)
    if hasattr(kind, "__dataclass_fields__"):
        return [part.name for part in dataclasses.fields(value)]
    if hasattr(kind, "__attrs_attrs__"):
        return [part.name for part in kind.__attrs_attrs__]
    return getattr(kind, "__struct_fields__", None)


def _bytes(walk: _Walk, value: Any, _depth: int) -> str:
    raw = bytes(value[: walk.left + 1])
    try:
        return walk.text(raw.decode())
    except UnicodeDecodeError:
        return walk.text(base64.b64encode(raw).decode())


Convert = Callable[[_Walk, Any, int], Any]

# Which of these it is, first match first: many are also one of those below.
KINDS: tuple[tuple[Any, Convert], ...] = (
    (Enum, lambda walk, value, depth: walk.plain(value.value, depth + 1)),
    (str, lambda walk, value, _: walk.text(str.__str__(value))),
    (UserString, lambda walk, value, _: walk.text(value.data)),
    (int, lambda _walk, value, _: int.__index__(value)),
    (float, lambda walk, value, depth: walk.plain(float.__float__(value), depth)),
    (Decimal, lambda walk, value, _: walk.text(str(value)) if value.is_finite() else None),
    (timedelta, lambda _walk, value, _: value.total_seconds()),
    ((bytes, bytearray, memoryview), _bytes),
)
# What its class has: no library has to be there to be understood.
SHAPES: tuple[tuple[str, Convert], ...] = (
    ("isoformat", lambda walk, value, _: walk.text(value.isoformat())),
    ("_asdict", lambda walk, value, depth: walk.mapping(value._asdict(), depth)),
    ("model_dump", lambda walk, value, depth: walk.plain(value.model_dump(), depth + 1)),
    ("tolist", _Walk.array),
    ("to_list", _Walk.array),
    ("to_dict", lambda walk, value, depth: walk.plain(value.to_dict(), depth + 1)),
    ("item", _Walk.array),
    ("as_integer_ratio", lambda walk, value, depth: walk.plain(float(value), depth)),
)
CONTAINERS: tuple[tuple[Any, Convert], ...] = (
    (Mapping, _Walk.mapping),
    (Set, _Walk.members),
    (Collection, _Walk.items),
    ((Iterator, AsyncIterator, Awaitable), _Walk.unread),
)
