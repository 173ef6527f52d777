"""`GET /v1/sources`: where visits and people come from."""

from typing import Annotated, Literal

import msgspec

from threadline.identity.compose import where
from threadline.questions.answers import Group, Grouped, grouped_rows
from threadline.questions.context import Context
from threadline.questions.filters import Filtered
from threadline.questions.parameters import between, in_time
from threadline.questions.scoped import Scope
from threadline.questions.stats import DEVICE
from threadline.questions.warned import Limited, cut_off, noted
from threadline.store.states import OFF_PAGE

Breakdown = Literal["source_medium", "source", "campaign", "channel", "term", "content"]
COLUMNS: dict[Breakdown, list[str]] = {
    "source_medium": ["source", "medium"],
    "source": ["source"],
    "campaign": ["campaign"],
    "channel": ["channel"],
    "term": ["term"],
    "content": ["content"],
}
# What only events have, not visits.
OF_EVENTS = ("term", "content")

MAX_LIMIT = 200


class SourcesParams(Filtered, kw_only=True):
    """`from` and `to` speak of when visits begin, and of events that belong to none."""

    breakdown: Breakdown = "source_medium"
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT, description="Rows in the answer.")] = 50


class SourcesRow(Grouped, kw_only=True):
    """`uniques`: devices; `paid_share`: the part of the events whose medium is `paid`. `visits`
    is there where visits have what is asked for."""

    term: Group = msgspec.UNSET
    content: Group = msgspec.UNSET
    events: int
    uniques: int
    paid_share: float
    persons: int
    visits: int | msgspec.UnsetType = msgspec.UNSET


class Sources(Limited):
    """Rows: the breakdown's columns, events, uniques (devices), persons, visits, and paid_share,
    the part of the events whose medium is `paid`. Most events first.

    `source_scope`: whose source is meant. `visit`: all events of a visit count for where the visit
    came from, and what a server says without a page counts as direct. `event`: each counts for its
    own, as term and content do, which visits do not have."""

    breakdown: str
    source_scope: Scope
    rows: list[SourcesRow]


BY_VISIT = """
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        e.visitor AS device, e.traffic_source AS traffic_source
    FROM counted_events AS e
    $off_page
), counted AS (
    SELECT person, device, events, 1 AS visits, arrival.2 AS traffic_source
    FROM visits
    $begun
    UNION ALL
    SELECT person, device, 1 AS events, 0 AS visits, traffic_source
    FROM person_events
)
SELECT $names, sum(c.events) AS events, uniqExact(c.device) AS uniques,
    sumIf(c.events, n.medium = 'paid') / events AS paid_share, uniqExact(c.person) AS persons,
    sum(c.visits) AS visits
FROM counted AS c
LEFT ANY JOIN named_sources AS n ON n.traffic_source = c.traffic_source
GROUP BY $groups
ORDER BY events DESC, $groups
LIMIT $limit"""

BY_EVENT = f"""
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        {DEVICE} AS device, e.medium = 'paid' AS is_paid, $names
    FROM counted_events AS e
    $where
)
SELECT $groups, count() AS events, uniqExact(device) AS uniques,
    countIf(is_paid) / events AS paid_share, uniqExact(person) AS persons
FROM person_events
GROUP BY $groups
ORDER BY events DESC, $groups
LIMIT $limit"""

STARTED = "fromUnixTimestamp64Milli(started, 'UTC')"


def ask(context: Context, params: SourcesParams) -> Sources:
    """Visits, events, devices and people by source."""
    names = COLUMNS[params.breakdown]
    scope: Scope = "event" if names[0] in OF_EVENTS else "visit"
    values: dict[str, object] = {}
    during = between(params, values)
    of = "e" if scope == "event" else "n"
    slots = {
        "names": ", ".join(f"toString({of}.{name}) AS {name}" for name in names),
        "groups": ", ".join(names),
        "where": where(during),
        "off_page": where([OFF_PAGE, *during]),
        "begun": where(between(params, values, STARTED)),
        "limit": params.limit + 1,
    }
    if scope == "event":
        rows = context.ask(BY_EVENT, values, slots)
    else:
        visits = in_time(("events", "arrival"), values)
        rows = context.ask(BY_VISIT, values, slots, visits=visits)
    answer = Sources(params.breakdown, scope, grouped_rows(SourcesRow, rows[: params.limit]))
    if len(rows) > params.limit:
        answer.truncated, answer.warnings = True, noted([cut_off(params.limit, MAX_LIMIT)])
    return answer
