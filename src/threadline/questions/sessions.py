"""`GET /v1/sessions`: how many visits, how long, and where each began."""

from typing import Annotated

from threadline.identity.compose import where
from threadline.questions.context import Context
from threadline.questions.parameters import between, grouping, read_groups
from threadline.questions.series import OverTime, Timed, newest_first, newest_kept, over_time
from threadline.questions.traffic_sources import GROUPS, INTERNAL
from threadline.questions.warned import Limited, noted


class SessionsParams(OverTime, kw_only=True):
    """`from` and `to` speak of when sessions begin."""

    group_by: Annotated[str, grouping(*GROUPS, of="Of the session's touch: ")] = ""


class SessionsRow(Timed, kw_only=True):
    """`events_per_session`, `mean_seconds` (from a session's first event to its last) and
    `bounce_share` (sessions of one event)."""

    sessions: int
    persons: int
    events_per_session: float
    mean_seconds: float
    bounce_share: float


class Sessions(Limited):
    """Rows: `bucket` (start of the interval; `time` is the same, and deprecated), the group's
    columns, sessions, persons, events_per_session, mean_seconds (from a session's first event to
    its last) and bounce_share (sessions of one event). In order of time, then most sessions first;
    where there are more rows than `limit`, the newest are here."""

    stitch: str
    rows: list[SessionsRow]


# A session is what one person did under one session_id. It comes from where its first event comes
# from that is not internal; one without goes on from another session.
SQL = f"""
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        cityHash64(e.session_id) AS session,
        if(e.source != 'internal', e.traffic_source, {INTERNAL}) AS traffic_source
    FROM counted_events AS e
), sessions AS (
    SELECT person, min(timestamp) AS started, max(timestamp) AS ended, count() AS events,
        minIf((timestamp, traffic_source), traffic_source != {INTERNAL}).2 AS traffic_source
    FROM person_events
    GROUP BY person, session
)
SELECT $groups
    count() AS sessions, uniqExact(person) AS persons,
    avg(events) AS events_per_session,
    avg(dateDiff('millisecond', started, ended)) / 1000 AS mean_seconds,
    countIf(events = 1) / sessions AS bounce_share
FROM sessions AS s
LEFT ANY JOIN named_sources AS n ON n.traffic_source = s.traffic_source
$where
$group_by
ORDER BY $order
LIMIT $limit"""


def ask(context: Context, params: SessionsParams) -> Sessions:
    """Sessions by where they began. Raises `InvalidGroupBy`, `InvalidParams`."""
    names = read_groups(params.group_by, GROUPS)
    columns = over_time(params, "started", {name: f"n.{name}" for name in names})
    values: dict[str, object] = {"tz": params.tz}
    slots = {
        "groups": "".join(f"{expression} AS {name}, " for name, expression in columns.items()),
        "where": where(between(params, values, "started")),
        "group_by": f"GROUP BY {', '.join(columns)}" if columns else "HAVING sessions > 0",
        "order": newest_first(columns, "sessions DESC", *names),
        "limit": params.limit + 1,
    }
    kept = newest_kept(SessionsRow, context.ask(SQL, values, slots), params.limit)
    return Sessions(
        context.resolution.policy,
        kept.rows,
        truncated=kept.truncated,
        warnings=noted(kept.warnings),
    )
