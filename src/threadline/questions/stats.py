"""`GET /v1/stats`: how many, by what, over time."""

from collections.abc import Mapping

import msgspec

from threadline.questions import amounts
from threadline.questions.answers import grouped_rows
from threadline.questions.compare import compared
from threadline.questions.compared_rows import ComparedRows
from threadline.questions.context import Context
from threadline.questions.converting import Converting, converting, named_events
from threadline.questions.filters import refused
from threadline.questions.finished import COUNT, counting
from threadline.questions.named_events import CURRENCY_PROPERTY, NamedEvent, read_event
from threadline.questions.parameters import between
from threadline.questions.scoped import (
    ALL_GROUPS,
    Scope,
    Scoped,
    read_dimensions,
    scoped,
)
from threadline.questions.series import KeptRows, kept, noted_in, over_time
from threadline.questions.stats_figures import figured
from threadline.questions.stats_metrics import (
    METRICS,
    SUMMABLE,
    check_per,
    empty_value,
    figures,
    is_figure,
)
from threadline.questions.stats_rows import looked_at_by
from threadline.questions.stats_shapes import Stats, StatsParams, StatsRow
from threadline.questions.stats_sum import ordered, summed
from threadline.questions.warned import (
    AnswerWarning,
    bots_left_out,
    noted,
    unknown_events,
    unknown_property,
)
from threadline.store import Row

SQL = f"""
WITH considered AS (
    $considered
)$converting$finished{COUNT}
ORDER BY $order
LIMIT $limit"""


def _nothing(context: Context, params: StatsParams, row: Row) -> Row:
    return {"value": empty_value(params)}


@compared(ComparedRows(StatsRow, ("value",), nothing=_nothing))
def ask(context: Context, params: StatsParams) -> Stats:
    """One value for every group and interval. Raises `InvalidGroupBy`, `InvalidParams`."""
    check_per(params)
    asked = params
    plain: Scope = "visit" if params.metric == "persons" else "event"
    groups = read_dimensions(params.group_by, ALL_GROUPS, ("event", "visit", "person"))
    by = scoped(groups, plain, context.facts)
    by = by._replace(own=over_time(params, "e.timestamp", by.own))
    values: dict[str, object] = {"tz": params.tz, **by.values}
    conditions = [*between(params, values), *context.narrowing.events]
    if params.event is not None:
        event = read_event(context, params.event, "event", values)
        conditions.append(event.condition)
        params = msgspec.structs.replace(params, **_worth(event, params))
    if (params.metric == "conversion_rate") != (params.conversion is not None):
        raise refused("conversion", "goes with metric=conversion_rate, and that needs it")
    if params.metric == "sum" or is_figure(params):
        answer = _of_property(context, params, by, values, conditions)
    else:
        answer = _count(context, params, by, values, conditions)
        if asked.property is not None:
            answer.warnings = noted([*(answer.warnings or []), _unused_property(params)])
    if by.source_scope:
        answer.source_scope = by.source_scope
    answer.annotations = noted_in(context, params, answer.rows)
    return answer


def _unused_property(params: StatsParams) -> AnswerWarning:
    message = (
        f"metric={params.metric} looks at no property; for one choose sum, avg, median, min, max, "
        "p90 or per_person."
    )
    return AnswerWarning("unused_parameter", "property", message)


def _worth(event: NamedEvent, params: StatsParams) -> dict[str, object]:
    """What a goal says of its value, where the parameters do not."""
    if event.goal is None:
        return {}
    by_currency = event.goal.currency_property
    takes_goals = by_currency and params.currency_property == CURRENCY_PROPERTY
    return {
        "property": params.property or event.goal.value_property or None,
        "currency_property": by_currency if takes_goals else params.currency_property,
    }


def _kept(context: Context, params: StatsParams, by: Scoped, rows: list[Row]) -> KeptRows:
    groups = [name for name in by.names if name != "bucket"]
    return kept(context, params, rows, groups, {"value": empty_value(params)})


def _count(
    context: Context,
    params: StatsParams,
    by: Scoped,
    values: dict[str, object],
    conditions: list[str],
) -> Stats:
    amounts.refuse_currency(params.currency, "metric=sum")
    rows = _rows(context, params, by, values, conditions)
    found = _kept(context, params, by, rows)
    warnings = found.warnings
    if not any(row["value"] for row in rows):
        warnings += _why_nothing(context, params, conditions, values)
    answer = Stats(
        params.metric,
        grouped_rows(StatsRow, found.rows, by.titles),
        truncated=found.truncated,
        warnings=noted(warnings),
    )
    if found.is_cut and params.kind is None and params.metric in SUMMABLE:
        every = _rows(context, params, NO_GROUPS, values, conditions)
        answer.other = every[0]["value"] - sum(row["value"] for row in found.rows)
    return answer


