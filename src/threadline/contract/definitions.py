"""What a project gives names to: segments, goals and annotations, as they are sent, kept and
answered. What a type cannot say of them, `questions/definitions` checks."""

from collections.abc import Mapping
from typing import Annotated, NamedTuple

import msgspec

from threadline.contract.bodies import MAX_EVENT_NAME

MAX_NAME = 100
MAX_FILTERS = 4000
MAX_STEP = 2000
MAX_TEXT = 500
MAX_LINK = 2048

Filters = Annotated[str, msgspec.Meta(max_length=MAX_FILTERS)]
Property = Annotated[str, msgspec.Meta(max_length=MAX_EVENT_NAME)]
Name = Annotated[
    str,
    msgspec.Meta(max_length=MAX_NAME, description="As in the path; in a body it may be left out."),
]


class Segment(msgspec.Struct, kw_only=True, frozen=True):
    """People with a name: whoever passes these filters when a question is asked."""

    name: Name = ""
    filters: Annotated[
        Filters,
        msgspec.Meta(
            description="Conditions on people, as in every question: "
            "`first.medium==paid;did==signup`. `segment==NAME` names another segment."
        ),
    ]


class GoalDefinition(msgspec.Struct, kw_only=True, frozen=True):
    """A conversion with a name: `goal:NAME` wherever an event's name is taken."""

    name: Name = ""
    event: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=MAX_STEP,
            description="Event name, perhaps with conditions as in a funnel's step: "
            "`purchase{plan=pro}`.",
        ),
    ]
    filters: Annotated[
        Filters, msgspec.Meta(description="Conditions that the event has to pass, too.")
    ] = ""
    value_property: Annotated[
        Property, msgspec.Meta(description="The property that holds what it is worth.")
    ] = ""
    currency_property: Annotated[
        Property, msgspec.Meta(description="The property that holds the currency of that.")
    ] = ""
    description: Annotated[str, msgspec.Meta(max_length=MAX_TEXT)] = ""


class Annotation(msgspec.Struct, kw_only=True, frozen=True):
    """A dated note, which comes with every series that reaches over its time."""

    annotation_id: Annotated[
        str,
        msgspec.Meta(max_length=64, description="As in the path; in a body it may be left out."),
    ] = ""
    at: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=64,
            description="ISO 8601; a date is when it begins, by the clocks of the question's `tz`.",
        ),
    ]
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT)]
    link: Annotated[
        str, msgspec.Meta(max_length=MAX_LINK, description="An address with http or https.")
    ] = ""


class Definitions(NamedTuple):
    """All of a project: segments and goals by name, annotations by id, the earliest first."""

    segments: Mapping[str, Segment] = {}
    goals: Mapping[str, GoalDefinition] = {}
    annotations: Mapping[str, Annotation] = {}
