"""`GET /v1/attribution`: which touches are credited with the conversions that followed them?"""

from typing import Annotated, Any, Literal

import msgspec

from threadline.identity.compose import fill, where
from threadline.identity.resolution import FROM, TO
from threadline.identity.visits import Wanted
from threadline.questions import amounts
from threadline.questions.amounts import Amounts, Doubts, Totals
from threadline.questions.answers import Compared, Group, Measured, grouped_rows
from threadline.questions.compare import compared
from threadline.questions.compared_rows import Rows
from threadline.questions.context import Context
from threadline.questions.credit import (
    CREDITED,
    LookbackDays,
    Model,
    ModelsText,
    credit_slots,
    lookback_ms,
    read_models,
)
from threadline.questions.filters import NONE, Filtered, plain, refused, split
from threadline.questions.named_events import (
    EventText,
    NamedEvent,
    amounts_of,
    read_event,
    several_currencies,
)
from threadline.questions.parameters import CompareText, any_dimension, between
from threadline.questions.per_account import Per
from threadline.questions.scoped import join_facts, person_sql, read_dimensions
from threadline.questions.touched import OF_EVENTS
from threadline.questions.traffic_sources import GROUPS, OUTSIDE
from threadline.questions.warned import (
    AnswerWarning,
    Limited,
    cut_off,
    noted,
    unknown_events,
    unknown_property,
)
from threadline.store import Row

MAX_LIMIT = 1000
OWN_GROUPS = (*GROUPS, *OF_EVENTS)


class AttributionParams(Filtered, kw_only=True):
    """`from` and `to` speak of the time of conversion."""

    conversion: EventText
    model: ModelsText = "last_non_direct"
    group_by: Annotated[
        str,
        any_dimension(*OWN_GROUPS, of="Of the touch, or of the person: "),
    ] = "source,medium"
    group: (
        Annotated[
            str,
            msgspec.Meta(
                description="Only rows of this group: a value for each of the first names in "
                "`group_by`, by commas; `(none)`: absent. With user_id as the last name, they are "
                "the people behind one row."
            ),
        ]
        | None
    ) = None
    lookback_days: LookbackDays | None = None
    value_property: (
        Annotated[
            str, msgspec.Meta(min_length=1, description="A number in the properties: revenue.")
        ]
        | None
    ) = None
    currency_property: amounts.CurrencyProperty | None = None
    currency: amounts.Currency | None = None
    compare: CompareText | None = None
    order: Annotated[
        Literal[
            "-conversions",
            "conversions",
            "-persons",
            "persons",
            "-value",
            "value",
            "-influenced",
            "influenced",
            "-touches",
            "touches",
        ],
        msgspec.Meta(description="Of rows; `-`: descending."),
    ] = "-conversions"
    limit: (
        Annotated[
            int, msgspec.Meta(ge=1, le=MAX_LIMIT, description="Rows, first of the order. Else all.")
        ]
        | None
    ) = None
    per: Per = "person"


class Credit(msgspec.Struct):
    """What one model gives to a group, or to all: conversions (whole or in parts), persons with any
    credit there, and with `value_property` the value."""

    conversions: float
    persons: int
    value: amounts.Value | msgspec.UnsetType = msgspec.UNSET


class Lag(msgspec.Struct):
    """Seconds from a touch to the conversion: quantiles over all such touches."""

    p25: float
    p50: float
    p75: float
    p90: float


class AttributionTotal(msgspec.Struct, kw_only=True):
    """`outside_window`: conversions whose touches were all longer ago than `lookback_days`. The
    rest as in rows."""

    conversions: int
    persons: int
    value: amounts.Value | msgspec.UnsetType = msgspec.UNSET
    outside_window: int
    influenced: int
    touches: int
    lag_seconds: Lag | None
    models: dict[str, Credit] | msgspec.UnsetType = msgspec.UNSET
    previous: Measured = msgspec.UNSET
    change: Measured = msgspec.UNSET


class AttributionRow(Compared, kw_only=True):
    """What is credited to one group, by the first of the models. `value` comes with
    `value_property`.

    Whatever the model, of the last `lookback_days` (30 if not given) before a conversion:
    `influenced`, the persons with any touch there; `touches`, how many there were; `lag_seconds`,
    how long before, null where there were none.
    `models`: what each model gives, if more than one was asked for."""

    landing_path: Group = msgspec.UNSET
    first_country: Group = msgspec.UNSET
    conversions: float
    persons: int
    value: amounts.Value | msgspec.UnsetType = msgspec.UNSET
    influenced: int
    touches: int
    lag_seconds: Lag | None
    models: dict[str, Credit] | msgspec.UnsetType = msgspec.UNSET


