"""`GET /v1/sources`: where events and people come from."""

from typing import Annotated, Any, Literal

import msgspec

from threadline.identity.resolution import conditions
from threadline.identity.stitch import person_events
from threadline.questions.answers import Ranged, absent_is_null, between
from threadline.questions.context import Context
from threadline.questions.stats import DEVICE
from threadline.questions.warned import Limited, cut_off, noted

Breakdown = Literal["source_medium", "source", "campaign", "term", "content"]
COLUMNS: dict[Breakdown, list[str]] = {
    "source_medium": ["source", "medium"],
    "source": ["source"],
    "campaign": ["campaign"],
    "term": ["term"],
    "content": ["content"],
}


MAX_LIMIT = 200


class SourcesParams(Ranged, kw_only=True):
    """Over which time, by what."""

    breakdown: Breakdown = "source_medium"
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT, description="Rows in the answer.")] = 50


class Sources(Limited):
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


def ask(context: Context, params: SourcesParams) -> Sources:
    """Events, devices and people by source."""
    reading, resolution = context.reading, context.resolution
    groups = {name: f"toString(e.{name})" for name in COLUMNS[params.breakdown]}
    bound = dict(resolution.params)
    columns = {**groups, "device": DEVICE, "medium_is_paid": "e.medium = 'paid'"}
    sql = SQL.format(
        names=", ".join(groups),
        events=person_events(resolution, columns, conditions(between(params, bound))),
        limit=params.limit + 1,
    )
    rows = reading.query(sql, bound)
    answer = Sources(params.breakdown, [absent_is_null(row) for row in rows[: params.limit]])
    if len(rows) > params.limit:
        answer.truncated, answer.warnings = True, noted([cut_off(params.limit, MAX_LIMIT)])
    return answer
