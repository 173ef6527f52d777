"""An event that a parameter names: by its name, with conditions in braces, or as a goal, as
`steps` reads them; and what such events are worth."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple, Protocol

import msgspec

from threadline.questions import amounts
from threadline.questions.amounts import Amounts
from threadline.questions.comparing import event_conditions
from threadline.questions.context import Context
from threadline.questions.filters import MAX_CHARS
from threadline.questions.named import Goal, goal_condition, goal_named
from threadline.questions.steps import parse_event
from threadline.questions.warned import AnswerWarning

CURRENCY_PROPERTY = "currency"
HINT = (
    "Event name; conditions in braces: `signup{plan=pro}`, `$pageview{path=^/docs/*}`; or "
    "`goal:NAME`."
)
EventText = Annotated[
    str, msgspec.Meta(min_length=1, max_length=MAX_CHARS, description=HINT, examples=["signup"])
]


def event_text(description: str) -> msgspec.Meta:
    """What a parameter of that kind says of itself."""
    return msgspec.Meta(min_length=1, max_length=MAX_CHARS, description=f"{description} {HINT}")


class NamedEvent(NamedTuple):
    """`text`: as it was written. `event`: the name alone. `condition`: SQL on events `e`.
    `is_plain`: nothing but the name. `goal`: which it is, if it is one."""

    text: str
    event: str
    condition: str
    is_plain: bool
    goal: Goal | None = None


def read_event(
    context: Context, text: str, parameter: str, values: dict[str, object], bound: str = ""
) -> NamedEvent:
    """What a parameter names. What its condition binds goes into `values`, under names that begin
    with `bound`, which is the parameter if it is not given. Raises `InvalidParams`."""
    bound = bound or parameter
    step = parse_event(text, parameter)
    (event,) = step.names
    if event.is_goal:
        goal = goal_named(context.names, event.name, parameter)
        return NamedEvent(text, goal.event, goal_condition(goal, bound, values), False, goal)
    values[bound] = event.name
    conditions = event_conditions(step.conditions, bound, values)
    parts = [f"e.event_name = {{{bound}:String}}", *conditions]
    if len(parts) == 1:
        return NamedEvent(text, event.name, parts[0], True)
    return NamedEvent(text, event.name, f"({' AND '.join(parts)})", False)


class WithAmounts(Protocol):
    """Parameters of questions that add up what conversions are worth."""

    value_property: str | None
    currency_property: str | None
    currency: str | None


def amounts_of(
    event: NamedEvent | None, params: WithAmounts, needs: str = "value_property"
) -> Amounts | None:
    """What is added up of these events; a goal says it where the parameters do not. None where it
    is not about amounts. `needs`: what a currency goes with. Raises `InvalidParams`."""
    goal = event.goal if event else None
    name = params.value_property or (goal.value_property if goal else "")
    if event is None or not name:
        amounts.refuse_currency(params.currency, needs)
        return None
    currency_property = params.currency_property or (goal.currency_property if goal else "")
    return amounts.asked(
        "value_property", name, currency_property or CURRENCY_PROPERTY, params.currency
    )


def several_currencies(
    order: str, asked: Amounts, totals: Sequence[amounts.Totals]
) -> list[AnswerWarning]:
    """That an order by value adds up what has no sum."""
    codes = {code for each in totals for code in each.amounts}
    if not order.endswith("value") or asked.currency or len(codes) < 2:
        return []
    message = (
        "The order by value adds up amounts of several currencies as if they were one; "
        "currency=EUR converts them."
    )
    return [AnswerWarning("several_currencies", "order", message)]
