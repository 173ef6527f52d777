"""`GET /v1/attribution`: which touches are credited with the conversions that followed them?"""

from typing import Any, NamedTuple

from threadline.identity.compose import fill, where
from threadline.identity.resolution import FROM, TO
from threadline.identity.visits import Wanted
from threadline.questions import amounts
from threadline.questions.amounts import Amounts, Doubts, Totals
from threadline.questions.answers import grouped_rows
from threadline.questions.attribution_rows import (
    add_values,
    is_credited,
    ordered,
    other_of,
    shared,
    total_of,
)
from threadline.questions.attribution_shapes import (
    MAX_LIMIT,
    OWN_GROUPS,
    Attribution,
    AttributionParams,
    AttributionRow,
    Credit,
)
from threadline.questions.compare import compared
from threadline.questions.compared_rows import ComparedRows
from threadline.questions.context import Context
from threadline.questions.credit import CREDITED, Model, credit_slots, lookback_ms, read_models
from threadline.questions.filters import NONE, plain, refused, split
from threadline.questions.named_events import NamedEvent, amounts_of, read_event, several_currencies
from threadline.questions.parameters import between
from threadline.questions.scoped import join_facts, person_sql, read_dimensions
from threadline.questions.touched import OF_EVENTS
from threadline.questions.traffic_sources import OUTSIDE
from threadline.questions.warned import (
    AnswerWarning,
    cut_off,
    noted,
    unknown_events,
    unknown_property,
)
from threadline.store import Row

# Parts of conversions come in another order each time, and the last bits of their sum with it.
DIGITS = 9

SQL = f"""
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp$money
    FROM counted_events AS e
    $conversions
), converted AS (
    SELECT person, groupArray(tuple(toUnixTimestamp64Milli(timestamp)$kept)) AS conversions
    FROM person_events
    GROUP BY person{CREDITED}
), credits AS (
    SELECT person, at, share.1 AS touch, touch.2 AS traffic_source,
        touch.3 != 0 AND nth > length(credited) - n AS is_touch$shares
    FROM weighed
    ARRAY JOIN arrayZip(credited$zipped) AS share, arrayEnumerate(credited) AS nth
)$besides
SELECT $groups$is_total AS is_total,
    $models,
    uniqExactIf(c.person, is_touch) AS influenced, countIf(is_touch) AS touches,
    quantilesExactInclusiveIf(0.25, 0.5, 0.75, 0.9)((c.at - c.touch.1) / 1000, is_touch) AS lags,
    round(sumIf(s1, c.traffic_source = {OUTSIDE}), {DIGITS}) AS outside$doubts
FROM credits AS c
LEFT ANY JOIN named_sources AS n ON n.traffic_source = c.traffic_source
$joined
$group_by
ORDER BY conversions_1 DESC, $order"""
# What there is of a conversion where its amount matters; `$n`: of each model.
MONEY = f""", conversion.2 AS money, {amounts.CURRENCY} AS currency,
        toDate32(fromUnixTimestamp64Milli(at, 'UTC')) AS day,
        share.2 * money.skipped AS skipped, share.2 * money.rounded AS rounded,
        share.2 * money.counted * {amounts.MISCODED} AS miscoded"""
DOUBTS = """,
    sum(c.skipped) AS skipped, sum(c.rounded) AS rounded, sum(c.miscoded) AS miscoded"""


MEASURES = ("conversions", "persons", "value", "influenced", "touches", "models")


def _nothing(context: Context, params: AttributionParams, row: Row) -> Row:
    """No credit, of as many models."""
    value: dict[str, Any] = {}
    if "value" in row:
        value["value"] = {} if isinstance(row["value"], dict) else 0
    empty: Row = {"conversions": 0, "persons": 0, **value, "influenced": 0, "touches": 0}
    models = {"models": {name: Credit(0, 0, **value) for name in row.get("models", {})}}
    return {**empty, "lag_seconds": None, **(models if "models" in row else {})}


