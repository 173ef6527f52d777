"""`GET /v1/sources`: where events and people come from."""

from typing import Annotated, Any, Literal

import msgspec

from threadline.identity.ground import Ground, conditions
from threadline.identity.stitch import person_events
from threadline.questions.answers import Ranged, between
from threadline.questions.stats import DEVICE
from threadline.store import Store

Breakdown = Literal["source_medium", "source", "campaign", "term", "content"]
COLUMNS: dict[Breakdown, list[str]] = {
    "source_medium": ["source", "medium"],
    "source": ["source"],
    "campaign": ["campaign"],
    "term": ["term"],
    "content": ["content"],
}


class Params(Ranged, kw_only=True):
    """Over which time, by what."""

    breakdown: Breakdown = "source_medium"
    limit: Annotated[int, msgspec.Meta(ge=1, le=200, description="Rows in the answer.")] = 50


class Sources(msgspec.Struct):
    """Rows: the breakdown's columns, events, uniques (devices), persons, and paid_share, the part
    of the events whose medium is `paid`. Most events first."""

    breakdown: str
    rows: list[dict[str, Any]]


SQL = """
    SELECT {names}, count() AS events, uniqExact(device) AS uniques,
        countIf(medium_is_paid) / events AS paid_share, uniqExact(person) AS persons
    FROM ({events})
    GROUP BY {names}
    ORDER BY events DESC, {names}
    LIMIT {limit}"""


def ask(store: Store, ground: Ground, params: Params) -> Sources:
    """Events, devices and people by source."""
    groups = {name: f"toString(e.{name})" for name in COLUMNS[params.breakdown]}
    bound = dict(ground.bound)
    columns = {**groups, "device": DEVICE, "medium_is_paid": "e.medium = 'paid'"}
    sql = SQL.format(
        names=", ".join(groups),
        events=person_events(ground, columns, conditions(between(params, bound))),
        limit=params.limit,
    )
    return Sources(params.breakdown, store.query(sql, bound))
