"""What all definitions of a project share: they have names, and there are not too many."""

from collections.abc import Mapping
from typing import TypeVar

from threadline.contract.definitions import (
    MAX_NAME,
    Annotation,
    Board,
    GoalDefinition,
    Insight,
    Segment,
)
from threadline.contract.errors import InvalidPayload, NotFound
from threadline.questions.filters import near

MAX_EACH = 500

Defined = TypeVar("Defined", Segment, GoalDefinition, Annotation, Insight, Board)


def one_of(there: Mapping[str, Defined], name: str, what: str) -> Defined:
    """Raises `NotFound`, with the nearest name."""
    if name not in there:
        hint = near(name, there, what)
        stop = "" if hint.endswith("?") else "."
        raise NotFound(f"There is no {what} {name!r}; {hint}{stop}")
    return there[name]


def added(there: Mapping[str, Defined], name: str, one: Defined) -> dict[str, Defined]:
    if name not in there and len(there) >= MAX_EACH:
        raise invalid("name", f"a project has at most {MAX_EACH} of these; delete one")
    return {**there, name: one}


def removed(there: Mapping[str, Defined], name: str) -> dict[str, Defined]:
    return {other: one for other, one in there.items() if other != name}


def check_shown(what: str, name: str) -> None:
    """Raises `InvalidPayload` for a name that lists could not show on a line."""
    if not name or len(name) > MAX_NAME or not name.isprintable() or name != name.strip():
        raise invalid(
            "name",
            f"the name of {_a(what)} has 1 to {MAX_NAME} characters, no spaces around it and no "
            "line breaks or other control characters",
        )


def _a(what: str) -> str:
    return f"an {what}" if what[0] in "aeiou" else f"a {what}"


def invalid(field: str, message: str) -> InvalidPayload:
    stop = "" if message.endswith("?") else "."
    return InvalidPayload(f"{field}: {message}{stop}", fieldErrors={field: [message]})
