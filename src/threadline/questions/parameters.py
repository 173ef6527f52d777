"""Parameters that several questions share, and how they are read."""

from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec

from threadline.contract.errors import InvalidParams
from threadline.contract.policies import Policy
from threadline.contract.times import (
    ALL,
    RELATIVE_TIMES,
    TODAY,
    YESTERDAY,
    Timestamp,
    now_ms,
)
from threadline.contract.zones import as_sentence, check_zone
from threadline.identity.resolution import FROM, RANGE, TO, in_range
from threadline.identity.visits import Wanted
from threadline.questions.dimensions import DIMENSIONS
from threadline.store import Params, bound_ms

MAX_LIMIT = 1000
Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT, description="Rows in one answer.")]
EventName = Annotated[str, msgspec.Meta(min_length=1, max_length=128, description="Event name.")]
UserId = Annotated[
    str, msgspec.Meta(description="The id given to identify, percent-encoded.", min_length=1)
]
StitchText = Annotated[
    Policy,
    msgspec.Meta(
        description="Who owns the events without a user id on a device with users? `any`: every "
        "user's ever seen there; `first`: the first one's; `next`: whose login ends "
        "the interval; `last`: the latest one's; `none`: the anonymous visitor's.",
    ),
]
IncludeBots = Annotated[bool, msgspec.Meta(description="Include crawlers and other programs.")]
RELATIVE: dict[str, str] = {"relative": RELATIVE_TIMES}
From = Annotated[
    Timestamp,
    msgspec.Meta(
        description="Inclusive. ISO 8601 (a date: when it begins), or a length of time before now, "
        "such as 12h, 7d, 4w, 12mo or 1y, or today, yesterday (alone: that day), mtd (since the "
        "month began), ytd (the year), now, all.",
        extra=RELATIVE,
    ),
]
To = Annotated[
    Timestamp,
    msgspec.Meta(
        description="Exclusive. ISO 8601 (a date: when it begins), or relative, as `from`.",
        extra=RELATIVE,
    ),
]
TimeZone = Annotated[
    str,
    msgspec.Meta(
        description="IANA time zone, such as Europe/Berlin, in which days begin, those of `from`, "
        "`to` and `as_of` included. Default: the project's `timezone`, else UTC."
    ),
]


CompareText = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(previous_period|previous_year|.+\.\..+)$",
        description="Another time beside the one asked for, each row with `previous` and `change`: "
        "`previous_period` (as long, just before), `previous_year`, or `A..B`, which take what "
        "`from` and `to` do.",
        extra={"write": "write previous_period, previous_year, or two times such as 60d..30d"},
    ),
]


class Stitched(msgspec.Struct, kw_only=True):
    """What every question about people takes."""

    stitch: StitchText | None = None
    as_of: (
        Annotated[
            Timestamp,
            msgspec.Meta(
                description="The answer as it would have been given then: only what had been "
                "received by this time counts, unlinks and aliases included."
            ),
        ]
        | None
    ) = None
    include_bots: IncludeBots = False


class Range(msgspec.Struct, kw_only=True):
    """From when to when."""

    from_: From | None = msgspec.field(default=None, name="from")
    to: To | None = None
    tz: TimeZone = "UTC"

    def __post_init__(self) -> None:
        _resolve(self, now_ms())


class Ranged(Stitched, kw_only=True):
    """What every question about a time takes; of what, the question says."""

    from_: From | None = msgspec.field(default=None, name="from")
    to: To | None = None
    tz: TimeZone = "UTC"

    def __post_init__(self) -> None:
        if self.as_of is not None:
            self.as_of = self.as_of.in_zone(ZoneInfo(read_zone(self.tz)))
        _resolve(self, now_ms() if self.as_of is None else self.as_of.ms)