@compared(
    ComparedRows(AttributionRow, MEASURES, also=("lag_seconds",), nothing=_nothing),
    most=MAX_LIMIT,
    whole={"total": (*MEASURES, "outside_window")},
)
def ask(context: Context, params: AttributionParams) -> Attribution:
    """Credit for every conversion, spread over the person's touches before it by each model.

    A conversion without any touch goes to direct; one whose touches all are longer ago than
    `lookback_days` goes to `outside_window`. Raises `InvalidGroupBy`, `InvalidParams`.
    """
    request = _read(context, params)
    slots = _slots(context, params, request)
    found = context.ask(SQL, request.values, slots, visits=_visits(params, request.models))
    return _answer(context, params, request, found)


class CreditRequest(NamedTuple):
    """What is asked. `names`: of each column what it is grouped by."""

    models: list[Model]
    names: dict[str, str]
    conversion: NamedEvent
    amounts: Amounts | None
    values: dict[str, object]


def _read(context: Context, params: AttributionParams) -> CreditRequest:
    groups = read_dimensions(params.group_by, OWN_GROUPS, ("person",))
    models = read_models(params.model)
    values: dict[str, object] = {"lookback_ms": lookback_ms(params.lookback_days)}
    conversion = read_event(context, params.conversion, "conversion", values)
    asked = amounts_of(conversion, params)
    if params.order.endswith("value") and asked is None:
        raise refused("order", "the order by value goes with value_property")
    values |= asked.values if asked else {}
    return CreditRequest(models, _names(groups), conversion, asked, values)


def _answer(
    context: Context, params: AttributionParams, request: CreditRequest, found: list[Row]
) -> Attribution:
    asked, models, names = request.amounts, request.models, request.names
    (total,) = (row for row in found if row["is_total"])
    totals = add_values(asked, found, models) if asked else [[Totals({})] for _ in found]
    left = totals[found.index(total)]
    for row, of_row in zip(found, totals, strict=True):
        row["totals"] = of_row
    rows = [row for row in found if is_credited(row, models) and (row is not total or not names)]
    rows = ordered(rows, params.order)
    kept = rows[: params.limit]
    titles = {name: group for name, group in names.items() if name != group}
    answer = Attribution(
        conversion=params.conversion,
        model=",".join(models),
        stitch=context.resolution.policy,
        rows=grouped_rows(
            AttributionRow,
            ({**{name: row[name] for name in names}, **shared(row, models)} for row in kept),
            titles,
        ),
        total=total_of(total, models),
    )
    warnings: list[AnswerWarning] = []
    if len(kept) < len(rows):
        answer.truncated = True
        answer.other = other_of(asked, left[0], kept, rows[len(kept) :])
        warnings.append(cut_off(len(kept), MAX_LIMIT))
    if asked:
        doubts = Doubts.of(total)
        answer.skipped = doubts.skipped
        answer.unconverted = amounts.unconverted(asked, left[:1])
        warnings += amounts.warnings(asked, doubts, answer.unconverted)
        warnings += several_currencies(params.order, asked, left[:1])
    warnings += _why_nothing(context, request, answer, left[0])
    answer.warnings = noted(warnings)
    return answer


def _names(groups: list[str]) -> dict[str, str]:
    """Of each column what it is grouped by. What this question has itself is called by its name."""
    return {
        group if group in OWN_GROUPS else f"group_{nth}": group
        for nth, group in enumerate(groups, start=1)
    }


def _of_group(names: dict[str, str], text: str, values: dict[str, object]) -> str:
    """SQL: a row is of this group, or the total. Raises `InvalidParams`."""
    given = list(split(text, ","))
    if len(given) > len(names):
        raise refused("group", f"write at most {len(names)} values; a comma in one is \\,")
    for nth, value in enumerate(given, start=1):
        values[f"of_group_{nth}"] = "" if value.strip() == NONE else plain(value)
    held = [f"toString({name}) = {{of_group_{n}:String}}" for n, name in enumerate(names, start=1)]
    return f"is_total OR ({' AND '.join(held[: len(given)])})"


