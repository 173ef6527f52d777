"""`GET /v1/attribution`: which touches are credited with the conversions that followed them?"""

from typing import Annotated, Any, Literal

import msgspec

from threadline.identity.ground import Ground
from threadline.identity.stitch import Aggregate, per_person
from threadline.questions.answers import Counting, between, conditions, read_groups
from threadline.store import Store

Model = Literal[
    "first_touch", "last_touch", "last_non_direct", "linear", "position_based", "time_decay"
]


class Params(Counting, kw_only=True):
    """`from` and `to` speak of the moment of conversion."""

    conversion: Annotated[
        str, msgspec.Meta(min_length=1, max_length=128, description="Name of the event, as signup.")
    ]
    model: Annotated[
        Model,
        msgspec.Meta(
            description="`last_non_direct`: the last touch that is not direct, else the last; "
            "`position_based`: 40 % to the first and the last, 20 % to those between; "
            "`time_decay`: half as much for every seven days before the conversion."
        ),
    ] = "last_non_direct"
    group_by: Annotated[
        str, msgspec.Meta(description="Of the touch: source, medium, campaign, by commas.")
    ] = "source,medium"
    lookback_days: Annotated[
        int, msgspec.Meta(ge=1, le=730, description="Touches longer ago get no credit.")
    ] = 30
    value_property: (
        Annotated[
            str, msgspec.Meta(min_length=1, description="A number in the properties: revenue.")
        ]
        | None
    ) = None


class Attribution(msgspec.Struct):
    """Rows: the group's columns, conversions (whole or in parts), persons with any credit there,
    and value. `conversions` and `value` of the rows sum to the total; persons do not, because one
    may be in several rows."""

    conversion: str
    model: str
    stitch: str
    rows: list[dict[str, Any]]
    total: dict[str, float]


GROUPS = {"source": "touch.3", "medium": "touch.4", "campaign": "touch.5"}

# A touch is where a session of the person begins: its first event that is not internal.
TOUCH = Aggregate(
    "min",
    "(e.source = 'internal', e.timestamp, e.event_id,"
    " toString(e.source), toString(e.medium), toString(e.campaign))",
)

# The credit of each touch, in order of time; together 1. `n`: how many there are.
WEIGHTS: dict[Model, str] = {
    "first_touch": "arrayMap(i -> toFloat64(i = 1), arrayEnumerate(touches))",
    "last_touch": "arrayMap(i -> toFloat64(i = n), arrayEnumerate(touches))",
    "last_non_direct": """arrayMap(
            i -> toFloat64(i = if(last_other = 0, n, last_other)), arrayEnumerate(touches)
        )""",
    "linear": "arrayMap(t -> 1 / n, touches)",
    "position_based": """arrayMap(
            i -> multiIf(n = 1, 1, n = 2, 0.5, i IN (1, n), 0.4, 0.2 / (n - 2)),
            arrayEnumerate(touches)
        )""",
    "time_decay": "arrayMap(d -> d / arraySum(decayed), decayed)",
}

SQL = """
    SELECT {columns}sum(weight) AS conversions, uniqExact(person) AS persons,
        sum(weight * value) AS value
    FROM (
        SELECT person, value, credited.1 AS touch, credited.2 AS weight
        FROM (
            SELECT *, {weights} AS weights
            FROM (
                SELECT *, toInt64(length(touches)) AS n,
                    toInt64(arrayLastIndex(t -> t.3 NOT IN ('direct', 'internal'), touches))
                        AS last_other,
                    arrayMap(
                        t -> exp2(-dateDiff('millisecond', t.1, at) / {half_life_ms}), touches
                    ) AS decayed
                FROM (
                    SELECT c.person AS person, converted.1 AS at, converted.3 AS value,
                        arrayFilter(
                            x -> x.1 <= at AND x.1 >= at - toIntervalDay({{lookback_days:UInt16}}),
                            t.touches
                        ) AS found,
                        if(
                            empty(found),
                            [(at, converted.2, 'direct', 'direct', '')],
                            found
                        ) AS touches
                    FROM ({conversions}) AS c
                    ARRAY JOIN c.made AS converted
                    LEFT JOIN (
                        SELECT person, arraySort(groupArray((
                            touch.2, touch.3, touch.4, touch.5, touch.6
                        ))) AS touches
                        FROM ({sessions})
                        GROUP BY person
                    ) AS t ON t.person = c.person
                )
            )
        )
        ARRAY JOIN arrayZip(touches, weights) AS credited
        WHERE credited.2 > 0
    )
    {group_by}
    ORDER BY conversions DESC, {order}"""

TOTAL = """
    SELECT sum(length(made)) AS conversions, count() AS persons,
        sum(arraySum(arrayMap(c -> c.3, made))) AS value
    FROM ({conversions})"""

HALF_LIFE_MS = 7 * 86_400_000


def ask(store: Store, ground: Ground, params: Params) -> Attribution:
    """Credit for every conversion, spread over the person's touches before it by the model.

    A conversion without a touch in the lookback window goes to direct. Raises `InvalidGroupBy`.
    """
    names = read_groups(params.group_by, GROUPS)
    bound: dict[str, object] = {
        **ground.bound,
        "conversion": params.conversion,
        "lookback_days": params.lookback_days,
        "value_property": params.value_property or "",
    }
    chosen = ["e.event_name = {conversion:String}", *between(params, bound)]
    value = "JSONExtractFloat(e.properties, {value_property:String})"
    each = Aggregate("groupArray", f"(e.timestamp, e.event_id, {value})")
    conversions = per_person(ground, {"made": each}, conditions(chosen))
    sql = SQL.format(
        columns="".join(f"{GROUPS[name]} AS {name}, " for name in names),
        weights=WEIGHTS[params.model],
        half_life_ms=HALF_LIFE_MS,
        conversions=conversions,
        sessions=per_person(ground, {"touch": TOUCH}, groups={"session_id": "e.session_id"}),
        group_by=f"GROUP BY {', '.join(names)}" if names else "HAVING persons > 0",
        order=", ".join(names) or "1",
    )
    rows = store.query(sql, bound)
    (total,) = store.query(TOTAL.format(conversions=conversions), bound)
    if params.value_property is None:
        for row in (*rows, total):
            del row["value"]
    return Attribution(params.conversion, params.model, ground.policy, rows, total)