def _resolve(params: Range | Ranged, now: int) -> None:
    """`from` and `to` by the clocks of `tz`, relative ones as they are at that time. Raises
    `InvalidParams`."""
    zone = ZoneInfo(read_zone(params.tz))
    from_, to = params.from_, params.to
    if to is not None and to.relative == ALL:
        message = "all goes with from; leave to out, and the answer ends with now"
        raise InvalidParams(f"Parameter to: {message}.", fieldErrors={"to": [message]})
    if from_ is not None and from_.relative == YESTERDAY and to is None:
        to = Timestamp(0, relative=TODAY)
    if from_ is not None and from_.relative == ALL:
        from_ = None
    params.from_ = None if from_ is None else from_.resolved(zone, now)
    params.to = None if to is None else to.resolved(zone, now)
    refuse_nothing(params.from_, params.to)


def refuse_nothing(from_: Timestamp | None, to: Timestamp | None) -> None:
    """Raises `InvalidParams` for a time that holds nothing."""
    if from_ is not None and to is not None and from_.ms >= to.ms:
        message = "to is exclusive, and has to lie after from"
        raise InvalidParams(f"Parameter to: {message}.", fieldErrors={"to": [message]})


Duration = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[1-9][0-9]{0,4}[smhdw]$",
        extra={"write": "write a whole number and its unit, such as 30m, 12h, 7d or 4w"},
    ),
]
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
GROUPS = {
    "event_name": "toString(e.event_name)",
    "source": "toString(e.source)",
    "medium": "toString(e.medium)",
    "campaign": "toString(e.campaign)",
    "channel": "toString(e.channel)",
    "country": "toString(e.country)",
    "device_type": "toString(e.device_type)",
    "browser": "toString(e.browser)",
    "os": "toString(e.os)",
    "path": "e.path",
}


def grouping(*allowed: str, of: str = "") -> msgspec.Meta:
    """What a parameter `group_by` says of itself."""
    return msgspec.Meta(
        description=f"{of}{', '.join(allowed)}, separated by commas.",
        extra_json_schema={"type": "array", "items": {"type": "string", "enum": list(allowed)}},
    )


def any_dimension(*also: str, of: str = "") -> msgspec.Meta:
    """What a parameter `group_by` says of itself that takes dimensions of the grammar."""
    names = f"{', '.join(also)}, and any" if also else "any"
    return msgspec.Meta(
        description=f"{of}{names} dimension of the filters, such as properties.plan, traits.plan, "
        "first.path, last.source, known; separated by commas, and \\, for one in a name.",
        extra_json_schema={
            "type": "array",
            "items": {
                "type": "string",
                "anyOf": [
                    {"enum": list(dict.fromkeys([*also, *DIMENSIONS]))},
                    {"pattern": "^(properties|traits)\\..+"},
                ],
            },
        },
    )


def read_zone(name: str) -> str:
    """The name of a time zone that exists. Raises `InvalidParams`."""
    try:
        return check_zone(name)
    except ValueError as error:
        message = str(error)
        said = as_sentence(f"Parameter tz: {message}")
        raise InvalidParams(said, fieldErrors={"tz": [message]}) from None


def read_duration_s(text: Duration) -> int:
    """`30m` in seconds."""
    return int(text[:-1]) * UNITS_S[text[-1]]


def between(params: Ranged, values: dict[str, object], column: str = "e.timestamp") -> list[str]:
    """Conditions of `from` and `to` on a time, by default the events'; what they bind goes into
    `values`."""
    for name in RANGE:
        if (timestamp := getattr(params, name)) is not None:
            values[name] = bound_ms(timestamp.ms)
    return in_range(column, values)


def in_time(columns: tuple[str, ...], values: Params, running: bool = False) -> Wanted:
    """These columns of visits that start between `from_` and `to`, as far as these are bound.
    `running`: and of those that had started by then and went on."""
    since, until = (FROM if "from_" in values else ""), (TO if "to" in values else "")
    return Wanted(columns, since, until, running)
