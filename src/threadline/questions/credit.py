"""Credit: how a conversion is divided among the touches before it.

`CREDITED` goes on from a relation `converted`, (person, conversions), whose conversions are tuples
that begin with a time in milliseconds: each of them with its touches, and what each model gives
them.
"""

from collections.abc import Mapping
from string import Template
from typing import Annotated, Literal, get_args

import msgspec

from threadline.identity.visits import DIRECT
from threadline.questions.filters import refused
from threadline.questions.near import one_of
from threadline.questions.spreading import spread
from threadline.questions.traffic_sources import OUTSIDE

Model = Literal[
    "first_touch", "last_touch", "last_non_direct", "linear", "position_based", "time_decay"
]
MODELS: tuple[Model, ...] = get_args(Model)
# How long ago a touch may be, but the first, where nothing is said.
LOOKBACK_DAYS = 30
DAY_MS = 86_400_000
HALF_LIFE_MS = 7 * DAY_MS

ModelsText = Annotated[
    str,
    msgspec.Meta(
        description=f"{', '.join(MODELS)}, separated by commas: several are answered side by side. "
        "`last_non_direct`: the last touch that is not direct, else the last; "
        "`position_based`: 40 % to the first and the last, 20 % to those between; "
        "`time_decay`: half as much for every seven days before the conversion.",
        extra_json_schema={"type": "array", "items": {"type": "string", "enum": list(MODELS)}},
    ),
]
LookbackDays = Annotated[
    int,
    msgspec.Meta(
        ge=1,
        le=730,
        description="Touches longer ago get no credit, and conversions that have no others are "
        f"credited to `outside_window`. Default: {LOOKBACK_DAYS}, but of first_touch none.",
    ),
]

# Of the touches of a conversion, in order of time, what each gets; together 1. `n`: how many there
# are; `last_other`: the place of the last that is not direct, else 0.
WEIGHTS: Mapping[Model, str] = {
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
# Whoever came first, however long ago.
EVER_FIRST = "arrayMap(i -> toFloat64(i = 1), arrayEnumerate(credited))"
PADDED = Template("arrayConcat(arrayWithConstant(length(credited) - n, toFloat64(0)), $weights)")

# Fewer people convert than visit, so the join keeps those. A conversion without any touch before it
# is direct; one whose touches are all too long ago is
# credited to that, and never to direct. `credited`: `touches`, and before them perhaps the first
# ever.
CREDITED = f"""
), found AS (
    SELECT c.person AS person, conversion, conversion.1 AS at,
        arrayFilter(t -> t.1 <= at, t.touches) AS before,
        arrayFilter(t -> t.1 >= at - {{lookback_ms:Int64}}, before) AS inside
    FROM touches AS t
    RIGHT JOIN converted AS c ON t.person = c.person
    ARRAY JOIN c.conversions AS conversion
), weighed AS (
    SELECT person, conversion, at,
        multiIf(
            notEmpty(inside), inside,
            empty(before), [(at, {DIRECT}, 0)],
            [(at, toUInt64({OUTSIDE}), toUInt64(0))]
        ) AS touches,
        if(
            $ever_first AND length(before) > length(inside),
            arrayPushFront(touches, before[1]), touches
        ) AS credited,
        toInt64(length(touches)) AS n,
        toInt64(arrayLastIndex(t -> t.2 % 2 = 0, touches)) AS last_other,
        arrayMap(t -> exp2((t.1 - at) / {HALF_LIFE_MS}), touches) AS decayed,
        $weights
    FROM found
"""


def read_models(text: str) -> list[Model]:
    """Models by commas, each once. Raises `InvalidParams`."""
    names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    wrong = next((name for name in names if name not in MODELS), "")
    if wrong or not names:
        raise refused("model", one_of(wrong, MODELS))
    return [model for name in names for model in MODELS if model == name]


def credit_slots(
    models: list[Model], lookback_days: int | None, amount: str = ""
) -> dict[str, object]:
    """What `CREDITED` is filled with: `w1`, `w2`, … are the weights of these models, and `a1`, …
    what becomes of an `amount` of the conversion, if there is one."""
    ever = "first_touch" in models and lookback_days is None
    weights = []
    for number, model in enumerate(models, start=1):
        of_all = PADDED.substitute(weights=WEIGHTS[model]) if ever else WEIGHTS[model]
        first = ever and model == "first_touch"
        weights.append(f"{EVER_FIRST if first else of_all} AS w{number}")
        if amount:
            weights.append(spread(amount, f"w{number}", f"a{number}"))
    return {"ever_first": "TRUE" if ever else "FALSE", "weights": ",\n".join(weights)}


def lookback_ms(lookback_days: int | None) -> int:
    """What `CREDITED` binds."""
    return (lookback_days or LOOKBACK_DAYS) * DAY_MS
