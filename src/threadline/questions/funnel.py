"""`GET /v1/funnel`: how far do people get, in this order, within this time?"""

from collections.abc import Sequence
from math import isnan
from typing import Annotated, Any, NamedTuple

import msgspec

from threadline.questions.answers import Grouped, Measured
from threadline.questions.compare import compared
from threadline.questions.compared_rows import ComparedRows
from threadline.questions.context import Context
from threadline.questions.filters import Filtered
from threadline.questions.funnel_groups import (
    FunnelGrouping,
    FunnelGroups,
    funnel_groups,
    grouped_by,
)
from threadline.questions.funnel_slips import slips
from threadline.questions.funnel_steps import FunnelStep, read_steps
from threadline.questions.funnel_walk import Order, Walk, walk
from threadline.questions.parameters import (
    MAX_LIMIT,
    CompareText,
    Duration,
    Limit,
    between,
    read_duration_s,
)
from threadline.questions.per_account import Per
from threadline.questions.warned import Limited, cut_off, noted
from threadline.store import Row


class FunnelAsked(Filtered, kw_only=True):
    """`from` and `to` speak of the steps."""

    steps: Annotated[
        str,
        msgspec.Meta(
            description="Events in order, separated by commas: `$pageview,signup,purchase`; one "
            "may come again. With conditions as in `filters`: `$pageview{path=^/docs/*}`, "
            "`purchase{plan=pro;amount>=10}`. One of several: `signup|trial_started`. Optional: "
            "`signup?`. A goal: `goal:NAME`. Of a name, `,` is `\\,`, and so are `|`, `{`, `}`, "
            "`\\` and a `?` at the end.",
            extra_json_schema={"pattern": r"^[^,]+(,[^,]+)+$"},
        ),
    ]
    window: Annotated[
        Duration, msgspec.Meta(description="From the first step to the last: 30m, 12h, 7d, 4w.")
    ] = "7d"
    order: Annotated[
        Order,
        msgspec.Meta(
            description="`sequence`: in this order, whatever else happens in between; `strict`: "
            "and nothing else does; `any`: in whatever order, and step 2 is what comes second."
        ),
    ] = "sequence"
    exclude: (
        Annotated[
            str,
            msgspec.Meta(
                min_length=1,
                description="Events that, between steps, start the funnel over: as steps are "
                "written, separated by commas.",
            ),
        ]
        | None
    ) = None
    group_by: FunnelGroups = ""
    per: Per = "person"


class FunnelParams(FunnelAsked, kw_only=True):
    """`from` and `to` speak of the steps."""

    percentiles: Annotated[
        bool, msgspec.Meta(description="Adds p25, p75 and p90 of all times, and the whole time.")
    ] = False
    compare: CompareText | None = None
    limit: Annotated[Limit, msgspec.Meta(description="Groups in the answer.")] = 100


class StepResult(msgspec.Struct):
    """`share`: of those at the first step. Times are from the step before that nobody may leave
    out. With `order=any`, `step` says how many steps were done. With `compare`, `previous`: the
    same numbers of the other time, and `change`: by what part each has become more."""

    step: str
    persons: int
    share: float
    median_seconds: float | None
    p25_seconds: float | msgspec.UnsetType | None = msgspec.UNSET
    p75_seconds: float | msgspec.UnsetType | None = msgspec.UNSET
    p90_seconds: float | msgspec.UnsetType | None = msgspec.UNSET
    optional: bool | msgspec.UnsetType = msgspec.UNSET
    previous: Measured = msgspec.UNSET
    change: Measured = msgspec.UNSET


class WholeTime(msgspec.Struct):
    """From the first step to the last that nobody may leave out, of those who did it."""

    median_seconds: float | None
    p25_seconds: float | None
    p75_seconds: float | None
    p90_seconds: float | None


class FunnelRow(Grouped, kw_only=True):
    """One group's steps. `total` comes with `percentiles`."""

    steps: list[StepResult]
    total: WholeTime | msgspec.UnsetType = msgspec.UNSET


class Funnel(Limited):
    """Rows: the group's columns and its steps; most persons first. A person counts where they got
    furthest first. `other` comes with `truncated`: the steps of all groups that are not here, with
    no times."""

    stitch: str
    window_seconds: int
    rows: list[FunnelRow]
    other: FunnelRow | msgspec.UnsetType = msgspec.UNSET


MEDIAN = "quantileExactInclusive$each(0.5)($gaps) AS medians_ms"
PERCENTILES = (
    "quantilesExactInclusive$each(0.25, 0.5, 0.75, 0.9)($gaps) AS quantiles_ms,\n"
    "quantilesExactInclusiveIf(0.25, 0.5, 0.75, 0.9)(times[-1] - times[1], $complete) AS whole_ms"
)
COUNTS = """
$starts
)
SELECT $groups
    sumForEach($persons) AS persons,
    $times
FROM $walks AS w
$joins
WHERE notEmpty(times)
$group_by
ORDER BY persons[1] DESC, $order
$limit"""


class FunnelAsk(NamedTuple):
    """A funnel as it was understood. `values`: what its statements bind."""

    steps: list[FunnelStep]
    excluded: list[FunnelStep]
    walk: Walk
    grouping: FunnelGrouping
    values: dict[str, object]
    others: list[str]

    def text(self, step: int, order: Order) -> str:
        """How an answer calls a step."""
        return f"{step} of {len(self.steps)}" if order == "any" else self.steps[step - 1].text


