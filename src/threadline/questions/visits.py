"""`GET /v1/visits`: how many visits, how long, and where they came from."""

from typing import Annotated

import msgspec

from threadline.identity.compose import where
from threadline.questions.answers import Group
from threadline.questions.context import Context
from threadline.questions.parameters import between, grouping, in_time, read_groups
from threadline.questions.series import OverTime, Timed, newest_first, newest_kept, over_time
from threadline.questions.traffic_sources import GROUPS
from threadline.questions.warned import Limited, noted

PATHS = ("entry_path", "exit_path")


class VisitsParams(OverTime, kw_only=True):
    """`from` and `to` speak of when visits begin."""

    group_by: Annotated[str, grouping(*GROUPS, *PATHS, of="Of the visit: ")] = ""


class VisitsRow(Timed, kw_only=True):
    """`sessions`: the same as `visits`, and deprecated; so is `events_per_session`.
    `mean_seconds`: from a visit's first event to its last. `bounce_share`: visits of one page view
    and nothing else that the visitor did, shorter than ten seconds."""

    entry_path: Group = msgspec.UNSET
    exit_path: Group = msgspec.UNSET
    visits: int
    sessions: int
    persons: int
    events_per_visit: float
    events_per_session: float
    page_views_per_visit: float
    mean_seconds: float
    bounce_share: float


class Visits(Limited):
    """Rows: `bucket` (start of the interval; `time` is the same, and deprecated), the group's
    columns, visits, persons, events_per_visit, page_views_per_visit, mean_seconds and bounce_share.
    A visit's source is that of its first touch, else direct. In order of time, then most visits
    first; where there are more rows than `limit`, the newest are here.
    `visit_timeout_minutes`: the pause that ends a visit."""

    stitch: str
    visit_timeout_minutes: int
    rows: list[VisitsRow]


SQL = """
WITH begun AS (
    SELECT person, fromUnixTimestamp64Milli(started, 'UTC') AS begins, ended - started AS took_ms,
        events, page_views, actions$columns
    FROM visits
    $narrowed
)
SELECT $groups
    count() AS visits, visits AS sessions, uniqExact(person) AS persons,
    avg(events) AS events_per_visit, events_per_visit AS events_per_session,
    avg(page_views) AS page_views_per_visit, avg(took_ms) / 1000 AS mean_seconds,
    countIf(page_views = 1 AND actions = 0 AND took_ms < 10000) / visits AS bounce_share
FROM begun AS v
$named
$where
$group_by
ORDER BY $order
LIMIT $limit"""

# Where the visit came from, by name.
NAMED = "LEFT ANY JOIN named_sources AS n ON n.traffic_source = v.traffic_source"
MEASURES = ("events", "page_views", "actions")


def ask(context: Context, params: VisitsParams) -> Visits:
    """Visits by where they came from, or began and ended. Raises `InvalidGroupBy`,
    `InvalidParams`."""
    names = read_groups(params.group_by, (*GROUPS, *PATHS))
    paths = [name for name in names if name in PATHS]
    by_source = len(names) > len(paths)
    expressions = {name: f"v.{name}" if name in PATHS else f"n.{name}" for name in names}
    groups = over_time(params, "begins", expressions)
    values: dict[str, object] = {"tz": params.tz}
    slots = {
        "narrowed": where(context.narrowing.visits),
        "columns": "".join(f", {name}" for name in paths)
        + (", arrival.2 AS traffic_source" if by_source else ""),
        "groups": "".join(f"{expression} AS {name}, " for name, expression in groups.items()),
        "named": NAMED if by_source else "",
        "where": where(between(params, values, "begins")),
        "group_by": f"GROUP BY {', '.join(groups)}" if groups else "HAVING visits > 0",
        "order": newest_first(groups, "visits DESC", *names),
        "limit": params.limit + 1,
    }
    columns = (*MEASURES, *paths, *(["arrival"] if by_source else []))
    rows = context.ask(SQL, values, slots, visits=in_time(columns, values))
    kept = newest_kept(VisitsRow, rows, params.limit)
    return Visits(
        context.resolution.policy,
        context.visit_timeout_ms // 60_000,
        kept.rows,
        truncated=kept.truncated,
        warnings=noted(kept.warnings),
    )
