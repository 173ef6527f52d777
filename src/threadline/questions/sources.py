"""`GET /v1/sources`: where events and people come from."""

from typing import Annotated, Any, Literal

import msgspec

from threadline.identity.ground import Ground
from threadline.identity.stitch import per_person
from threadline.questions.answers import GROUPS, Counting, between, conditions
from threadline.questions.stats import DEVICE
from threadline.store import Store

Breakdown = Literal["source_medium", "source", "campaign"]
COLUMNS: dict[Breakdown, list[str]] = {
    "source_medium": ["source", "medium"],
    "source": ["source"],
    "campaign": ["campaign"],
}


class Params(Counting, kw_only=True):
    """Over which time, by what."""

    breakdown: Breakdown = "source_medium"
    limit: Annotated[int, msgspec.Meta(ge=1, le=200, description="Rows in the answer.")] = 50


class Sources(msgspec.Struct):
    """Rows: the breakdown's columns, events, uniques (devices), persons, and paid_share, the part
    of the events whose medium is `paid`. Most events first."""

    breakdown: str
    rows: list[dict[str, Any]]


SQL = """
    SELECT s.*, p.persons AS persons
    FROM (
        SELECT {columns}, count() AS events, uniqExact({device}) AS uniques,
            countIf(e.medium = 'paid') / events AS paid_share
        FROM events AS e
        WHERE {where}
        GROUP BY {names}
    ) AS s
    INNER JOIN (
        SELECT {names}, count() AS persons
        FROM ({persons})
        GROUP BY {names}
    ) AS p USING ({names})
    ORDER BY events DESC, {names}
    LIMIT {limit}"""


def ask(store: Store, ground: Ground, params: Params) -> Sources:
    """Events, devices and people by source."""
    groups = {name: GROUPS[name] for name in COLUMNS[params.breakdown]}
    bound = dict(ground.bound)
    chosen = between(params, bound)
    sql = SQL.format(
        columns=", ".join(f"{expression} AS {name}" for name, expression in groups.items()),
        names=", ".join(groups),
        device=DEVICE,
        where=conditions([ground.received, *chosen]),
        persons=per_person(ground, {}, conditions(chosen), groups),
        limit=params.limit,
    )
    return Sources(params.breakdown, store.query(sql, bound))
