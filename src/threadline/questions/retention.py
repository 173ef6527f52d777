"""`GET /v1/retention`: of those who began together, how many came back, and when?"""

from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec

from threadline.contract.times import format_utc, parse_ms, utc_ms
from threadline.questions.answers import Measured, grouped_rows
from threadline.questions.cohorts import COHORTS, IS_BACK, Cohorts, CohortsRequest, begun, read
from threadline.questions.compare import compared
from threadline.questions.compared_rows import ComparedRows
from threadline.questions.context import Context
from threadline.questions.dimensions import Scope
from threadline.questions.parameters import CompareText, any_dimension
from threadline.questions.per_account import Per
from threadline.questions.scoped import read_dimensions
from threadline.questions.warned import AnswerWarning, Limited, noted, unknown_events
from threadline.store import Row

MAX_LIMIT = 500
SCOPES: tuple[Scope, ...] = ("event", "person")


class RetentionParams(Cohorts, kw_only=True):
    """`from` and `to` choose cohorts by when people began."""

    periods: Annotated[
        int, msgspec.Meta(ge=1, le=60, description="For how many intervals to follow each cohort.")
    ] = 8
    group_by: Annotated[
        str, any_dimension(of="Of the event that people began with, or of themselves: ")
    ] = ""
    compare: CompareText | None = None
    limit: Annotated[
        int,
        msgspec.Meta(
            ge=1, le=MAX_LIMIT, description="At most this many groups, those with the most people."
        ),
    ] = 50
    per: Per = "person"


class Cohort(msgspec.Struct):
    """`retained[k]`: persons with such an event in the k-th interval after the one they began in
    (`mode=unbounded`: or in any later one); k = 0 is that interval itself. It ends with the
    interval that is now, or was at `as_of`. With `compare`, `previous`: persons and retained of
    the cohort that began as many intervals into the other time, and `change`: by what part each
    number has become more."""

    cohort: str
    persons: int
    retained: list[int]
    previous: Measured = msgspec.UNSET
    change: Measured = msgspec.UNSET


class Retention(Limited, kw_only=True):
    """Cohorts from the earliest on, and of each the groups of most people first. A person is in
    exactly one row. `other`: cohorts of the people in groups that `limit` left out."""

    stitch: str
    interval: str
    rows: list[Cohort]
    other: list[Cohort] | msgspec.UnsetType = msgspec.UNSET


SQL = f"""{COHORTS}
SELECT cohort, $persons AS persons,
    sumForEach(arrayMap(k -> $each($is_back), range({{periods:UInt16}}))) AS retained
FROM cohorts
GROUP BY cohort
ORDER BY cohort"""

# What a row of `cohorts` counts for: somebody, or some people.
ONE = {"persons": "count()", "each": "toUInt64"}
SOME = {"persons": "sum(people)", "each": "people * "}
# The groups of most people, and all others as one.
GROUPED = f"""{COHORTS}, largest AS (
    SELECT $groups
    FROM cohorts
    GROUP BY $groups
    ORDER BY count() DESC, $groups
    LIMIT $limit
), kept AS (
    SELECT cohort, periods, ($groups) IN (SELECT $groups FROM largest) AS is_kept, $named
    FROM cohorts
)
SELECT cohort, is_kept, $names, count() AS persons,
    sumForEach(arrayMap(k -> toUInt64($is_back), range({{periods:UInt16}}))) AS retained
FROM kept
GROUP BY cohort, is_kept, $names
ORDER BY cohort, is_kept DESC, persons DESC, $names"""


def _nothing(context: Context, params: RetentionParams, row: Row) -> Row:
    """Nobody, in as many intervals as have been."""
    many = begun(params, context.now_ms, parse_ms(row["cohort"]))
    return {"persons": 0, "retained": [0] * min(many, len(row["retained"]))}


@compared(
    ComparedRows(
        Cohort,
        ("persons", "retained"),
        nothing=_nothing,
        began="cohort",
        groups_are_limited=True,
    ),
    most=MAX_LIMIT,
)
def ask(context: Context, params: RetentionParams) -> Retention:
    """Calendar cohorts: who began in an interval, and of them who came back in each later one.
    Raises `InvalidGroupBy`, `InvalidParams`."""
    groups = read_dimensions(params.group_by, (), SCOPES)
    titles = {f"name_{nth}": name for nth, name in enumerate(groups, start=1)}
    divided = context.is_divided and not groups
    asked = read(context, params, groups, divided)
    values = {**asked.values, "periods": params.periods}
    is_back = IS_BACK[params.mode].substitute(k="k")
    slots = {**asked.slots, "is_back": is_back, **_groups(groups, params.limit)}
    slots |= SOME if divided else ONE
    found = context.ask(GROUPED if groups else SQL, values, slots)
    answer = Retention(
        stitch=context.resolution.policy,
        interval=params.interval,
        rows=grouped_rows(Cohort, _cohorts(context, params, found, [*titles]), titles),
    )
    warnings = _unknown(context, asked, answer)
    if others := [row for row in found if not row.get("is_kept", True)]:
        answer.truncated = True
        answer.other = grouped_rows(Cohort, _cohorts(context, params, others, (), is_kept=False))
        one = params.limit == 1
        shown = "group of most people is" if one else f"{params.limit} groups of most people are"
        message = (
            f"Only the {shown} here; the people of all others are in other. limit may be up to "
            f"{MAX_LIMIT}."
        )
        warnings.append(AnswerWarning("truncated", "limit", message))
    answer.warnings = noted(warnings)
    return answer


def _groups(groups: Sequence[str], limit: int) -> dict[str, object]:
    numbers = range(1, len(groups) + 1)
    return {
        "groups": ", ".join(f"group_{n}" for n in numbers),
        "named": ", ".join(
            f"if(is_kept, group_{n}, defaultValueOfArgumentType(group_{n})) AS name_{n}"
            for n in numbers
        ),
        "names": ", ".join(f"name_{n}" for n in numbers),
        "limit": limit,
    }


def _cohorts(
    context: Context,
    params: Cohorts,
    found: Sequence[Row],
    names: Sequence[str],
    is_kept: bool = True,
) -> Iterator[Row]:
    for row in found:
        if row.get("is_kept", True) == is_kept:
            yield {
                **{name: row[name] for name in names},
                "cohort": format_utc(row["cohort"]),
                "persons": row["persons"],
                # What has not been yet is not shown as nobody.
                "retained": row["retained"][: begun(params, context.now_ms, utc_ms(row["cohort"]))],
            }


def _unknown(context: Context, asked: CohortsRequest, answer: Retention) -> list[AnswerWarning]:
    names: dict[str, list[str | None]] = {}
    if not answer.rows and asked.begins:
        names["cohort"] = [asked.begins.event]
    if asked.returns and not any(sum(row.retained) for row in answer.rows):
        names["event"] = [asked.returns.event]
    return unknown_events(context, names)
