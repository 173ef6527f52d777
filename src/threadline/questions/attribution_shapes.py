"""What `GET /v1/attribution` is asked with, and what it answers."""

from typing import Annotated, Literal

import msgspec

from threadline.questions import amounts
from threadline.questions.answers import Compared, Group, Measured
from threadline.questions.credit import LookbackDays, ModelsText
from threadline.questions.filters import Filtered
from threadline.questions.named_events import EventText
from threadline.questions.parameters import CompareText, any_dimension
from threadline.questions.per_account import Per
from threadline.questions.touched import OF_EVENTS
from threadline.questions.traffic_sources import GROUPS
from threadline.questions.warned import Limited

MAX_LIMIT = 1000
OWN_GROUPS = (*GROUPS, *OF_EVENTS)


class AttributionParams(Filtered, kw_only=True):
    """`from` and `to` speak of the time of conversion."""

    conversion: EventText
    model: ModelsText = "last_non_direct"
    group_by: Annotated[
        str,
        any_dimension(*OWN_GROUPS, of="Of the touch, or of the person: "),
    ] = "source,medium"
    group: (
        Annotated[
            str,
            msgspec.Meta(
                description="Only rows of this group: a value for each of the first names in "
                "`group_by`, separated by commas; `(none)`: absent. With user_id as the last name, "
                "they are the people behind one row."
            ),
        ]
        | None
    ) = None
    lookback_days: LookbackDays | None = None
    value_property: (
        Annotated[
            str, msgspec.Meta(min_length=1, description="A number in the properties: revenue.")
        ]
        | None
    ) = None
    currency_property: amounts.CurrencyProperty | None = None
    currency: amounts.Currency | None = None
    compare: CompareText | None = None
    order: Annotated[
        Literal[
            "-conversions",
            "conversions",
            "-persons",
            "persons",
            "-value",
            "value",
            "-influenced",
            "influenced",
            "-touches",
            "touches",
        ],
        msgspec.Meta(description="Of rows; `-`: descending."),
    ] = "-conversions"
    limit: (
        Annotated[
            int,
            msgspec.Meta(
                ge=1,
                le=MAX_LIMIT,
                description="At most this many rows, in the given order. Default: all.",
            ),
        ]
        | None
    ) = None
    per: Per = "person"


class Credit(msgspec.Struct):
    """What one model gives to a group, or to all: conversions (whole or in parts), persons with any
    credit there, and with `value_property` the value."""

    conversions: float
    persons: int
    value: amounts.Value | msgspec.UnsetType = msgspec.UNSET


class Lag(msgspec.Struct):
    """Seconds from a touch to the conversion: quantiles over all such touches."""

    p25: float
    p50: float
    p75: float
    p90: float


class AttributionTotal(msgspec.Struct, kw_only=True):
    """`outside_window`: conversions whose touches were all longer ago than `lookback_days`. The
    rest as in rows."""

    conversions: int
    persons: int
    value: amounts.Value | msgspec.UnsetType = msgspec.UNSET
    outside_window: int
    influenced: int
    touches: int
    lag_seconds: Lag | None
    models: dict[str, Credit] | msgspec.UnsetType = msgspec.UNSET
    previous: Measured = msgspec.UNSET
    change: Measured = msgspec.UNSET


class AttributionRow(Compared, kw_only=True):
    """What is credited to one group, by the first of the models. `value` comes with
    `value_property`.

    Whatever the model, of the last `lookback_days` (30 if not given) before a conversion:
    `influenced`, the persons with any touch there; `touches`, how many there were; `lag_seconds`,
    how long before, null where there were none.
    `models`: what each model gives, if more than one was asked for."""

    landing_path: Group = msgspec.UNSET
    first_country: Group = msgspec.UNSET
    conversions: float
    persons: int
    value: amounts.Value | msgspec.UnsetType = msgspec.UNSET
    influenced: int
    touches: int
    lag_seconds: Lag | None
    models: dict[str, Credit] | msgspec.UnsetType = msgspec.UNSET


class AttributionOther(msgspec.Struct):
    """What the rows that `limit` left out sum to. Persons may be in several rows, and have no
    sum."""

    conversions: float
    touches: int
    value: amounts.Value | msgspec.UnsetType = msgspec.UNSET


class Attribution(Limited, kw_only=True):
    """Rows, of groups with any credit: the group's columns, conversions (whole or in parts),
    persons with any credit there, and value, by the first of the models; `models` has each of
    several. `conversions` and `value` of the rows sum to the total; persons do not, because one may
    be in several rows. `skipped` comes with `value_property`: how many conversions have the
    property, but no number there; they count as worth nothing."""

    conversion: str
    model: str
    stitch: str
    rows: list[AttributionRow]
    total: AttributionTotal
    skipped: int | msgspec.UnsetType = msgspec.UNSET
    unconverted: amounts.Unconverted = msgspec.UNSET
    other: AttributionOther | msgspec.UnsetType = msgspec.UNSET
