"""Cursors: where the next page begins. Each holds for the question that it came with, no other."""

import base64
import hashlib
from typing import Annotated, Any

import msgspec

from threadline.contract.errors import InvalidParams
from threadline.contract.times import utc_ms, within
from threadline.store import Row, bound_ms

CursorText = Annotated[
    str,
    msgspec.Meta(
        description="`next_cursor` of the previous answer, to continue from there.",
        extra_json_schema={"pattern": "^[A-Za-z0-9_-]+$"},
    ),
]

# What may differ from page to page.
OF_PAGES = ("limit", "cursor", "format", "from_", "to", "as_of")

NOT_OURS = "this is not a valid cursor; send next_cursor of the previous answer unchanged"
OF_ANOTHER = "this cursor came with the answer to another question, or from another project"


def question_of(name: str, project_id: str, params: msgspec.Struct) -> str:
    """What decides which rows follow each other: everything that was asked but how many, and when:
    a relative time is another by the next page."""
    asked = msgspec.structs.asdict(params).items()
    given = [(field, getattr(value, "ms", value)) for field, value in asked]
    return f"{name} {project_id} {[each for each in given if each[0] not in OF_PAGES]}"


def write_cursor(question: str, row: Row, column: str, tie_break: str) -> str:
    """An opaque cursor behind this row: its time in milliseconds and the id that breaks ties.

    `question` names everything that decides which rows follow each other, and of which project.
    """
    return _written([_mark(question), utc_ms(row[column]), str(row[tie_break])])


def write_number(question: str, number: float, tie_break: str) -> str:
    """The same of rows in the order of a number."""
    return _written([_mark(question), number, tie_break])


def _written(place: list[object]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def read_cursor(question: str, text: str) -> dict[str, object]:
    """The bound values `cursor_at` (ISO 8601) and `cursor_id`. Raises `InvalidParams`."""
    ms, identifier = _read(question, text, tuple[str, int, str])
    return {"cursor_at": bound_ms(within(int(ms))), "cursor_id": identifier}


def read_number(question: str, text: str) -> dict[str, object]:
    """The bound values `cursor_number` and `cursor_id`. Raises `InvalidParams`."""
    number, identifier = _read(question, text, tuple[str, float, str])
    return {"cursor_number": number, "cursor_id": identifier}


def _read(question: str, text: str, kind: Any) -> tuple[float, str]:
    try:
        padded = text + "=" * (-len(text) % 4)
        read = base64.b64decode(padded, altchars=b"-_", validate=True)
        mark, number, identifier = msgspec.json.decode(read, type=kind)
    except ValueError:
        raise _refused(NOT_OURS) from None
    if mark != _mark(question):
        raise _refused(OF_ANOTHER)
    return number, identifier


def _mark(question: str) -> str:
    return hashlib.blake2s(question.encode(), digest_size=6).hexdigest()


def _refused(message: str) -> InvalidParams:
    return InvalidParams(f"Parameter cursor: {message}.", fieldErrors={"cursor": [message]})
