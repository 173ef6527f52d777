"""`compare`: one time beside another, each row with what it was then, and by how much it changed.

    @compared(StatsRow, "value")
    def ask(context, params): …

is all that a question needs, if its parameters have `compare`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import wraps
from typing import Any, NamedTuple, TypeVar, cast
from zoneinfo import ZoneInfo

import msgspec

from threadline.contract.times import (
    ALL,
    EPOCH,
    ONE_MS,
    Timestamp,
    at_day,
    day_before,
    format_ms,
    parse_ms,
)
from threadline.questions import intervals
from threadline.questions.amounts import NONE
from threadline.questions.answers import as_row, of_columns
from threadline.questions.context import Context
from threadline.questions.filters import refused
from threadline.questions.intervals import Kind
from threadline.questions.parameters import MAX_LIMIT
from threadline.questions.warned import AnswerWarning, noted
from threadline.store import Row

AnyParams = TypeVar("AnyParams", bound=msgspec.Struct)
AnyAnswer = TypeVar("AnyAnswer")
PREVIOUS, CHANGE = "previous", "change"
# Of a row, what says neither which group it is nor how much.
OF_TIME = ("bucket", "time", "partial")
Key = tuple[object, ...]


class Span(NamedTuple):
    """A time, in milliseconds since 1970."""

    from_ms: int
    to_ms: int


# --- Which time ---


def other_time(params: Any, now_ms: int, kind: Kind | None = None) -> tuple[Span, Span]:
    """The time that was asked for, and the one of `compare`. Raises `InvalidParams`."""
    zone = ZoneInfo(params.tz)
    if params.from_ is None:
        raise refused("compare", "needs a time to begin with; add from, such as from=30d")
    asked = Span(params.from_.ms, params.to.ms if params.to else now_ms)
    if asked.from_ms >= asked.to_ms:
        raise refused("compare", "from lies in the future; there is nothing to compare yet")
    if ".." in params.compare:
        return asked, _given(params.compare, zone, now_ms)
    if params.compare == "previous_year":
        return asked, Span(*(_years_before(each, zone) for each in asked))
    return asked, _before(asked, zone, kind)


def _given(text: str, zone: ZoneInfo, now_ms: int) -> Span:
    first, _, last = text.partition("..")
    try:
        ends = [Timestamp.parse_any(each.strip()) for each in (first, last)]
    except ValueError as error:
        raise refused("compare", str(error)) from None
    if any(end.relative == ALL for end in ends):
        raise refused("compare", "all has no beginning; write two times such as 60d..30d")
    found = Span(*(end.resolved(zone, now_ms).ms for end in ends))
    if found.from_ms >= found.to_ms:
        raise refused("compare", f"in {text!r} the second time has to lie after the first")
    return found


def _clock(at_ms: int, zone: ZoneInfo) -> datetime:
    return (EPOCH + at_ms * ONE_MS).astimezone(zone)


def _years_before(at_ms: int, zone: ZoneInfo) -> int:
    at = _clock(at_ms, zone)
    return max(0, at_day(at, day_before(at.date(), 1, "y")))


def _before(asked: Span, zone: ZoneInfo, kind: Kind | None) -> Span:
    """As long, and just before: by the clocks, but for hours."""
    if kind == "hour":
        return Span(max(0, 2 * asked.from_ms - asked.to_ms), asked.from_ms)
    first, last = (_clock(each, zone).replace(tzinfo=None) for each in asked)
    if kind == "month" and all(intervals.start(kind, each, zone) == each for each in asked):
        months = intervals.between(kind, asked.from_ms, asked.to_ms, zone)
        return Span(max(0, intervals.nth(kind, asked.from_ms, -months, zone)), asked.from_ms)
    since = (first - (last - first)).replace(tzinfo=zone) - EPOCH
    return Span(max(0, since // ONE_MS), asked.from_ms)


# --- Its rows ---


def compared(
    kind: type[msgspec.Struct],
    *measures: str,
    empty: Callable[[Any], object] = lambda params: 0,
    most: int = MAX_LIMIT,
    also: Sequence[str] = (),
) -> Callable[[Callable[[Context, Any], AnyAnswer]], Callable[[Context, Any], AnyAnswer]]:
    """A question with `compare`. `kind`: of its rows, whose `measures` are compared; `empty`: what
    these are where nothing was. `most`: the greatest limit. `also`: columns that are not compared,
    and no group either."""

    def wrap(ask: Callable[[Context, Any], AnyAnswer]) -> Callable[[Context, Any], AnyAnswer]:
        @wraps(ask)
        def both(context: Context, params: Any) -> AnyAnswer:
            if params.compare is None:
                return ask(context, params)
            found = _Both(context, params, measures, empty(params), most, also)
            return cast(AnyAnswer, found.of(kind, ask))

        return both

    return wrap


class _Both:
    """An answer beside another."""

    def __init__(
        self,
        context: Context,
        params: Any,
        measures: Sequence[str],
        empty: object,
        most: int,
        also: Sequence[str],
    ) -> None:
        self._context, self._params = context, params
        self._measures, self._empty, self._most = measures, empty, most
        self._also = also
        self._kind: Kind | None = getattr(params, "kind", None)
        self._zone = ZoneInfo(params.tz)
        self._asked, self._other = other_time(params, context.now_ms, self._kind)
        order = getattr(params, "order", "")
        self._by = order if order.removeprefix("-") in (PREVIOUS, CHANGE) else ""
        if self._by and self._kind:
            raise refused("order", "a series is in order of time; leave out interval, or order")
        if self._by and len(measures) > 1:
            raise refused("order", f"{self._by} is of several numbers here; order by one of them")

    def of(self, kind: type[msgspec.Struct], ask: Callable[[Context, Any], Any]) -> Any:
        asked = self._params
        if self._by:
            asked = msgspec.structs.replace(asked, order="", limit=self._most)
        answer, before = ask(self._context, asked), ask(self._context, self._of_other())
        rows = [as_row(row) for row in answer.rows]
        rows = self._merged(rows, [as_row(row) for row in before.rows], answer, before)
        answer.rows = of_columns(kind, rows)
        answer.previous_from, answer.previous_to = map(format_ms, self._other)
        warnings = [*(answer.warnings or []), *_of_other(before)]
        answer.warnings = noted(warnings)
        return answer

    def _of_other(self) -> Any:
        since, until = map(Timestamp, self._other)
        changes: dict[str, Any] = {"from_": since, "to": until, "compare": None}
        if hasattr(self._params, "limit"):
            changes["limit"] = self._most
        if self._by:
            changes["order"] = ""
        return msgspec.structs.replace(self._params, **changes)

    def _merged(self, rows: list[Row], others: list[Row], answer: Any, before: Any) -> list[Row]:
        then = {self._key(row, self._other.from_ms): row for row in others}
        is_whole = before.truncated is not True if hasattr(before, "truncated") else True
        merged = []
        for row in rows:
            key = self._key(row, self._asked.from_ms)
            other = then.get(key)
            if other is None and is_whole and self._was(key[0]):
                other = self._nothing(row)
            merged.append(self._beside(row, other))
        if getattr(answer, "truncated", None) is not True:
            merged += self._gone(rows, then)
        if self._by:
            merged.sort(key=self._rank)
        elif self._kind:
            is_reversed = getattr(self._params, "order", "") == "-bucket"
            merged.sort(key=lambda row: str(row["bucket"]), reverse=is_reversed)
        limit = getattr(self._params, "limit", None)
        if limit is not None and len(merged) > limit:
            del merged[limit:]
            answer.truncated = True
            message = f"There is more than these {limit} rows, those of the other time included."
            answer.warnings = [
                *(answer.warnings or []),
                AnswerWarning("truncated", "limit", message),
            ]
        return merged

    def _key(self, row: Row, from_ms: int) -> Key:
        """The how manieth interval it is, and which group."""
        index = None
        if self._kind:
            first = intervals.start(self._kind, from_ms, self._zone)
            at = parse_ms(str(row["bucket"]))
            index = intervals.between(self._kind, first, at, self._zone)
        return (index, *self._group(row).items())

    def _group(self, row: Row) -> Row:
        apart = (*OF_TIME, *self._measures, *self._also)
        return {name: value for name, value in row.items() if name not in apart}

    def _was(self, index: object) -> bool:
        """Whether the other time has so many intervals."""
        if not self._kind or not isinstance(index, int):
            return True
        first = intervals.start(self._kind, self._other.from_ms, self._zone)
        return intervals.nth(self._kind, first, index, self._zone) < self._other.to_ms

    def _nothing(self, row: Row) -> Row:
        return {name: self._empty for name in (*self._measures, *self._also) if name in row}

    def _beside(self, row: Row, other: Row | None) -> Row:
        names = [name for name in self._measures if name in row]
        then = {name: None if other is None else other.get(name) for name in names}
        changes = {name: change(row[name], then[name]) for name in names}
        if len(self._measures) == 1:
            (name,) = self._measures
            return {**row, PREVIOUS: then[name], CHANGE: changes[name]}
        return {**row, PREVIOUS: then, CHANGE: changes}

    def _gone(self, rows: Sequence[Row], then: Mapping[Key, Row]) -> list[Row]:
        """Rows for groups that only the other time has."""
        groups = {self._key(row, self._asked.from_ms)[1:] for row in rows}
        at = {self._key(row, self._asked.from_ms)[0]: row for row in rows if self._kind}
        found = []
        for key, other in then.items():
            if key[1:] in groups or (self._kind and key[0] not in at):
                continue
            of_time = {name: at[key[0]][name] for name in OF_TIME if name in at.get(key[0], {})}
            nothing = self._nothing(other)
            found.append(self._beside({**of_time, **self._group(other), **nothing}, other))
        return found

    def _rank(self, row: Row) -> tuple[bool, float]:
        value = row[self._by.removeprefix("-")]
        if isinstance(value, dict):
            value = max((each for each in value.values() if each is not None), default=None)
        sign = -1 if self._by.startswith("-") else 1
        return value is None, sign * (value or 0)


def change(now: Any, then: Any) -> Any:
    """By what part it has become more; null where there was nothing, or that is not known. Of
    amounts in several currencies, for each."""
    if isinstance(now, dict) or isinstance(then, dict):
        new, old = _by_currency(now), _by_currency(then)
        return {code: change(new.get(code, 0), old.get(code, 0)) for code in {**new, **old}}
    if not then or now is None:
        return None
    return (now - then) / then


def _by_currency(value: Any) -> dict[str, float]:
    if isinstance(value, dict):
        return value
    return {NONE: value} if value else {}


def _of_other(before: Any) -> list[AnswerWarning]:
    """What there is to know of the answer about the other time."""
    found = []
    for warning in getattr(before, "warnings", None) or []:
        if warning.code not in ("unknown_event", "unknown_property"):
            message = f"In the time compared with: {warning.message}"
            found.append(AnswerWarning(warning.code, "compare", message))
    return found