class AttributionOther(msgspec.Struct):
    """What the rows that `limit` left out sum to. Persons may be in several rows, and have no
    sum."""

    conversions: float
    touches: int
    value: amounts.Value | msgspec.UnsetType = msgspec.UNSET


class Attribution(Limited, kw_only=True):
    """Rows, of groups with any credit: the group's columns, conversions (whole or in parts),
    persons with any credit there, and value, by the first of the models; `models` has each of
    several. `conversions` and `value` of the rows sum to the total; persons do not, because one may
    be in several rows. `skipped` comes with `value_property`: how many conversions have the
    property, but no number there; they count as worth nothing."""

    conversion: str
    model: str
    stitch: str
    rows: list[AttributionRow]
    total: AttributionTotal
    skipped: int | msgspec.UnsetType = msgspec.UNSET
    unconverted: amounts.Unconverted = msgspec.UNSET
    other: AttributionOther | msgspec.UnsetType = msgspec.UNSET


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
    Rows(AttributionRow, MEASURES, also=("lag_seconds",), nothing=_nothing),
    most=MAX_LIMIT,
    whole={"total": (*MEASURES, "outside_window")},
)
def ask(context: Context, params: AttributionParams) -> Attribution:
    """Credit for every conversion, spread over the person's touches before it by each model.

    A conversion without any touch goes to direct; one whose touches all are longer ago than
    `lookback_days` goes to `outside_window`. Raises `InvalidGroupBy`, `InvalidParams`.
    """
    groups = read_dimensions(params.group_by, OWN_GROUPS, ("person",))
    models = read_models(params.model)
    values: dict[str, object] = {"lookback_ms": lookback_ms(params.lookback_days)}
    conversion = read_event(context, params.conversion, "conversion", values)
    asked = amounts_of(conversion, params)
    if params.order.endswith("value") and asked is None:
        raise refused("order", "the order by value goes with value_property")
    values |= asked.values if asked else {}
    converting = [conversion.condition, *between(params, values)]
    conversions = where([*converting, *context.narrowing.events])
    names = _names(groups)
    slots = {"conversions": conversions, **_slots(context, params, names, models, asked)}
    if params.group is not None:
        slots["group_by"] = f"{slots['group_by']}\nHAVING {_of_group(names, params.group, values)}"
    besides = context.resolution.slots
    if context.per_account:
        # Whoever of an account it was.
        besides = {**besides, "person_hash": "1"}
        slots["joined"] = str(slots["joined"]).replace("l.of_person = c.person", "l.of_person = 1")
    slots["besides"] = fill(str(slots["besides"]), besides)
    found = context.ask(SQL, values, slots, visits=_visits(params, models))
    (total,) = (row for row in found if row["is_total"])
    doubts, totals = Doubts(), [[Totals({})] for _ in found]
    if asked:
        doubts = [Doubts.of(row) for row in found][found.index(total)]
        totals = _value(asked, found, models)
    left = totals[found.index(total)]
    for row, of_row in zip(found, totals, strict=True):
        row["totals"] = of_row
    rows = [row for row in found if _is_credited(row, models) and (row is not total or not groups)]
    rows = _ordered(rows, params.order)
    kept = rows[: params.limit]
    titles = {name: group for name, group in names.items() if name != group}
    answer = Attribution(
        conversion=params.conversion,
        model=",".join(models),
        stitch=context.resolution.policy,
        rows=grouped_rows(
            AttributionRow,
            ({**{name: row[name] for name in names}, **_shared(row, models)} for row in kept),
            titles,
        ),
        total=_total(total, models),
    )
    warnings: list[AnswerWarning] = []
    if len(kept) < len(rows):
        answer.truncated = True
        answer.other = _other(asked, left[0], kept, rows[len(kept) :])
        warnings.append(cut_off(len(kept), MAX_LIMIT))
    if asked:
        answer.skipped = doubts.skipped
        answer.unconverted = amounts.unconverted(asked, left[:1])
        warnings += amounts.warnings(asked, doubts, answer.unconverted)
        warnings += several_currencies(params.order, asked, left[:1])
    warnings += _why_nothing(context, conversion, asked, values, answer, left[0])
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


