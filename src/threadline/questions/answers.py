"""Shapes and small parts that several questions share: parameters, cursors, event rows."""

import base64
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import Annotated, Literal
from zoneinfo import available_timezones

import msgspec

from threadline.contract.errors import InvalidGroupBy, InvalidParams
from threadline.contract.times import Moment, format_utc
from threadline.identity.ground import RANGE, Ground, in_range
from threadline.identity.stitch import EVERYONE, Scope, shared_devices
from threadline.store import Row, bound_ms

Limit = Annotated[int, msgspec.Meta(ge=1, le=1000, description="Rows in one answer.")]
CursorText = Annotated[
    str, msgspec.Meta(description="`next_cursor` of the answer before, to go on from there.")
]
StitchText = Annotated[
    str,
    msgspec.Meta(
        pattern="^(any|first|next)$",
        description="Whose are untagged events on a device with users? `any`: every user's ever "
        "seen there; `first`: the first one's; `next`: whose login ends the stretch. Default: the "
        "project's, else `any`.",
    ),
]
IncludeBots = Annotated[bool, msgspec.Meta(description="Crawlers and other programs count, too.")]
From = Annotated[Moment, msgspec.Meta(description="ISO 8601, inclusive.")]
To = Annotated[Moment, msgspec.Meta(description="ISO 8601, exclusive.")]


class Stitched(msgspec.Struct, kw_only=True):
    """What every question about people takes."""

    stitch: StitchText | None = None
    as_of: (
        Annotated[
            Moment,
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


EVENT_COLUMNS = (
    "timestamp event_id event_name anonymous_id user_id session_id source medium campaign "
    "source_confidence source_rule_id referrer url path country device_type browser os properties"
).split()

# An answer about everyone would otherwise list every shared device there is.
MAX_SHARED_DEVICES = 100


class EventRow(msgspec.Struct, omit_defaults=True):
    """One stored event. `user_id` is null where the event came without one, for ever. `is_bot`
    appears when bots are asked for."""

    timestamp: str
    event_id: str
    event_name: str
    anonymous_id: str
    user_id: str | None
    session_id: str
    source: str
    medium: str
    campaign: str
    source_confidence: str
    source_rule_id: str
    referrer: str
    url: str
    path: str
    country: str
    device_type: str
    browser: str
    os: str
    properties: Annotated[str, msgspec.Meta(description="The event's properties, JSON-encoded.")]
    is_bot: bool | msgspec.UnsetType = msgspec.UNSET


class Touch(msgspec.Struct):
    """The event that a user's story begins, or ends, with."""

    timestamp: str
    event_id: str
    anonymous_id: str
    source: str
    medium: str
    campaign: str
    url: str
    referrer: str


def event_row(row: Row) -> EventRow:
    """A store row with the columns of `EVENT_COLUMNS` as it goes out."""
    return EventRow(**{**row, "timestamp": format_utc(row["timestamp"])})


def event_columns(bots: bool = False) -> str:
    """`e.timestamp AS timestamp, …` for all columns of an event row; `bots`: and which are."""
    names = [*EVENT_COLUMNS, "is_bot"] if bots else EVENT_COLUMNS
    return ", ".join(f"e.{name} AS {name}" for name in names)


def write_cursor(row: Row, column: str, tie_break: str) -> str:
    """An opaque cursor behind this row: its time in milliseconds and the id that breaks ties."""
    place = [utc_ms(row[column]), row[tie_break]]
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def read_cursor(text: str) -> dict[str, object]:
    """The bound values `cursor_at` (ISO 8601) and `cursor_id`. Raises `InvalidParams`."""
    try:
        padded = text + "=" * (-len(text) % 4)
        ms, identifier = msgspec.json.decode(
            base64.b64decode(padded, altchars=b"-_", validate=True), type=tuple[int, str]
        )
        return {"cursor_at": bound_ms(ms), "cursor_id": identifier}
    except (ValueError, OverflowError):
        message = "This cursor is not one of ours"
        raise InvalidParams(f"{message}.", fieldErrors={"cursor": [message]}) from None


def bound_time(moment: datetime) -> str:
    """The store's datetime as the text that a `DateTime64(3, 'UTC')` parameter takes."""
    return moment.isoformat(sep=" ", timespec="milliseconds")


def utc_ms(moment: datetime) -> int:
    """The store's naive UTC datetime as milliseconds since 1970."""
    return Moment.parse(moment.isoformat()).ms


def seconds_between(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds()


def shared_among(ground: Ground, scope: Scope) -> str:
    """SQL for (anonymous_id): devices that more than one person was seen on, at most
    `MAX_SHARED_DEVICES` of everyone's."""
    limit = f" LIMIT {MAX_SHARED_DEVICES}" if scope is EVERYONE else ""
    return shared_devices(ground, scope) + limit


Interval = Annotated[
    Literal["hour", "day", "week", "month"],
    msgspec.Meta(description="Weeks begin on Monday. By the clocks of `tz`."),
]
TimeZone = Annotated[
    str, msgspec.Meta(description="Name of the IANA database, as Europe/Berlin. Default: UTC.")
]
Duration = Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]{0,4}[smhdw]$")]
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


class OverTime(Ranged, kw_only=True):
    """What every question takes that can be asked interval by interval."""

    interval: Interval | None = None
    tz: TimeZone = "UTC"
    limit: Limit = 100


# The start of the interval that an instant falls into, as an instant.
BUCKETS = {
    "hour": "toDateTime(toStartOfHour({at}, {{tz:String}}), {{tz:String}})",
    "day": "toStartOfDay({at}, {{tz:String}})",
    "week": "toDateTime(toMonday({at}, {{tz:String}}), {{tz:String}})",
    "month": "toDateTime(toStartOfMonth({at}, {{tz:String}}), {{tz:String}})",
}


def bucket(interval: str, at: str) -> str:
    """SQL for the start of the interval around `at`, as an instant; binds `tz`."""
    return f"toTimeZone({BUCKETS[interval].format(at=at)}, 'UTC')"


def differ(interval: str) -> str:
    """SQL for whether two moments, `began` and `ended`, are in different intervals; binds `tz`."""
    return f"({bucket(interval, 'began')} != {bucket(interval, 'ended')})"


def over_time(params: OverTime, at: str, groups: dict[str, str]) -> dict[str, str]:
    """The columns to group by: `groups`, and before them, if asked for, `time`, the start of the
    interval around `at`."""
    return {"time": bucket(params.interval, at), **groups} if params.interval else groups


def with_times(rows: list[Row]) -> list[Row]:
    """The rows with `time`, where they have one, as it goes out."""
    return [{**row, "time": format_utc(row["time"])} if "time" in row else row for row in rows]


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
    return available_timezones()  # looks through a folder, which takes as long as a short query


def read_zone(name: str) -> str:
    """The name of a time zone that exists. Raises `InvalidParams`."""
    if name not in _time_zones():
        message = f"There is no time zone {name!r}; write a name such as Europe/Berlin"
        raise InvalidParams(f"{message}.", fieldErrors={"tz": [message]})
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
