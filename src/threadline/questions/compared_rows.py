"""How the rows of two times find each other, and what becomes of each: the numbers that it had in
the other time, and by what part they have become more."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from threadline.contract.times import format_ms, parse_ms
from threadline.questions import intervals
from threadline.questions.amounts import NONE
from threadline.questions.answers import as_row
from threadline.questions.context import Context
from threadline.questions.intervals import Kind
from threadline.store import Row

PREVIOUS, CHANGE = "previous", "change"
# Of a row, what says neither which group it is nor how much.
OF_TIME = ("bucket", "time", "partial")
Key = tuple[object, ...]
A_MOMENT_MS = 1000


class Span(NamedTuple):
    """A time, in milliseconds since 1970."""

    from_ms: int
    to_ms: int


class ComparedRows(NamedTuple):
    """A list of an answer whose rows are compared.

    `kind`: of its rows, whose `measures` are compared; `also`: columns that are not, and no group
    either; `name`: of the list. `parts`: the column that holds a list of what has the measures,
    where the row does not have them itself. `nothing`: the measures where nothing was, of a row
    like the given one. `began`: the column with the start of the interval; one that has no zeros
    of its own. `limit` is of rows; or, `groups_are_limited`, of groups; or of rows of each value of
    the column `limit_each`, by which they are in order.
    """

    kind: type[msgspec.Struct]
    measures: Sequence[str]
    also: Sequence[str] = ()
    name: str = "rows"
    parts: str = ""
    nothing: Callable[[Context, Any, Row], Row] | None = None
    began: str = ""
    groups_are_limited: bool = False
    limit_each: str = ""


class Merging:
    """Rows of the time that was `asked` for beside those of the `other`. `is_cut`, `was_cut`:
    whether either lacks some. `unequal`, `alone`: intervals whose two parts are of other lengths,
    and those of the other time that have none beside them, both by their numbers."""

    def __init__(
        self, context: Context, params: Any, asked: Span, other: Span, is_cut: bool, was_cut: bool
    ) -> None:
        self._context, self._params = context, params
        self._asked, self._other = asked, other
        self._is_cut, self._was_cut = is_cut, was_cut
        self._kind: Kind | None = getattr(params, "kind", None)
        self._zone = ZoneInfo(params.tz)
        self.unequal, self.alone = set[object](), set[object]()
        # By interval, of which there is a row for each group.
        self._is_equal = cache(self._compare)

    def of(
        self, kind: ComparedRows, rows: Sequence[Row], others: Sequence[Row], by: str = ""
    ) -> tuple[list[Row], bool]:
        """The rows, and whether `limit` left some out. `by`: the order, `-` before it:
        descending."""
        then = {self._key(kind, row, self._other.from_ms): row for row in others}
        self.alone |= {index for index, *_ in then if not self._has(self._asked, index)}
        merged = []
        for row in rows:
            key = self._key(kind, row, self._asked.from_ms)
            other = then.get(key)
            if other is None and not self._was_cut and self._has(self._other, key[0]):
                other = self._nothing(kind, row)
            merged.append(_beside(kind, row, other, self._is_equal(key[0])))
        if not self._is_cut:
            merged += self._gone(kind, rows, then)
        if by:
            merged.sort(key=lambda row: _rank(row, by))
        elif self._kind:
            is_reversed = getattr(self._params, "order", "") == "-bucket"
            at = kind.began or "bucket"
            merged.sort(key=lambda row: str(row[at]), reverse=is_reversed)
        kept = self._kept(kind, merged)
        return kept, len(kept) < len(merged)

    def _key(self, kind: ComparedRows, row: Row, from_ms: int) -> Key:
        """The how manieth interval it is, and which group."""
        index = None
        if self._kind:
            first = intervals.start(self._kind, from_ms, self._zone)
            at = parse_ms(str(row[kind.began or "bucket"]))
            index = intervals.between(self._kind, first, at, self._zone)
        return (index, *_frozen(_group(kind, row).items()))

    def _has(self, span: Span, index: object) -> bool:
        """Whether the time has so many intervals."""
        return not isinstance(index, int) or self._start(span, index) < span.to_ms

    def _compare(self, index: object) -> bool:
        """Whether as much of the interval lies in either time: all of it, be it longer, or a part
        of the same length."""
        if not isinstance(index, int):
            return True
        (here, is_whole), (there, was_whole) = (
            self._within(span, index) for span in (self._asked, self._other)
        )
        if (is_whole and was_whole) or abs(here - there) <= A_MOMENT_MS or there <= 0:
            return True
        self.unequal.add(index)
        return False

    def _within(self, span: Span, index: int) -> tuple[int, bool]:
        """How much of the nth interval the time has, by the clocks but for hours, and whether that
        is all."""
        begins, ends = self._start(span, index), self._start(span, index + 1)
        since, until = max(begins, span.from_ms), min(ends, span.to_ms)
        changed = intervals.offset_ms(until, self._zone) - intervals.offset_ms(since, self._zone)
        length = until - since + (changed if self._kind != "hour" else 0)
        return length, (since, until) == (begins, ends)

    def _start(self, span: Span, index: int) -> int:
        assert self._kind
        first = intervals.start(self._kind, span.from_ms, self._zone)
        return intervals.nth(self._kind, first, index, self._zone)

    def _nothing(self, kind: ComparedRows, row: Row) -> Row:
        if kind.nothing:
            return kind.nothing(self._context, self._params, row)
        return {name: 0 for name in (*kind.measures, *kind.also) if name in row}

    def _gone(self, kind: ComparedRows, rows: Sequence[Row], then: Mapping[Key, Row]) -> list[Row]:
        """Rows for groups that only the other time has."""
        keys = {self._key(kind, row, self._asked.from_ms): row for row in rows}
        groups, at = {key[1:] for key in keys}, {key[0]: row for key, row in keys.items()}
        found = []
        for key, other in then.items():
            # Where every interval is there, so are all groups that any has.
            if key in keys if kind.began else key[1:] in groups:
                continue
            of_time = self._of_time(kind, key[0], at)
            if of_time is None:
                continue
            row = {**other, **of_time}
            row = {name: row[name] for name in row if name in of_time or name not in OF_TIME}
            nothing = {**row, **self._nothing(kind, row)}
            found.append(_beside(kind, nothing, other, self._is_equal(key[0])))
        return found

    def _of_time(self, kind: ComparedRows, index: object, at: Mapping[object, Row]) -> Row | None:
        """What a row says of when it was; None where the time that was asked for has no such
        interval."""
        if not isinstance(index, int):
            return {}
        if kind.began:
            start = self._start(self._asked, index)
            return {kind.began: format_ms(start)} if start < self._asked.to_ms else None
        if index not in at:
            return None
        return {name: at[index][name] for name in OF_TIME if name in at[index]}

    def _kept(self, kind: ComparedRows, rows: list[Row]) -> list[Row]:
        limit = getattr(self._params, "limit", None)
        if limit is None:
            return rows
        if kind.groups_are_limited:
            groups = dict.fromkeys(_frozen(_group(kind, row).items()) for row in rows)
            among = set([*groups][:limit])
            return [row for row in rows if _frozen(_group(kind, row).items()) in among]
        if not kind.limit_each:
            return rows[:limit]
        kept, many = [], dict[object, int]()
        for row in sorted(rows, key=lambda row: row[kind.limit_each]):
            each = row[kind.limit_each]
            many[each] = many.get(each, 0) + 1
            if many[each] <= limit:
                kept.append(row)
        return kept


def _group(kind: ComparedRows, row: Row) -> Row:
    apart = (*OF_TIME, kind.began, *kind.measures, *kind.also, kind.parts, PREVIOUS, CHANGE)
    return {name: value for name, value in row.items() if name not in apart}


def _frozen(items: Any) -> Key:
    """What may be a key."""
    return tuple(
        (name, tuple(value) if isinstance(value, list) else value) for name, value in items
    )


def _beside(kind: ComparedRows, row: Row, other: Row | None, is_equal: bool) -> Row:
    """The row with what it was, and by what part it has become more; that is not known where it is
    of another length."""
    if not kind.parts:
        then, changes = numbers(row, other, kind.measures, is_equal)
        return {**row, PREVIOUS: then, CHANGE: changes}
    parts = row[kind.parts]
    earlier = other[kind.parts] if other else [None] * len(parts)
    found = []
    for part, before in zip(parts, earlier, strict=True):
        then, changes = numbers(as_row(part), before and as_row(before), kind.measures, is_equal)
        found.append(msgspec.structs.replace(part, previous=then, change=changes))
    return {**row, kind.parts: found}


def numbers(
    row: Row, other: Row | None, measures: Sequence[str], is_equal: bool = True
) -> tuple[Any, Any]:
    """Of these measures what they were, and their changes; by their names where there may be
    several."""
    now = {name: msgspec.to_builtins(row[name]) for name in measures if name in row}
    before = other or {}
    then = {name: msgspec.to_builtins(before.get(name)) for name in now}
    changes = {name: change(now[name], then[name] if is_equal else None) for name in now}
    if len(measures) == 1:
        (name,) = measures
        return then[name], changes[name]
    return then, changes


def _rank(row: Row, by: str) -> tuple[bool, float]:
    value = row[by.removeprefix("-")]
    if isinstance(value, dict):
        value = max((each for each in value.values() if each is not None), default=None)
    sign = -1 if by.startswith("-") else 1
    return value is None, sign * (value or 0)


def change(now: Any, then: Any) -> Any:
    """By what part it has become more; null where there was nothing, or that is not known. Of
    several numbers, such as amounts in several currencies, for each."""
    if isinstance(now, list):
        known = then if isinstance(then, list) else []
        return [change(each, known[n] if n < len(known) else None) for n, each in enumerate(now)]
    if isinstance(now, dict) or isinstance(then, dict):
        new, old = _by_name(now), _by_name(then)
        return {name: change(new.get(name, 0), old.get(name, 0)) for name in {**new, **old}}
    if not then or now is None:
        return None
    return (now - then) / then


def _by_name(value: Any) -> dict[str, Any]:
    """Amounts by their currencies, that of an amount without one being none."""
    if isinstance(value, dict):
        return value
    return {NONE: value} if value else {}
