"""What was asked of users, as it is understood: columns, conversion, order."""

from typing import NamedTuple

from threadline.questions.amounts import Amounts
from threadline.questions.context import Context
from threadline.questions.dimensions import (
    DID,
    DIMENSIONS,
    SEGMENT,
    TRAITS,
    nearest_dimension,
    scope_of,
)
from threadline.questions.filters import plain, refused, split
from threadline.questions.named_events import NamedEvent, amounts_of, read_event
from threadline.questions.users_shapes import COLUMNS, DEFAULT, OF_CONVERSION, UsersParams
from threadline.questions.warned import AnswerWarning

OF_PEOPLE = [name for name, each in DIMENSIONS.items() if each.scope == "person"]


class UsersRequest(NamedTuple):
    """What was asked, as it was understood. `question`: for its cursors. `warnings`: what comes up
    on the way."""

    values: dict[str, object]
    columns: list[str]
    converting: NamedEvent | None
    paid: Amounts | None
    order: str
    question: str
    warnings: list[AnswerWarning]

    @property
    def facts(self) -> list[str]:
        """Columns that are known of people, like first.source."""
        return [name for name in self.columns if name not in COLUMNS]


def read_asked(context: Context, params: UsersParams) -> UsersRequest:
    """Raises `InvalidParams`."""
    values: dict[str, object] = {}
    converting = None
    if params.conversion is not None:
        converting = read_event(context, params.conversion, "conversion", values)
    paid = amounts_of(converting, params, "conversion and value_property")
    columns = _columns(params, converting, paid)
    if params.order.endswith("value") and paid is None:
        raise refused("order", "the order by value goes with conversion and value_property")
    # The cursor of the default order holds for other filters, too.
    question = f"users {context.project_id}"
    if params.order != DEFAULT:
        worth = (params.conversion, paid) if params.order.endswith("value") else ()
        question = f"{question} {params.order} {worth}"
    return UsersRequest(values, columns, converting, paid, params.order, question, [])


def _columns(params: UsersParams, converting: NamedEvent | None, paid: Amounts | None) -> list[str]:
    if not params.columns.strip():
        return [
            *("user_id", "known_since", "first_touch", "devices"),
            *(("converted_at", "seconds_to_conversion") if converting else ()),
            *(("value",) if paid else ()),
            *(("last_seen",) if params.order.endswith("last_seen") else ()),
        ]
    chosen = list(dict.fromkeys(plain(part) for part in split(params.columns, ",") if part.strip()))
    for name in chosen:
        is_fact = scope_of(name) == "person" and name not in (DID, SEGMENT)
        if name not in COLUMNS and not is_fact:
            known = [*dict.fromkeys([*COLUMNS, *OF_PEOPLE]), f"{TRAITS}KEY"]
            near = nearest_dimension(name, known)
            hint = f"did you mean {near}? There" if near else "there"
            raise refused("columns", f"there is no column {name!r}; {hint} are {', '.join(known)}")
        if name in OF_CONVERSION and converting is None:
            raise refused("columns", f"{name} goes with conversion; add that")
        if name == "value" and paid is None:
            raise refused("columns", "value goes with value_property; add that")
    return chosen