def _visits(params: AttributionParams, models: list[Model]) -> Wanted:
    """As far back as touches may count."""
    ever = "first_touch" in models and params.lookback_days is None
    since = f"{FROM} - toIntervalMillisecond({{lookback_ms:Int64}})"
    return Wanted(
        ("arrivals",),
        since if params.from_ is not None and not ever else "",
        TO if params.to is not None else "",
        running=True,
        of_everybody=True,
    )


def _slots(
    context: Context, params: AttributionParams, request: CreditRequest
) -> dict[str, object]:
    names, values = request.names, request.values
    slots = _columns(context, request)
    converting = [request.conversion.condition, *between(params, values)]
    slots["conversions"] = where([*converting, *context.narrowing.events])
    if params.group is not None:
        slots["group_by"] = f"{slots['group_by']}\nHAVING {_of_group(names, params.group, values)}"
    besides = context.resolution.slots
    if context.per_account:
        # Whoever of an account it was.
        besides = {**besides, "person_hash": "1"}
        slots["joined"] = slots["joined"].replace("l.of_person = c.person", "l.of_person = 1")
    slots["besides"] = fill(slots["besides"], besides)
    amount = "tupleElement(conversion.2, 'amount')" if request.amounts else ""
    return {**slots, **credit_slots(request.models, params.lookback_days, amount)}


def _columns(context: Context, request: CreditRequest) -> dict[str, str]:
    models, names, asked = request.models, request.names, request.amounts
    numbers = range(1, len(models) + 1)
    joined = [OF_EVENTS[name] for name in names if name in OF_EVENTS]
    columns = {n: OF_EVENTS[n].column if n in OF_EVENTS else f"n.{n}" for n in names}
    of_persons = {
        name: person_sql(group, context.facts)
        for name, group in names.items()
        if group not in OWN_GROUPS
    }
    columns |= {name: sql for name, (_, sql) in of_persons.items()}
    shares = [f"share.{n + 1} AS s{n}" for n in numbers]
    counted = [
        f"round(sum(s{n}), {DIGITS}) AS conversions_{n},"
        f" uniqExactIf(c.person, s{n} > 0) AS persons_{n}"
        for n in numbers
    ]
    joins = [each.join for each in joined]
    joins += join_facts([*dict.fromkeys(relation for relation, _ in of_persons.values())], "c")
    if asked:
        shares += [f"share.{n + 1 + len(models)} AS amount_{n}" for n in numbers]
        shares += [f"s{n} * conversion.2.counted AS counted_{n}" for n in numbers]
        counted += [amounts.sums(asked, "c", f"_{n}") for n in numbers]
        joins.append(amounts.join_rates(asked, "c"))
    return {
        "money": f",\n{amounts.read(asked)} AS money" if asked else "",
        "kept": ", money" if asked else "",
        "zipped": "".join(f", {kind}{n}" for kind in ("wa" if asked else "w") for n in numbers),
        "shares": "".join(f", {share}" for share in shares) + (MONEY if asked else ""),
        "models": ",\n".join(counted),
        "doubts": DOUBTS if asked else "",
        "besides": "".join(each.relation for each in joined),
        "joined": "\n".join(joins),
        "groups": "".join(f"{column} AS {name}, " for name, column in columns.items()),
        "is_total": f"grouping({next(iter(names))})" if names else "1",
        "group_by": f"GROUP BY GROUPING SETS (({', '.join(names)}), ())" if names else "",
        "order": ", ".join(names) or "1",
    }


def _why_nothing(
    context: Context, request: CreditRequest, answer: Attribution, total: Totals
) -> list[AnswerWarning]:
    """No such event ever came, or it never had such a property."""
    conversion, asked = request.conversion, request.amounts
    if not answer.rows:
        return unknown_events(context, {"conversion": [conversion.event]})
    if asked is None or not total.is_empty:
        return []
    name = asked.name
    return unknown_property(context, "value_property", name, [conversion.condition], request.values)
