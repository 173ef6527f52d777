"""Rows that several answers share, and how they come out of the store."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, TypeVar, cast

import msgspec

from threadline.contract.times import as_utc, format_utc, utc_ms
from threadline.identity.reading import of_project
from threadline.store import Row, bound_ms

EVENT_COLUMNS = (
    "timestamp event_id event_name anonymous_id user_id session_id source medium campaign channel "
    "source_confidence source_rule_id referrer url path country device_type browser os properties"
).split()
# An event may come without these, and the store keeps that as an empty text.
MAY_BE_ABSENT = frozenset(
    "campaign channel term content referrer url path country device_type browser os "
    "entry_path exit_path landing_path first_country "
    "event_campaign event_channel visit_campaign visit_channel first_campaign first_channel".split()
)

# An answer about everyone would otherwise list every shared device there is.
MAX_SHARED_DEVICES = 100
SHARED_DEVICES = """
SELECT any(anonymous_id) AS anonymous_id
FROM user_links
WHERE visitor IN (SELECT visitor FROM shared_devices)
GROUP BY visitor
ORDER BY anonymous_id
$limit"""


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
    channel: str | None
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
    channel: str | None
    url: str | None
    referrer: str | None


def absent_is_null(row: Row) -> Row:
    """The same row, null instead of empty text where an event may come without."""
    return {
        name: None if value == "" and name in MAY_BE_ABSENT else value
        for name, value in row.items()
    }


# Where the event is gone, forgotten between two queries or older than the project keeps it, the
# touch goes out without its details.
FORGOTTEN: Row = {"anonymous_id": None, "url": "", "referrer": ""}


def touch_row(row: Row) -> Touch:
    """A row of a touch's columns as it goes out."""
    fields = absent_is_null({name: row[name] for name in Touch.__struct_fields__})
    return Touch(**{**fields, "timestamp": format_utc(row["timestamp"])})


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


def bound_time(timestamp: datetime) -> str:
    """The store's datetime as the text that a `DateTime64(3, 'UTC')` parameter takes."""
    return bound_ms(utc_ms(timestamp))


def seconds_between(start: datetime, end: datetime) -> float:
    return (as_utc(end) - as_utc(start)).total_seconds()


# A column that is there if rows are grouped by it; null where events came without.
Group = str | msgspec.UnsetType | None


class Grouped(msgspec.Struct, kw_only=True):
    """What rows may be grouped by: the traffic source."""

    source: Group = msgspec.UNSET
    medium: Group = msgspec.UNSET
    campaign: Group = msgspec.UNSET
    channel: Group = msgspec.UNSET


# What `compare` puts beside a number; beside several, by their names; and beside those that are
# themselves by model, by currency or by both.
ByCurrency = dict[str, float | None]
ByName = dict[str, float | ByCurrency | None]
Measured = (
    float
    | list[float | None]
    | dict[str, float | list[float | None] | ByName | None]
    | msgspec.UnsetType
    | None
)


class Compared(Grouped, kw_only=True):
    """With `compare`, `previous`: the same of the other time, and `change`: by what part of that it
    has become more, null where that was 0. Where a row has several numbers, by their names."""

    previous: Measured = msgspec.UNSET
    change: Measured = msgspec.UNSET


AnyRow = TypeVar("AnyRow", bound=msgspec.Struct)
NOTHING: Mapping[str, str] = {}


def grouped_rows(
    kind: type[AnyRow], rows: Iterable[Row], titles: Mapping[str, str] = NOTHING
) -> list[AnyRow]:
    """Rows of the store as they go out, with their columns in the order in which they came: that of
    `group_by`. `titles`: names of columns in the answer, where those of the store are others."""
    return [_in_order(kind, _titled(row, titles))(**_absent_is_null(row, titles)) for row in rows]


def _absent_is_null(row: Row, titles: Mapping[str, str]) -> Row:
    return {
        name: None if value == "" and (name in MAY_BE_ABSENT or name in titles) else value
        for name, value in row.items()
    }


@lru_cache(1000)
def _in_order(kind: type[AnyRow], names: tuple[tuple[str, str], ...]) -> type[AnyRow]:
    """The same struct, or one like it with these fields, and their titles, in this order."""
    given = [name for name, _ in names]
    if [name for name in kind.__struct_fields__ if name in given] == given:
        return kind
    fields: Mapping[str, Any] = {field.name: field for field in msgspec.structs.fields(kind)}
    made = msgspec.defstruct(
        kind.__name__,
        [
            (n, fields[n].type, msgspec.field(name=fields[n].encode_name))
            if n in fields
            else (n, Any, msgspec.field(name=title))
            for n, title in names
        ],
        kw_only=True,
    )
    return cast(type[AnyRow], made)


def as_row(row: msgspec.Struct) -> Row:
    """A row that goes out as its columns, by their names in the answer."""
    fields = msgspec.structs.fields(row)
    every = {each.encode_name: getattr(row, each.name) for each in fields}
    return {name: value for name, value in every.items() if value is not msgspec.UNSET}


def of_columns(kind: type[AnyRow], rows: Sequence[Row]) -> list[AnyRow]:
    """The other way round."""
    known = {each.encode_name: each.name for each in msgspec.structs.fields(kind)}
    titles = {f"column_{n}": name for n, name in enumerate(_names(rows)) if name not in known}
    renamed = {**known, **{title: name for name, title in titles.items()}}
    shown = ({renamed[name]: value for name, value in row.items()} for row in rows)
    return [_in_order(kind, _titled(row, titles))(**row) for row in shown]


def _names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _titled(row: Row, titles: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, titles.get(name, "")) for name in row)
