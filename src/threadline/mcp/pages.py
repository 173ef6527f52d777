"""Answers of a size that a conversation can hold: cut where they are too long, with a cursor that
leads on and a word on how to ask for less.

A question that has cursors of its own is asked again for as many rows as there is room for, so its
cursor goes on exactly there. All others are asked again as a whole, and the cursor says how many
entries were had.
"""

import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from xxhash import xxh3_64_hexdigest

from threadline.mcp.api import Answered, Json, invalid

# Of JSON: about as many tokens as a model reads without losing the thread.
MAX_BYTES = 60_000
ENVELOPE_BYTES = 500
LEAST_ROWS = 1

Ask = Callable[[Mapping[str, str]], Awaitable[Answered]]


class PageCursor(msgspec.Struct, array_like=True):
    """Where to go on: in which list, after how many entries, of a question with these arguments."""

    name: str
    taken: int
    arguments: str


async def paged(
    ask: Ask, texts: Mapping[str, str], of: str = "", takes_cursor: bool = False
) -> Answered:
    """What `ask` finds, cut to size. `of`: which question it is, and of which project, as a cursor
    holds for no other. `takes_cursor`: the question has cursors itself. Raises `RouteRefused`."""
    if takes_cursor:
        return await _by_its_cursor(ask, texts)
    rest = {name: text for name, text in texts.items() if name != "cursor"}
    asked = _print_of(of, rest)
    place = _read(texts["cursor"], asked) if "cursor" in texts else None
    return cut(await ask(rest), asked, place)


async def _by_its_cursor(ask: Ask, texts: Mapping[str, str]) -> Answered:
    answered = await ask(texts)
    rows, size = answered.found.get("rows", []), _size(answered.found)
    while size > MAX_BYTES and len(rows) > LEAST_ROWS:
        room = max(LEAST_ROWS, min(len(rows) - 1, len(rows) * (MAX_BYTES - ENVELOPE_BYTES) // size))
        answered = await ask({**texts, "limit": str(room)})
        rows, size = answered.found.get("rows", []), _size(answered.found)
        answered.notes = [
            f"Only {len(rows)} rows fit into one answer; next_cursor leads to those that follow. "
            "Narrow the question, or set limit, for less."
        ]
    return answered


def cut(answered: Answered, arguments: str, place: PageCursor | None = None) -> Answered:
    """The same with at most `MAX_BYTES` of JSON, from a place on."""
    found = dict(answered.found)
    if place is not None:
        entries = found.get(place.name)
        if not isinstance(entries, list):
            raise invalid("cursor", "the answer is another one now; ask again without cursor")
        found[place.name] = entries[place.taken :]
        # What stands beside it came with the first page.
        found |= {name: [] for name in _listed(found) if name != place.name}
    if _size(found) <= MAX_BYTES:
        return Answered(found, answered.stale, answered.notes)
    # Rows are what was asked for: their cursor leads on, also where notes of the series are longer.
    lists = sorted(
        (name for name, value in found.items() if isinstance(value, list) and value),
        key=lambda name: (name != "rows", -_size(found[name])),
    )
    # A place is in the one list that it was in before, which goes first.
    if not lists:
        return Answered(found, answered.stale, answered.notes)
    first = place.name if place and place.name in lists else lists[0]
    before = place.taken if place else 0
    kept = _fitting(found, first)
    total = before + len(found[first])
    found[first] = found[first][:kept]
    found["next_cursor"] = _write(PageCursor(first, before + kept, arguments))
    notes = [
        f"Only {kept:,} of {total:,} entries of {first} fit into this answer; next_cursor leads to "
        "those that follow. Narrow the question with filters, from and to, or limit."
    ]
    for name in lists:
        if name != first and _size(found) > MAX_BYTES:
            left = _fitting(found, name)
            notes.append(f"Of {name} only the first {left:,} of {len(found[name]):,} are here.")
            found[name] = found[name][:left]
    return Answered(found, answered.stale, [*answered.notes, *notes])


def _listed(found: Json) -> list[str]:
    """Lists with entries of their own, such as rows and annotations."""
    return [
        name
        for name, value in found.items()
        if isinstance(value, list) and value and isinstance(value[0], dict) and name != "warnings"
    ]


def _fitting(found: Json, name: str) -> int:
    """How many entries of a list there is room for beside the rest; one at least."""
    room = MAX_BYTES - ENVELOPE_BYTES - _size({**found, name: []})
    kept = 0
    for entry in found[name]:
        room -= _size(entry) + 1
        if room < 0:
            break
        kept += 1
    return max(LEAST_ROWS, kept)


def _size(found: object) -> int:
    return len(msgspec.json.encode(found))


def _print_of(of: str, texts: Mapping[str, str]) -> str:
    return xxh3_64_hexdigest(json.dumps([of, sorted(texts.items())]).encode())


def _write(place: PageCursor) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _read(cursor: str, arguments: str) -> PageCursor:
    """Raises `RouteRefused` for a cursor of another question."""
    try:
        packed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        place = msgspec.json.decode(packed, type=PageCursor)
    except (ValueError, binascii.Error):
        raise invalid("cursor", "send next_cursor of an answer unchanged, or none") from None
    if place.arguments != arguments or place.taken < 0:
        raise invalid(
            "cursor", "it belongs to another question or project; send the same arguments as before"
        )
    return place