def _of_property(
    context: Context,
    params: StatsParams,
    by: Scoped,
    values: dict[str, object],
    conditions: list[str],
) -> Stats:
    asked = amounts.asked("property", _property(params), params.currency_property, params.currency)
    given = (asked, by, conditions, values, params.most, params.order)
    if params.metric == "sum":
        found = summed(context, *given)
    else:
        found = figured(context, params.metric, *given)
    for nth, row in enumerate(found.rows):
        row["nth"] = nth
    taken = _kept(context, params, by, found.rows)
    if any(isinstance(row["value"], dict) for row in found.rows):
        _as_currencies(taken.rows)
    shown = [nth for row in taken.rows if (nth := row.pop("nth", None)) is not None]
    totals = [found.totals[nth] for nth in shown]
    doubts = amounts.Doubts.together(found.doubts[nth] for nth in shown)
    left = amounts.unconverted(asked, totals)
    warnings = taken.warnings + amounts.warnings(asked, doubts, left)
    if all(_is_nothing(params, *each) for each in zip(found.rows, found.totals, strict=True)):
        warnings += _why_nothing(context, params, conditions, values)
    answer = Stats(
        params.metric,
        grouped_rows(StatsRow, taken.rows, by.titles),
        skipped=doubts.skipped,
        unconverted=left,
        truncated=taken.truncated,
        warnings=noted(warnings),
    )
    if taken.is_cut and params.kind is None and params.metric in SUMMABLE:
        every = summed(context, asked, NO_GROUPS, conditions, values, 1)
        answer.other = amounts.rest(asked, every.totals[0], totals)
    return answer


def _is_nothing(params: StatsParams, row: Row, totals: amounts.Totals) -> bool:
    """There was no amount at all."""
    return totals.is_empty and (params.metric == "sum" or row["value"] in (None, {}))


def _as_currencies(rows: list[Row]) -> None:
    """Intervals without an amount say so as the others do."""
    for row in rows:
        if not isinstance(row["value"], dict):
            row["value"] = {}


def _property(params: StatsParams) -> str:
    if params.property is None:
        raise refused("property", f"required with metric={params.metric}")
    return params.property


NO_GROUPS = scoped([], "event")


def _rows(
    context: Context,
    params: StatsParams,
    by: Scoped,
    values: dict[str, object],
    conditions: list[str],
) -> list[Row]:
    metric = METRICS[params.metric]
    by = by.with_visits() if metric.of_visits else by
    groups = [*by.own, *by.joined]
    divided = context.is_divided and not by.of_persons
    converts = _converting(context, params, values)
    looked_at, by, also = looked_at_by(context, params, by, values, conditions, divided)
    slots: dict[str, object] = {
        "converting": converts.relations,
        "order": ordered(by, "value", params.order if groups else ""),
        "limit": params.most + 1,
        **looked_at,
    }
    slots |= counting(
        divided,
        groups,
        by.selected,
        f"{metric.value} AS value",
        figures(params.exact, converts.condition),
        f"{slots['relation']} AS p\n{slots['joins']}".strip(),
    )
    return context.ask(SQL, {**values, **converts.values}, slots, by.visits(values, also))


def _converting(context: Context, params: StatsParams, values: Mapping[str, object]) -> Converting:
    if params.conversion is None:
        return Converting()
    within = between(params, dict(values))
    return converting(context, params.conversion, within, params.kind)


def _why_nothing(
    context: Context, params: StatsParams, conditions: list[str], values: dict[str, object]
) -> list[AnswerWarning]:
    """No such event ever came, or those that did are left out."""
    asked = {
        "event": named_events(context, params.event, "event"),
        "conversion": named_events(context, params.conversion, "conversion"),
    }
    unknown = unknown_events(context, asked)
    if not unknown and params.property and (params.metric == "sum" or is_figure(params)):
        unknown = unknown_property(context, "property", params.property, conditions, values)
    if unknown or context.bots:
        return unknown
    every = {**context.resolution.params, **context.narrowing.values, **values}
    return bots_left_out(context.reading, [*context.resolution.received, *conditions], every)