def _ordered(rows: list[Row], order: str) -> list[Row]:
    """As they come, those of most conversions first; else by another column, of the first model."""
    if order == "-conversions":
        return rows
    name = order.removeprefix("-")
    column = name if name in ("influenced", "touches") else f"{name}_1"

    def size(row: Row) -> float:
        found = row[column]
        return sum(found.values()) if isinstance(found, dict) else found

    return sorted(rows, key=size, reverse=order.startswith("-"))


def _other(
    asked: Amounts | None, total: Totals, kept: list[Row], others: list[Row]
) -> AttributionOther:
    other = AttributionOther(
        sum(row["conversions_1"] for row in others), sum(row["touches"] for row in others)
    )
    if asked:
        other.value = amounts.rest(asked, total, [row["totals"][0] for row in kept])
    return other


def _is_credited(row: Row, models: list[Model]) -> bool:
    """Whether any of the models gives it anything."""
    return any(row[f"conversions_{n}"] > 0 for n in range(1, len(models) + 1))


def _visits(params: AttributionParams, models: list[Model]) -> Wanted:
    """As far back as touches may count."""
    ever = "first_touch" in models and params.lookback_days is None
    since = f"{FROM} - toIntervalMillisecond({{lookback_ms:Int64}})"
    return Wanted(
        ("arrivals",),
        since if params.from_ is not None and not ever else "",
        TO if params.to is not None else "",
        running=True,
        of_others=True,
    )


def _slots(
    context: Context,
    params: AttributionParams,
    names: dict[str, str],
    models: list[Model],
    asked: Amounts | None,
) -> dict[str, object]:
    numbers = range(1, len(models) + 1)
    joined = [OF_EVENTS[name] for name in names if name in OF_EVENTS]
    columns = {n: OF_EVENTS[n].column if n in OF_EVENTS else f"n.{n}" for n in names}
    of_persons = {
        name: person_sql(group, context.facts)
        for name, group in names.items()
        if group not in OWN_GROUPS
    }
    columns |= {name: sql for name, (_, sql) in of_persons.items()}
    amount = "tupleElement(conversion.2, 'amount')" if asked else ""
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
        **credit_slots(models, params.lookback_days, amount),
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


def _value(asked: Amounts, rows: list[Row], models: list[Model]) -> list[list[Totals]]:
    """What each model gives, as `value_1`, `value_2`, … of the rows; all rows of all models show it
    alike. And the sums that it is made of."""
    totals = [[Totals.of(row, f"_{n}") for n in range(1, len(models) + 1)] for row in rows]
    values = iter(amounts.as_values(asked, [each for of_row in totals for each in of_row]))
    for row in rows:
        row |= {f"value_{n}": next(values) for n in range(1, len(models) + 1)}
    return totals


def _credit(row: Row, number: int) -> Credit:
    value = row.get(f"value_{number}", msgspec.UNSET)
    return Credit(row[f"conversions_{number}"], row[f"persons_{number}"], value)


def _shared(row: Row, models: list[Model]) -> dict[str, Any]:
    """What rows and total share."""
    credits = {model: _credit(row, n) for n, model in enumerate(models, start=1)}
    first = credits[models[0]]
    return {
        "conversions": first.conversions,
        "persons": first.persons,
        "value": first.value,
        "influenced": row["influenced"],
        "touches": row["touches"],
        "lag_seconds": Lag(*row["lags"]) if row["touches"] else None,
        "models": credits if len(models) > 1 else msgspec.UNSET,
    }


def _total(row: Row, models: list[Model]) -> AttributionTotal:
    # Put together again from its parts: a whole number but for the last bits.
    whole = {"conversions": round(row["conversions_1"]), "outside_window": round(row["outside"])}
    return AttributionTotal(**{**_shared(row, models), **whole})


def _why_nothing(
    context: Context,
    conversion: NamedEvent,
    asked: Amounts | None,
    values: dict[str, object],
    answer: Attribution,
    total: Totals,
) -> list[AnswerWarning]:
    """No such event ever came, or it never had such a property."""
    if not answer.rows:
        return unknown_events(context, {"conversion": [conversion.event]})
    if asked is None or not total.is_empty:
        return []
    name = asked.name
    return unknown_property(context, "value_property", name, [conversion.condition], values)
