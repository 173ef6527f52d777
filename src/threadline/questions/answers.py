"""Shapes and small parts that several questions share: parameters, groups, event rows."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

import msgspec

from threadline.contract.errors import InvalidGroupBy, InvalidParams
from threadline.contract.times import Timestamp, as_utc, format_utc, utc_ms
from threadline.identity.reading import of_project
from threadline.identity.resolution import RANGE, Resolution, in_range
from threadline.identity.stitch import EVERYONE, Scope, shared_devices
from threadline.store import Row, bound_ms

MAX_LIMIT = 1000
Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT, description="Rows in one answer.")]
EventName = Annotated[str, msgspec.Meta(min_length=1, max_length=128, description="Event name.")]
UserId = Annotated[
    str, msgspec.Meta(description="The id given to identify, percent-encoded.", min_length=1)
]
StitchText = Annotated[
    Literal["any", "first", "next"],
    msgspec.Meta(
        description="Whose are untagged events on a device with users? `any`: every user's ever "
        "seen there; `first`: the first one's; `next`: whose login ends the stretch. Default: the "
        "project's, else `any`; of questions that count people, `next`.",
    ),
]
IncludeBots = Annotated[bool, msgspec.Meta(description="Crawlers and other programs count, too.")]
From = Annotated[
    Timestamp,
    msgspec.Meta(description="ISO 8601, inclusive; a date: when it begins. Default: UTC."),
]
To = Annotated[
    Timestamp,
    msgspec.Meta(description="ISO 8601, exclusive; a date: when it begins. Default: UTC."),
]
TimeZone = Annotated[
    str,
    msgspec.Meta(
        description="Name of the IANA database, as Europe/Berlin, whose clocks decide when days "
        "begin, those of `from`, `to` and `as_of` included. Default: UTC."
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


class Ranged(Stitched, kw_only=True):
    """What every question about a time takes; of what, the question says."""

    from_: From | None = msgspec.field(default=None, name="from")
    to: To | None = None
    tz: TimeZone = "UTC"

    def __post_init__(self) -> None:
        zone = ZoneInfo(read_zone(self.tz))
        for name in ("from_", "to", "as_of"):
            if (moment := getattr(self, name)) is not None:
                setattr(self, name, moment.in_zone(zone))


EVENT_COLUMNS = (
    "timestamp event_id event_name anonymous_id user_id session_id source medium campaign "
    "source_confidence source_rule_id referrer url path country device_type browser os properties"
).split()
# An event may come without these, and the store keeps that as an empty text.
MAY_BE_ABSENT = frozenset(
    "campaign term content referrer url path country device_type browser os".split()
)

# An answer about everyone would otherwise list every shared device there is.
MAX_SHARED_DEVICES = 100


class EventRow(msgspec.Struct, omit_defaults=True):
    """One stored event. `user_id` is null where the event came without one, for ever; so is
    whatever else it came without. `is_bot` appears when bots are asked for."""

    timestamp: str
    event_id: str
    event_name: str
    anonymous_id: str
    user_id: str | None
    session_id: str
    source: str
    medium: str
    campaign: str | None
    source_confidence: str
    source_rule_id: str
    referrer: str | None
    url: str | None
    path: str | None
    country: str | None
    device_type: str | None
    browser: str | None
    os: str | None
    properties: Annotated[str, msgspec.Meta(description="The event's properties, JSON-encoded.")]
    is_bot: bool | msgspec.UnsetType = msgspec.UNSET


class Touch(msgspec.Struct):
    """The event that a user's story begins, or ends, with. What it came without is null."""

    timestamp: str
    event_id: str
    anonymous_id: str | None
    source: str
    medium: str
    campaign: str | None
    url: str | None
    referrer: str | None


def absent_is_null(row: Row) -> Row:
    """The same row, null instead of empty text where an event may come without."""
    return {
        name: None if value == "" and name in MAY_BE_ABSENT else value
        for name, value in row.items()
    }


def event_rows(rows: Sequence[Row], project_id: object) -> list[EventRow]:
    """Rows of `event_columns` and project_id as they go out. Raises `WrongAnswer` for another
    project's."""
    of_project(rows, project_id)
    return [_event_row(row) for row in rows]


def _event_row(row: Row) -> EventRow:
    fields = {name: value for name, value in absent_is_null(row).items() if name != "project_id"}
    return EventRow(**{**fields, "timestamp": format_utc(row["timestamp"])})


def event_columns(bots: bool = False) -> str:
    """`e.timestamp AS timestamp, …` for all columns of an event row; `bots`: and which are."""
    names = [*EVENT_COLUMNS, "is_bot"] if bots else EVENT_COLUMNS
    return ", ".join(f"e.{name} AS {name}" for name in names)


def bound_time(moment: datetime) -> str:
    """The store's datetime as the text that a `DateTime64(3, 'UTC')` parameter takes."""
    return bound_ms(utc_ms(moment))


def seconds_between(start: datetime, end: datetime) -> float:
    return (as_utc(end) - as_utc(start)).total_seconds()


def shared_among(resolution: Resolution, scope: Scope) -> str:
    """SQL for (anonymous_id): devices that more than one person was seen on, at most
    `MAX_SHARED_DEVICES` of everyone's."""
    limit = f" LIMIT {MAX_SHARED_DEVICES}" if scope is EVERYONE else ""
    return shared_devices(resolution, scope) + limit


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
    "country": "toString(e.country)",
    "device_type": "toString(e.device_type)",
    "browser": "toString(e.browser)",
    "os": "toString(e.os)",
    "path": "e.path",
}


def grouping(*allowed: str, of: str = "") -> msgspec.Meta:
    """What a parameter `group_by` says of itself."""
    return msgspec.Meta(
        description=f"{of}{', '.join(allowed)}, by commas.",
        extra_json_schema={"type": "array", "items": {"type": "string", "enum": list(allowed)}},
    )


def read_groups(text: str, allowed: Iterable[str]) -> list[str]:
    """Column names by commas. Raises `InvalidGroupBy`."""
    groups = [part.strip() for part in text.split(",") if part.strip()]
    names = list(allowed)
    for group in groups:
        if group not in names:
            raise InvalidGroupBy(
                f"Cannot group by {group!r}; allowed: {', '.join(names)}.", allowed=names
            )
    return list(dict.fromkeys(groups))


@cache
def _time_zones() -> set[str]:
    # Looks through a folder, which takes as long as a short query. `localtime` is the machine's.
    return available_timezones() - {"localtime"}


def read_zone(name: str) -> str:
    """The name of a time zone that exists. Raises `InvalidParams`."""
    if name not in _time_zones():
        message = f"there is no time zone {name!r}; write a name such as Europe/Berlin"
        raise InvalidParams(f"Parameter tz: {message}.", fieldErrors={"tz": [message]})
    return name


def read_duration_s(text: Duration) -> int:
    """`30m` in seconds."""
    return int(text[:-1]) * UNITS_S[text[-1]]


def between(params: Ranged, bound: dict[str, object], column: str = "e.timestamp") -> list[str]:
    """Conditions of `from` and `to` on a time, by default the events'; their values go into
    `bound`."""
    for name in RANGE:
        if (moment := getattr(params, name)) is not None:
            bound[name] = bound_ms(moment.ms)
    return in_range(column, bound)
