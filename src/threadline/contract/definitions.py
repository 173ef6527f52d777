"""What a project gives names to: segments, goals, annotations, insights and boards, as they are
sent, kept and answered. What a type cannot say of them, `questions/definitions` checks."""

from collections.abc import Mapping
from typing import Annotated, NamedTuple

import msgspec

from threadline.contract.bodies import MAX_EVENT_NAME

MAX_NAME = 100
MAX_FILTERS = 4000
MAX_STEP = 2000
MAX_TEXT = 500
MAX_LINK = 2048
MAX_PARAMS = 50
# Of an insight on a board: parts of its twelve columns.
MAX_WIDTH = 12
MAX_TILES = 100

# What the Overview is made of; the dashboard knows how each is drawn.
PARTS = ("figures", "people", "sources", "entry_pages", "campaigns", "countries", "devices")
Part = Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(PARTS)})]

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


class Insight(msgspec.Struct, kw_only=True, frozen=True):
    """A question with its parameters, kept under a name to be asked again."""

    name: Name = ""
    question: Annotated[
        str,
        msgspec.Meta(
            max_length=64,
            description="Name of a question, as `threadline ask` has it: stats, funnel, …",
        ),
    ]
    params: Annotated[
        dict[str, Annotated[str, msgspec.Meta(max_length=MAX_FILTERS)]],
        msgspec.Meta(
            max_length=MAX_PARAMS,
            description="Its parameters by name, as in an address but not percent-encoded. What "
            "their values may be is looked at when the question is asked.",
        ),
    ] = {}
    chart: Annotated[
        str,
        msgspec.Meta(
            pattern="^([a-z][a-z0-9_-]{0,31})?$",
            description="How to show it, such as line, bar or table; kept for whoever shows it.",
        ),
    ] = ""
    description: Annotated[str, msgspec.Meta(max_length=MAX_TEXT)] = ""


class BoardTile(msgspec.Struct, frozen=True):
    """One thing on a board: an insight, by its name, or a part of the Overview, for the time and
    filters of the page. `width`: columns of twelve."""

    insight: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)] | msgspec.UnsetType = (
        msgspec.UNSET
    )
    width: Annotated[int, msgspec.Meta(ge=1, le=MAX_WIDTH)] = 6
    part: Part | msgspec.UnsetType = msgspec.UNSET


class Board(msgspec.Struct, kw_only=True, frozen=True):
    """Insights arranged on a page, in this order. The board `Overview` is the dashboard's first
    page."""

    name: Name = ""
    insights: Annotated[list[BoardTile], msgspec.Meta(max_length=MAX_TILES)] = []
    description: Annotated[str, msgspec.Meta(max_length=MAX_TEXT)] = ""


class Definitions(NamedTuple):
    """All of a project: annotations by id, the earliest first, the others by name."""

    segments: Mapping[str, Segment] = {}
    goals: Mapping[str, GoalDefinition] = {}
    annotations: Mapping[str, Annotation] = {}
    insights: Mapping[str, Insight] = {}
    boards: Mapping[str, Board] = {}
