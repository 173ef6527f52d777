"""What in a funnel may be a slip: names of events and properties that never came."""

from collections.abc import Sequence

from threadline.questions.answers import EVENT_COLUMNS
from threadline.questions.context import Context
from threadline.questions.dimensions import PROPERTIES
from threadline.questions.funnel_steps import FunnelStep
from threadline.questions.warned import AnswerWarning, unknown_events, unknown_property
from threadline.store import Params


def slips(
    context: Context,
    steps: Sequence[FunnelStep],
    excluded: Sequence[FunnelStep],
    nobodys: Sequence[FunnelStep],
    values: Params,
    others: Sequence[str],
) -> list[AnswerWarning]:
    """What to know about a funnel. `nobodys`: the steps that nobody got to; only of these names are
    looked for. `others`: conditions on all events, which bind `values`."""
    asked = {"steps": event_names(nobodys), "exclude": event_names(excluded)}
    unknown = unknown_events(context, asked)
    if not unknown and nobodys:
        unknown = _unknown_properties(context, nobodys[0], values, others)
    return [*unknown, *_of_columns(steps, "steps"), *_of_columns(excluded, "exclude")]


def event_names(steps: Sequence[FunnelStep]) -> list[str]:
    """Of all these steps, each once."""
    return list(dict.fromkeys(event for step in steps for event in step.events))


def _unknown_properties(
    context: Context, step: FunnelStep, values: Params, others: Sequence[str]
) -> list[AnswerWarning]:
    """Properties that no event of the step's name has."""
    bound = {**values, "names_of_step": step.events}
    conditions = ["e.event_name IN {names_of_step:Array(String)}", *others]
    keys = [
        condition.dimension.removeprefix(PROPERTIES)
        for condition in step.conditions
        if condition.dimension.startswith(PROPERTIES) and "" not in condition.values
    ]
    return [
        warning
        for key in dict.fromkeys(keys)
        for warning in unknown_property(context, "steps", key, conditions, bound)
    ]


# Columns of events that are no dimensions: a condition on one looks among the properties.
NO_DIMENSIONS = {f"{PROPERTIES}{name}" for name in EVENT_COLUMNS}


def _of_columns(steps: Sequence[FunnelStep], parameter: str) -> list[AnswerWarning]:
    return [
        AnswerWarning(
            "property_condition",
            parameter,
            f"{step.text} looks for a property named {key!r}, not for the event's own {key}, by"
            " which steps cannot be told apart.",
        )
        for step in steps
        for condition in step.conditions
        if condition.dimension in NO_DIMENSIONS
        and not condition.text.startswith(PROPERTIES)
        and (key := condition.dimension.removeprefix(PROPERTIES))
    ]