def understood(context: Context, params: FunnelAsked) -> FunnelAsk:
    """Raises `InvalidParams`, `InvalidGroupBy`."""
    steps = read_steps(params.steps, context.names)
    excluded = []
    if params.exclude is not None:
        excluded = read_steps(params.exclude, context.names, "exclude", least=1)
    values: dict[str, object] = {"window_ms": read_duration_s(params.window) * 1000}
    others = between(params, values)
    filters = context.narrowing.events
    chosen = walk(steps, excluded, params.order, context.names, filters, others, values)
    grouping = funnel_groups(context, params.group_by, values)
    return FunnelAsk(steps, excluded, chosen, grouping, values, others)


# What is compared of each step.
OF_STEP = (
    *("persons", "share", "median_seconds"),
    *("p25_seconds", "p75_seconds", "p90_seconds"),
)


def _nothing(context: Context, params: FunnelParams, row: Row) -> Row:
    """The same steps, to which nobody came."""
    return {"steps": [_nobodys(step) for step in row["steps"]]}


def _nobodys(step: StepResult) -> StepResult:
    times = [name for name in QUANTILES if getattr(step, name) is not msgspec.UNSET]
    empty: dict[str, Any] = {"persons": 0, "share": 0.0, **dict.fromkeys(times)}
    return msgspec.structs.replace(step, **empty)


@compared(ComparedRows(FunnelRow, OF_STEP, also=("total",), parts="steps", nothing=_nothing))
def ask(context: Context, params: FunnelParams) -> Funnel:
    """Persons who reached each step, all within the window after their first.

    Steps at the same time count in the order of the funnel. Raises `InvalidParams`,
    `InvalidGroupBy`.
    """
    asked = understood(context, params)
    names = asked.grouping.names
    found = _counted(context, params, asked, asked.grouping)
    if not found and not names:
        found = [{"persons": [0] * len(asked.steps)}]
    kept = found[: params.limit] if names else found
    rows = [{**asked.grouping.row(row), **_row(asked, params, row)} for row in kept]
    reached = [any(row["persons"][nth] for row in found) for nth in range(len(asked.steps))]
    nobodys = [step for step, some in zip(asked.steps, reached, strict=True) if not some]
    warnings = slips(context, asked.steps, asked.excluded, nobodys, asked.values, asked.others)
    answer = Funnel(
        context.resolution.policy,
        read_duration_s(params.window),
        grouped_by(FunnelRow, names, rows),
    )
    if len(kept) < len(found):
        answer.truncated = True
        answer.other = _other(context, params, asked, kept)
        warnings.append(cut_off(params.limit, MAX_LIMIT))
    answer.warnings = noted(warnings)
    return answer


def _counted(
    context: Context, params: FunnelParams, asked: FunnelAsk, grouping: FunnelGrouping
) -> list[Row]:
    aliases = grouping.aliases
    chosen = asked.walk.divided if context.is_divided and not aliases else asked.walk
    limit = f"LIMIT {params.limit + 1}" if aliases else ""
    slots = {
        **chosen.slots,
        **grouping.slots(chosen.first),
        "groups": grouping.selected,
        "persons": chosen.persons,
        "times": _times(chosen, params.percentiles),
        "joins": grouping.joins,
        "group_by": f"GROUP BY {', '.join(aliases)}" if aliases else "HAVING notEmpty(persons)",
        "order": ", ".join(aliases) or "1",
        "limit": limit,
    }
    return context.ask(f"{chosen.sql}{COUNTS}", asked.values, slots, grouping.visits(asked.values))


def _times(chosen: Walk, percentiles: bool) -> str:
    each = "ArrayForEach" if chosen.has_reached else "ForEach"
    last = max(n for n, step in enumerate(chosen.steps, start=1) if not step.optional)
    return (
        (PERCENTILES if percentiles else MEDIAN)
        .replace("$each", each)
        .replace("$gaps", chosen.gaps)
        .replace("$complete", chosen.did(last))
    )


def _row(asked: FunnelAsk, params: FunnelParams, row: Row) -> Row:
    persons = row["persons"]
    gaps: list[list[float]] = row.get("quantiles_ms") or [[ms] for ms in row.get("medians_ms", [])]
    times = [[], *gaps, *[[] for _ in persons]]
    steps = [
        _step(asked, params, nth, count, persons[0], times[nth])
        for nth, count in enumerate(persons)
    ]
    if not params.percentiles:
        return {"steps": steps}
    return {"steps": steps, "total": WholeTime(**_seconds(row.get("whole_ms", []), True))}


def _step(
    asked: FunnelAsk, params: FunnelParams, nth: int, count: int, first: int, times: list[float]
) -> StepResult:
    wanted = asked.steps[nth]
    return StepResult(
        step=asked.text(nth + 1, params.order),
        persons=count,
        share=count / first if first else 0.0,
        optional=wanted.optional or msgspec.UNSET,
        **_seconds(times, params.percentiles),
    )


# As they come out of the store, or only the median.
QUANTILES = ("p25_seconds", "median_seconds", "p75_seconds", "p90_seconds")


def _seconds(quantiles_ms: Sequence[float], percentiles: bool) -> dict[str, Any]:
    """By name; null where nobody took any time."""
    names = QUANTILES if percentiles else ("median_seconds",)
    seconds = [None if isnan(ms) else ms / 1000 for ms in quantiles_ms]
    return dict(zip(names, seconds or [None] * len(names), strict=True))


def _other(context: Context, params: FunnelParams, asked: FunnelAsk, kept: list[Row]) -> FunnelRow:
    """Of everybody, less those that are here."""
    everybody = _counted(context, params, asked, FunnelGrouping(()))
    persons = [
        sum(row["persons"][nth] for row in everybody) - sum(row["persons"][nth] for row in kept)
        for nth in range(len(asked.steps))
    ]
    return FunnelRow(**_row(asked, params, {"persons": persons}))
