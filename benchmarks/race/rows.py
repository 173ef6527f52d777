"""What of Threadline's answers is compared: rows as the SQL of the race has them."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

Row = tuple[Any, ...]
Json = dict[str, Any]


def series(body: bytes) -> list[Row]:
    """Databases have no rows of days on which nothing was."""
    return [(row["bucket"][:10], row["value"]) for row in _rows(body) if row["value"]]


def values(body: bytes) -> list[Row]:
    """The group's columns, if any, and the value."""
    return [tuple(value for value in row.values()) for row in _rows(body)]


def funnel(body: bytes) -> list[Row]:
    (row,) = _rows(body)
    return [tuple(step["persons"] for step in row["steps"])]


def retention(body: bytes) -> list[Row]:
    """A row for each cohort and week in which anybody was there."""
    return [
        (row["cohort"][:10], nth, persons)
        for row in _rows(body)
        for nth, persons in enumerate(row["retained"])
        if persons
    ]


def time_to_conversion(body: bytes) -> list[Row]:
    names = ("source", "medium", "persons", "mean_seconds", "p25", "p50", "p75", "p90", "p99")
    return _columns(body, *names)


def sources(body: bytes) -> list[Row]:
    return _columns(body, "source", "medium", "events", "uniques", "persons", "visits")


def attribution(body: bytes) -> list[Row]:
    names = ("source", "medium", "conversions", "persons", "influenced", "touches")
    return _columns(body, *names)


def visits(body: bytes) -> list[Row]:
    names = ("events_per_visit", "page_views_per_visit", "mean_seconds", "bounce_share")
    return _columns(body, "source", "visits", "persons", *names)


def journey(body: bytes) -> list[Row]:
    return _columns(body, "event_id")


def profile(body: bytes) -> list[Row]:
    """A row for each device."""
    found = msgspec.json.decode(body)
    touch = found["first_touch"]
    said = (_ms(found["known_since"]), touch["event_id"], touch["source"], touch["medium"])
    return [
        (*said, device["anonymous_id"], _ms(device["first_seen"]), _ms(device["last_seen"]))
        for device in found["devices"]
    ]


def users(body: bytes) -> list[Row]:
    return [_user(row) for row in _rows(body)]


def streamed_users(body: bytes) -> list[Row]:
    return [_user(msgspec.json.decode(line)) for line in body.splitlines()]


def _user(row: Json) -> Row:
    touch = row["first_touch"]
    return (row["user_id"], touch["event_id"], touch["source"], touch["medium"])


def _columns(body: bytes, *names: str) -> list[Row]:
    return [tuple(row[name] for name in names) for row in _rows(body)]


def _rows(body: bytes) -> Iterator[Json]:
    yield from msgspec.json.decode(body)["rows"]


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
