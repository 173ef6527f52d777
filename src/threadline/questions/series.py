"""Answers interval by interval: one row for each, and with groups one for each of these, to the
newest. What nothing happened in is there with zeros; what has not begun yet is not."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from threadline.contract.definitions import Annotation
from threadline.contract.times import format_ms, parse_ms, utc_ms
from threadline.questions.answers import Compared
from threadline.questions.context import Context
from threadline.questions.filters import Filtered, refused
from threadline.questions.intervals import (
    Interval,
    Kind,
    WeekStart,
    before,
    bucket,
    differ,
    kind_of,
    nth,
    start,
)
from threadline.questions.ordering import Order, refuse_nothing_to_order
from threadline.questions.parameters import MAX_LIMIT, CompareText
from threadline.questions.warned import AnswerWarning, Limited, cut_off
from threadline.store import Row

LIMIT = 100

__all__ = [
    "Interval",
    "OverTime",
    "Series",
    "Timed",
    "bucket",
    "differ",
    "kept",
    "newest_first",
    "noted_in",
    "over_time",
]


class OverTime(Filtered, kw_only=True):
    """What every question takes that can be asked interval by interval."""

    interval: Interval | None = None
    week_start: WeekStart = "monday"
    compare: CompareText | None = None
    order: Order = ""
    limit: (
        Annotated[
            int,
            msgspec.Meta(
                ge=1,
                le=MAX_LIMIT,
                description=f"Rows in one answer. Default: {LIMIT}, with an interval {MAX_LIMIT}.",
            ),
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.week_start != "monday" and self.interval != "week":
            raise refused("week_start", "goes with interval=week; add that, or leave it out")
        # Groups differ from question to question, so each has the field itself.
        refuse_nothing_to_order(self.order, getattr(self, "group_by", ""), bool(self.interval))

    @property
    def most(self) -> int:
        """How many rows there may be. A series is as long as its time, so it gets more."""
        return self.limit or (MAX_LIMIT if self.interval else LIMIT)

    @property
    def kind(self) -> Kind | None:
        """The interval, and of weeks where they begin."""
        return kind_of(self.interval, self.week_start) if self.interval else None


def over_time(params: OverTime, at: str, groups: dict[str, str]) -> dict[str, str]:
    """The columns to group by: `groups`, and before them, if asked for, `bucket`, the start of the
    interval around `at`."""
    return {"bucket": bucket(params.kind, at), **groups} if params.kind else groups


def newest_first(columns: Iterable[str], *then: str) -> str:
    """The order of rows that `kept` takes: by interval, where there is one, and `then`."""
    return ", ".join([*(f"{name} DESC" for name in columns if name == "bucket"), *then])


class Timed(Compared, kw_only=True):
    """A row that may be one interval's. `bucket`: its start; `time`: the same, and deprecated.
    `partial`: true where the interval is not over, or `from` or `to` lies within it."""

    bucket: str | msgspec.UnsetType = msgspec.UNSET
    time: str | msgspec.UnsetType = msgspec.UNSET
    partial: bool | msgspec.UnsetType = msgspec.UNSET


class Series(Limited, kw_only=True):
    """`annotations`: the project's dated notes of the time of the rows. They come with an
    `interval`, where there are any."""

    annotations: list[Annotation] | msgspec.UnsetType = msgspec.UNSET


def noted_in(
    context: Context, params: OverTime, rows: Sequence[Timed]
) -> list[Annotation] | msgspec.UnsetType:
    """The annotations of a series: from its first interval, or `from` within that, to `to`, or
    now."""
    # Without an interval rows have no start.
    if params.kind is None or not rows:
        return msgspec.UNSET
    starts = [parse_ms(row.bucket) for row in rows if isinstance(row.bucket, str)]
    since = max(min(starts), params.from_.ms if params.from_ else 0)
    until = params.to.ms if params.to else context.now_ms + 1
    return context.annotations(since, until, params.tz) or msgspec.UNSET


class KeptRows(NamedTuple):
    """The rows of an answer, and what there is to say if there were more."""

    rows: list[Row]
    is_cut: bool
    warnings: list[AnswerWarning]

    @property
    def truncated(self) -> bool | msgspec.UnsetType:
        return self.is_cut or msgspec.UNSET


def kept(
    context: Context,
    params: OverTime,
    rows: list[Row],
    groups: Sequence[str],
    empty: Mapping[str, object],
) -> KeptRows:
    """At most `limit` rows; those of a series in order of time, every interval, and the newest.

    `rows`: one more than `limit`, if there are so many, as ordered by `newest_first`. `groups`: the
    columns beside `bucket` that rows are grouped by. `empty`: the others of a row that stands for
    nothing.
    """
    if params.kind is None:
        is_cut = len(rows) > params.most
        warnings = [cut_off(params.most, MAX_LIMIT)] if is_cut else []
        return KeptRows(rows[: params.most], is_cut, warnings)
    found = _Series(params, params.kind, context.now_ms, groups, empty)
    return found.of(rows)


class _Series:
    """One answer's intervals, from the newest back."""

    def __init__(
        self,
        params: OverTime,
        kind: Kind,
        now_ms: int,
        groups: Sequence[str],
        empty: Mapping[str, object],
    ) -> None:
        self._params, self._kind, self._groups, self._empty = params, kind, groups, empty
        self._zone = ZoneInfo(params.tz)
        self._running = self._start(now_ms)
        self._last = self._start(min(params.to.ms - 1, now_ms) if params.to else now_ms)
        self._parts = {self._running, *self._cut_by_ends()}

    def _start(self, at_ms: int) -> int:
        return start(self._kind, at_ms, self._zone)

    def of(self, rows: Sequence[Row]) -> KeptRows:
        limit = self._params.most
        data: dict[int, list[Row]] = {}
        for row in rows:
            data.setdefault(utc_ms(row["bucket"]), []).append(row)
        ahead = sum(len(data.pop(at)) for at in [*data] if at > self._last)
        # Of the oldest interval something may be missing.
        oldest = min(data) if data and len(rows) > limit else None
        shown: list[int] = []
        groups: dict[tuple[object, ...], None] = {}
        is_cut = False
        for at in self._starts(data):
            wider = groups | dict.fromkeys(self._key(row) for row in data.get(at, ()))
            if at == oldest or (len(shown) + 1) * max(1, len(wider)) > limit:
                is_cut = True
                break
            shown, groups = [*shown, at], wider
        if is_cut and self._groups:
            return self._without_zeros(data, ahead)
        kept_rows = [row for at in reversed(shown) for row in self._interval(at, data, groups)]
        warnings = [self._cut(shown[-1])] if is_cut else []
        return KeptRows(self._in_order(kept_rows), is_cut, warnings + _ahead(ahead))

    def _without_zeros(self, data: Mapping[int, list[Row]], ahead: int) -> KeptRows:
        """Of groups for whose zeros there is no room: what there is, the newest."""
        limit = self._params.most
        newest = [(at, row) for at in sorted(data, reverse=True) for row in data[at]]
        taken = newest[:limit]
        rows = [self._shown(at, row) for at, row in taken]
        rows.sort(key=lambda row: str(row["bucket"]))
        is_cut = len(newest) > limit
        warnings = [self._cut(taken[-1][0])] if is_cut else []
        warnings.append(_no_zeros(limit))
        return KeptRows(self._in_order(rows), is_cut, warnings + _ahead(ahead))

    def _in_order(self, rows: list[Row]) -> list[Row]:
        if self._params.order == "-bucket":
            rows.sort(key=lambda row: str(row["bucket"]), reverse=True)
        return rows

    def _starts(self, data: Mapping[int, object]) -> Iterator[int]:
        """Of all intervals, the newest first: to that of `from`, else the first with data."""
        params = self._params
        if params.from_ is None and not data:
            return
        first = min(data) if params.from_ is None else self._start(params.from_.ms)
        left = sorted(data)
        at = self._last
        while at >= first:
            # What the store calls a start, should it not be ours.
            while left and left[-1] > at:
                yield left.pop()
            if left and left[-1] == at:
                left.pop()
            yield at
            at = before(self._kind, at, self._zone)
        yield from reversed(left)

    def _key(self, row: Row) -> tuple[object, ...]:
        return tuple(row[name] for name in self._groups)

    def _interval(
        self, at: int, data: Mapping[int, list[Row]], groups: Mapping[tuple[object, ...], None]
    ) -> Iterator[Row]:
        found = data.get(at, [])
        there = {self._key(row) for row in found}
        for row in found:
            yield self._shown(at, row)
        if not self._groups and not found:
            yield self._shown(at, dict(self._empty))
        for key in groups:
            if self._groups and key not in there:
                yield self._shown(at, {**dict(zip(self._groups, key, strict=True)), **self._empty})

    def _shown(self, at: int, row: Row) -> Row:
        """The start of the interval as `bucket`, and as `time`, which is how it was called
        before."""
        began = format_ms(at)
        rest = {name: value for name, value in row.items() if name != "bucket"}
        partial = {"partial": True} if at in self._parts else {}
        return {"bucket": began, "time": began, **rest, **partial}

    def _cut_by_ends(self) -> Iterator[int]:
        """The intervals within which what was asked for begins or ends."""
        since, until = self._params.from_, self._params.to
        if since is not None and (first := self._start(since.ms)) < since.ms:
            yield first
        if until is not None and until.ms < nth(self._kind, self._last, 1, self._zone):
            yield self._last

    def _cut(self, oldest_ms: int) -> AnswerWarning:
        limit, oldest = self._params.most, format_ms(oldest_ms)
        return AnswerWarning(
            "truncated",
            "limit",
            f"Only the newest rows are here, at most {limit}; what was before {oldest} is left "
            f"out, and perhaps some of that interval. limit may be up to {MAX_LIMIT}; or choose a "
            "later from, or a longer interval.",
        )


def _no_zeros(limit: int) -> AnswerWarning:
    message = (
        "Intervals in which a group had nothing have no row here: with these there would be more "
        f"than {limit}. Choose a later from, a longer interval or a higher limit for all of them."
    )
    return AnswerWarning("zeros_left_out", "limit", message)


def _ahead(rows: int) -> list[AnswerWarning]:
    if not rows:
        return []
    message = (
        "Some events have a time after now, by a clock that is ahead; they are in no interval yet."
    )
    return [AnswerWarning("future_events", "interval", message)]
