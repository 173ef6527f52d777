"""Answers interval by interval: hours, days, weeks and months by the clocks of a time zone."""

from collections.abc import Iterable
from string import Template
from typing import Annotated, Generic, Literal, NamedTuple, TypeVar

import msgspec

from threadline.contract.times import format_utc, utc_ms
from threadline.questions.answers import Grouped, grouped_rows
from threadline.questions.filters import Filtered
from threadline.questions.parameters import MAX_LIMIT, Limit
from threadline.questions.warned import AnswerWarning, cut_off
from threadline.store import Row

Interval = Annotated[
    Literal["hour", "day", "week", "month"],
    msgspec.Meta(description="Weeks begin on Monday. By the clocks of `tz`."),
]


class OverTime(Filtered, kw_only=True):
    """What every question takes that can be asked interval by interval."""

    interval: Interval | None = None
    limit: Limit = 100


# The start of the interval that an instant falls into, as an instant.
BUCKETS = {
    "hour": "toDateTime(toStartOfHour($at, {tz:String}), {tz:String})",
    "day": "toStartOfDay($at, {tz:String})",
    "week": "toDateTime(toMonday($at, {tz:String}), {tz:String})",
    "month": "toDateTime(toStartOfMonth($at, {tz:String}), {tz:String})",
}


def bucket(interval: str, at: str) -> str:
    """SQL for the start of the interval around `at`, as an instant; binds `tz`."""
    return f"toTimeZone({Template(BUCKETS[interval]).substitute(at=at)}, 'UTC')"


def differ(interval: str) -> str:
    """SQL for whether two timestamps, `began` and `ended`, are in different intervals; binds
    `tz`."""
    return f"({bucket(interval, 'began')} != {bucket(interval, 'ended')})"


def over_time(params: OverTime, at: str, groups: dict[str, str]) -> dict[str, str]:
    """The columns to group by: `groups`, and before them, if asked for, `bucket`, the start of the
    interval around `at`."""
    return {"bucket": bucket(params.interval, at), **groups} if params.interval else groups


def newest_first(columns: Iterable[str], *then: str) -> str:
    """The order of rows that `newest_kept` takes: by interval, where there is one, and `then`."""
    return ", ".join([*(f"{name} DESC" for name in columns if name == "bucket"), *then])


class Timed(Grouped, kw_only=True):
    """A row that may be one interval's. `bucket`: its start; `time`: the same, and deprecated."""

    bucket: str | msgspec.UnsetType = msgspec.UNSET
    time: str | msgspec.UnsetType = msgspec.UNSET


TimedRow = TypeVar("TimedRow", bound=Timed)


class Kept(NamedTuple, Generic[TimedRow]):
    """The rows of an answer, and what there is to say if there were more."""

    rows: list[TimedRow]
    truncated: bool | msgspec.UnsetType
    warnings: list[AnswerWarning]


def newest_kept(kind: type[TimedRow], rows: list[Row], limit: int) -> Kept[TimedRow]:
    """At most `limit` rows as they go out; those of a series in order of time, and the newest.

    `rows`: one more than `limit`, if there are so many, as ordered by `newest_first`.
    """
    kept, more = rows[:limit], len(rows) > limit
    warning = cut_off(limit, MAX_LIMIT)
    if kept and "bucket" in kept[0]:
        kept.sort(key=lambda row: utc_ms(row["bucket"]))
        kept = [_with_start(row) for row in kept]
        warning.message = (
            f"Only the newest {limit} rows are here; what was before {kept[0]['bucket']} is left "
            f"out, and perhaps some of that interval. limit may be up to {MAX_LIMIT}; or choose a "
            "later from, or a longer interval."
        )
    shown = grouped_rows(kind, kept)
    return Kept(shown, True, [warning]) if more else Kept(shown, msgspec.UNSET, [])


def _with_start(row: Row) -> Row:
    """The start of the interval as `bucket`, and as `time`, which is how it was called before."""
    start = format_utc(row["bucket"])
    return {"bucket": start, "time": start, **{k: v for k, v in row.items() if k != "bucket"}}
