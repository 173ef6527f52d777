"""Answers interval by interval: hours, days, weeks and months by the clocks of a time zone."""

from collections.abc import Iterable
from typing import Annotated, Literal, NamedTuple

import msgspec

from threadline.contract.times import format_utc, utc_ms
from threadline.questions.answers import MAX_LIMIT, Limit, Ranged, absent_is_null
from threadline.questions.warned import AnswerWarning, cut_off
from threadline.store import Row

Interval = Annotated[
    Literal["hour", "day", "week", "month"],
    msgspec.Meta(description="Weeks begin on Monday. By the clocks of `tz`."),
]


class OverTime(Ranged, kw_only=True):
    """What every question takes that can be asked interval by interval."""

    interval: Interval | None = None
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
    """The columns to group by: `groups`, and before them, if asked for, `bucket`, the start of the
    interval around `at`."""
    return {"bucket": bucket(params.interval, at), **groups} if params.interval else groups


def newest_first(columns: Iterable[str], *then: str) -> str:
    """The order of rows that `newest_kept` takes: by interval, where there is one, and `then`."""
    return ", ".join([*(f"{name} DESC" for name in columns if name == "bucket"), *then])


class Kept(NamedTuple):
    """The rows of an answer, and what there is to say if there were more."""

    rows: list[Row]
    truncated: bool | msgspec.UnsetType
    warnings: list[AnswerWarning]


def newest_kept(rows: list[Row], limit: int) -> Kept:
    """At most `limit` rows as they go out; those of a series in order of time, and the newest.

    `rows`: one more than `limit`, if there are so many, as ordered by `newest_first`.
    """
    kept, more = [absent_is_null(row) for row in rows[:limit]], len(rows) > limit
    warning = cut_off(limit, MAX_LIMIT)
    if kept and "bucket" in kept[0]:
        kept.sort(key=lambda row: utc_ms(row["bucket"]))
        kept = [_with_start(row) for row in kept]
        warning.message = (
            f"Only the newest {limit} rows are here; what was before {kept[0]['bucket']} is left "
            f"out, and perhaps some of that interval. limit may be up to {MAX_LIMIT}; or choose a "
            "later from, or a longer interval."
        )
    return Kept(kept, True, [warning]) if more else Kept(kept, msgspec.UNSET, [])


def _with_start(row: Row) -> Row:
    """The start of the interval as `bucket`, and as `time`, which is how it was called before."""
    start = format_utc(row["bucket"])
    return {"bucket": start, "time": start, **{k: v for k, v in row.items() if k != "bucket"}}
