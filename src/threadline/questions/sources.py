"""`GET /v1/sources`: where events and people come from."""

from typing import Annotated, Literal

import msgspec

from threadline.identity.compose import where
from threadline.questions.answers import Group, Grouped, grouped_rows
from threadline.questions.context import Context
from threadline.questions.parameters import Ranged, between
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


class SourcesRow(Grouped, kw_only=True):
    """`uniques`: devices; `paid_share`: the part of the events whose medium is `paid`."""

    term: Group = msgspec.UNSET
    content: Group = msgspec.UNSET
    events: int
    uniques: int
    paid_share: float
    persons: int


class Sources(Limited):
    """Rows: the breakdown's columns, events, uniques (devices), persons, and paid_share, the part
    of the events whose medium is `paid`. Most events first."""

    breakdown: str
    rows: list[SourcesRow]


SQL = f"""
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        {DEVICE} AS device, e.medium = 'paid' AS is_paid, $columns
    FROM counted_events AS e
    $where
)
SELECT $names, count() AS events, uniqExact(device) AS uniques,
    countIf(is_paid) / events AS paid_share, uniqExact(person) AS persons
FROM person_events
GROUP BY $names
ORDER BY events DESC, $names
LIMIT $limit"""


def ask(context: Context, params: SourcesParams) -> Sources:
    """Events, devices and people by source."""
    names = COLUMNS[params.breakdown]
    values: dict[str, object] = {}
    slots = {
        "columns": ", ".join(f"toString(e.{name}) AS {name}" for name in names),
        "where": where(between(params, values)),
        "names": ", ".join(names),
        "limit": params.limit + 1,
    }
    rows = context.ask(SQL, values, slots)
    answer = Sources(params.breakdown, grouped_rows(SourcesRow, rows[: params.limit]))
    if len(rows) > params.limit:
        answer.truncated, answer.warnings = True, noted([cut_off(params.limit, MAX_LIMIT)])
    return answer
