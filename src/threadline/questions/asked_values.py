"""Values that filters and steps ask for, and which was meant by one that never came.

They are looked for only where an answer came out empty, so a question that finds something costs no
more.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from threadline.classify.channels import NAMES as CHANNELS
from threadline.identity.resolution import PROJECT, USERS
from threadline.questions.context import Context
from threadline.questions.dimensions import DIMENSIONS, SOURCE_PARTS, key_of
from threadline.questions.filters import Condition, number
from threadline.questions.named_values import of_events, values_by_frequency
from threadline.questions.near import did_you_mean
from threadline.questions.warned import AnswerWarning, nobody_came, sources_that_came

# To guess from.
MOST = 1000
# Those of which values can be listed, but for names of events, which are said as such.
LISTED = {
    name for name, each in DIMENSIONS.items() if each.scope == "event" and each.kind == "text"
} - {"event", "event_name"}

KNOWN_USERS = f"SELECT DISTINCT user_id FROM user_touches WHERE {PROJECT} AND {USERS}"

AskedValue = tuple[str, Condition]


class _Came(NamedTuple):
    """Values that came, the most frequent first. `is_all`: there are no others."""

    values: Sequence[str]
    is_all: bool = True


def is_empty(answer: Any) -> bool:
    """Whether there is nothing in its rows but names and zeros."""
    return not any(_counts(msgspec.to_builtins(row)) for row in getattr(answer, "rows", [True]))


def _counts(found: Any) -> bool:
    if isinstance(found, dict):
        return any(map(_counts, found.values()))
    if isinstance(found, list):
        return any(map(_counts, found))
    return not isinstance(found, str) and bool(found)


def unknown_values(context: Context, asked: Iterable[AskedValue]) -> list[AnswerWarning]:
    """A warning for each value, with the parameter it stands in, that its dimension never had."""
    found: list[AnswerWarning] = []
    known: dict[str, _Came] = {}
    for parameter, condition in dict.fromkeys(asked):
        if condition.operator == "==" and condition.dimension == "user_id":
            found += _unknown_users(context, parameter, condition.values)
        of = of_events(condition.dimension)
        if condition.operator != "==" or not (of in LISTED or key_of(of)):
            continue
        if of not in known:
            known[of] = _came(context, of)
        values = (value for value in condition.values if value)
        found += _never_came(parameter, condition.dimension, values, known[of])
    return found


def _unknown_users(
    context: Context, parameter: str, values: Sequence[str]
) -> Iterator[AnswerWarning]:
    asked = [value for value in values if value]
    bound = {"project_id": context.project_id, "user_ids": asked}
    known = {row["user_id"] for row in context.reading.query(KNOWN_USERS, bound)} if asked else ()
    for value in asked:
        if value not in known:
            message = (
                f"No event that is stored carries the user_id {value!r}; ids count as written."
            )
            yield AnswerWarning("unknown_value", parameter, message)


def _came(context: Context, of: str) -> _Came:
    if of in SOURCE_PARTS:
        there = sources_that_came(context)[of]
        return _Came([*CHANNELS, *there] if of == "channel" else there)
    # Of crawlers, too: what came from them alone is no slip.
    listed = values_by_frequency(context, of, None, "", True, MOST)
    is_all = listed.share == 1 and len(listed.rows) < MOST
    return _Came([row.value for row in listed.rows], is_all)


def _never_came(
    parameter: str, dimension: str, values: Iterator[str], came: _Came
) -> Iterator[AnswerWarning]:
    of = of_events(dimension)
    for value in values:
        if _is_there(value, came.values):
            continue
        if of in SOURCE_PARTS:
            yield AnswerWarning("unknown_source", parameter, nobody_came(of, value, came.values))
        elif came.values and (hint := did_you_mean(value, came.values) or _others(came)):
            message = f"No event that was looked at has the {of} {value!r}; {hint}"
            yield AnswerWarning("unknown_value", parameter, message)


def _is_there(value: str, came: Collection[str]) -> bool:
    """Numbers are the same however they are written, as in comparisons."""
    wanted = number(value)
    return value in came or (wanted is not None and wanted in map(number, came))


def _others(came: _Came) -> str:
    """Where not all were looked at, one that is like no other may be there yet."""
    return f"there are {', '.join(map(repr, came.values[:5]))}." if came.is_all else ""
