"""`compare`: one time beside another, each row with what it was then, and by how much it changed.

    @compared(Rows(StatsRow, ("value",)))
    def ask(context, params): …

is all that a question needs, if its parameters have `compare`. How rows find each other is in
`compared_rows`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import wraps
from typing import Any, TypeVar, cast
from zoneinfo import ZoneInfo

import msgspec

from threadline.contract.times import (
    ALL,
    DAY_MS,
    EPOCH,
    ONE_MS,
    Timestamp,
    at_day,
    day_before,
    format_ms,
)
from threadline.questions import intervals
from threadline.questions.answers import as_row, of_columns
from threadline.questions.compared_rows import (
    CHANGE,
    PREVIOUS,
    ComparedRows,
    Merging,
    Span,
    numbers,
)
from threadline.questions.context import Context
from threadline.questions.filters import refused
from threadline.questions.intervals import Kind
from threadline.questions.parameters import MAX_LIMIT
from threadline.questions.warned import AnswerWarning, noted

AnyAnswer = TypeVar("AnyAnswer")
# What clocks that are put forward or back make of a length.
CLOCKS_MS = 2 * 3_600_000
NOTHING: Mapping[str, Sequence[str]] = {}


# --- Which time ---


def other_time(params: Any, now_ms: int, kind: Kind | None = None) -> tuple[Span, Span]:
    """The time that was asked for, and the one of `compare`. Raises `InvalidParams`."""
    zone = ZoneInfo(params.tz)
    if params.from_ is None:
        raise refused("compare", "needs a time to begin with; add from, such as from=30d")
    until_ms = params.to.ms if params.to else now_ms
    asked = Span(params.from_.ms, min(until_ms, now_ms))
    if asked.from_ms >= asked.to_ms:
        raise refused("compare", "from lies in the future; there is nothing to compare yet")
    if ".." in params.compare:
        return asked, _given(params.compare, zone, now_ms)
    whole = Span(asked.from_ms, until_ms)
    if params.compare == "previous_year":
        other = Span(*(_years_before(each, zone) for each in whole))
    else:
        other = _before(whole, zone, kind)
    # As far as the one is over, so far the other.
    return asked, other._replace(to_ms=other.to_ms - (until_ms - asked.to_ms))


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


# --- Both answers ---


def compared(
    *lists: ComparedRows, most: int = MAX_LIMIT, whole: Mapping[str, Sequence[str]] = NOTHING
) -> Callable[[Callable[[Context, Any], AnyAnswer]], Callable[[Context, Any], AnyAnswer]]:
    """A question with `compare`. `lists`: those of its answer that are compared. `most`: the
    greatest limit. `whole`: numbers of the answer beside its rows, by the field that they stand in;
    `""`: in itself."""

    def wrap(ask: Callable[[Context, Any], AnyAnswer]) -> Callable[[Context, Any], AnyAnswer]:
        @wraps(ask)
        def both(context: Context, params: Any) -> AnyAnswer:
            if params.compare is None:
                return ask(context, params)
            return cast(AnyAnswer, _Both(context, params, lists, most).of(ask, whole))

        return both

    return wrap


class _Both:
    """An answer beside another."""

    def __init__(
        self, context: Context, params: Any, lists: Sequence[ComparedRows], most: int
    ) -> None:
        self._context, self._params, self._lists, self._most = context, params, lists, most
        kind: Kind | None = getattr(params, "kind", None)
        self._asked, self._other = other_time(params, context.now_ms, kind)
        order = getattr(params, "order", "")
        self._by = order if order.removeprefix("-") in (PREVIOUS, CHANGE) else ""
        if self._by and kind:
            raise refused("order", "a series is in order of time; leave out interval, or order")
        if self._by and len(lists[0].measures) > 1:
            raise refused("order", f"{self._by} is of several numbers here; order by one of them")

    def of(self, ask: Callable[[Context, Any], Any], whole: Mapping[str, Sequence[str]]) -> Any:
        asked = self._params
        if self._by:
            asked = msgspec.structs.replace(asked, order="", limit=self._most)
        answer, before = ask(self._context, asked), ask(self._context, self._of_other())
        warnings = [*(answer.warnings or []), *_of_other(before)]
        is_cut, was_cut = (each.truncated is True for each in (answer, before))
        merging = Merging(self._context, self._params, self._asked, self._other, is_cut, was_cut)
        for each in self._lists:
            rows, others = (
                [as_row(row) for row in getattr(found, each.name)] for found in (answer, before)
            )
            merged, left_out = merging.of(each, rows, others, self._by)
            setattr(answer, each.name, of_columns(each.kind, merged))
            if left_out:
                answer.truncated = True
                warnings.append(_left_out(self._params.limit))
        for name, measures in whole.items():
            now, then = (getattr(each, name) if name else each for each in (answer, before))
            now.previous, now.change = numbers(as_row(now), as_row(then), measures)
        warnings += self._unlike(merging)
        answer.previous_from, answer.previous_to = map(format_ms, self._other)
        answer.warnings = noted(warnings)
        return answer

    def _unlike(self, merging: Merging) -> list[AnswerWarning]:
        """What is beside each other, but of other lengths."""
        found = []
        if self._params.to and self._params.to.ms > self._context.now_ms:
            until = format_ms(self._other.to_ms)
            message = f"The time asked for is not over: it is compared with one until {until}."
            found.append(AnswerWarning("not_over", "compare", message))
        lengths = [each.to_ms - each.from_ms for each in (self._asked, self._other)]
        if ".." in self._params.compare and abs(lengths[0] - lengths[1]) > CLOCKS_MS:
            days = " and ".join(f"{length / DAY_MS:.3g}" for length in lengths)
            message = f"The two times are not of the same length: they have {days} days."
            found.append(AnswerWarning("unequal_times", "compare", message))
        if merging.unequal or merging.alone:
            several = f"{self._params.interval}s"
            alone = f" Of the other time, {len(merging.alone):,} {several} have none beside them."
            message = (
                f"The two times begin or end within {several}, and not at the same place of one: "
                f"{several} of which they have different parts have no change."
                f"{alone if merging.alone else ''} Begin"
                f" and end where a {self._params.interval} does to compare all."
            )
            found.append(AnswerWarning("unequal_intervals", "compare", message))
        return found

    def _of_other(self) -> Any:
        since, until = map(Timestamp, self._other)
        changes: dict[str, Any] = {"from_": since, "to": until, "compare": None}
        if hasattr(self._params, "limit"):
            changes["limit"] = self._most
        if self._by:
            changes["order"] = ""
        return msgspec.structs.replace(self._params, **changes)


def _left_out(limit: int) -> AnswerWarning:
    message = (
        f"With what only the other time had, there is more than limit={limit} leaves room for; "
        "raise it."
    )
    return AnswerWarning("truncated", "limit", message)


def _of_other(before: Any) -> list[AnswerWarning]:
    """What there is to know of the answer about the other time."""
    found = []
    for warning in getattr(before, "warnings", None) or []:
        if not warning.code.startswith("unknown_"):
            message = f"In the time compared with: {warning.message}"
            found.append(AnswerWarning(warning.code, "compare", message))
    return found
