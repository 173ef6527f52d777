"""`GET /v1/sessions`: how many visits, how long, and where each began."""

from typing import Annotated, Any

from threadline.identity.resolution import conditions
from threadline.identity.stitch import person_events
from threadline.questions import places
from threadline.questions.answers import between, grouping, read_groups
from threadline.questions.context import Context
from threadline.questions.series import OverTime, newest_first, newest_kept, over_time
from threadline.questions.warned import Limited, noted

GROUPS = ("source", "medium", "campaign")


class SessionsParams(OverTime, kw_only=True):
    """`from` and `to` speak of when sessions begin."""

    group_by: Annotated[str, grouping(*GROUPS, of="Of the session's touch: ")] = ""


class Sessions(Limited):
    """Rows: `bucket` (start of the interval; `time` is the same, and deprecated), the group's
    columns, sessions, persons, events_per_session, mean_seconds (from a session's first event to
    its last) and bounce_share (sessions of one event). In order of time, then most sessions first;
    where there are more rows than `limit`, the newest are here."""

    stitch: str
    rows: list[dict[str, Any]]


# A session is what one person did under one session_id. It comes from where its first event comes
# from that is not internal; one without goes on from another session.
COLUMNS = {
    "session": "cityHash64(e.session_id)",
    "at": "e.timestamp",
    "place": f"if({places.FROM_ELSEWHERE}, e.place, {places.INTERNAL})",
}

SQL = """
    SELECT {columns}count() AS sessions, uniqExact(person) AS persons,
        avg(events) AS events_per_session,
        avg(dateDiff('millisecond', started, ended)) / 1000 AS mean_seconds,
        countIf(events = 1) / sessions AS bounce_share
    FROM (
        SELECT person, min(at) AS started, max(at) AS ended, count() AS events,
            minIf((at, place), place != {internal}).2 AS place
        FROM ({events})
        GROUP BY person, session
    ) AS s
    {names}
    WHERE {where}
    {group_by}
    ORDER BY {order}
    LIMIT {limit}"""


def ask(context: Context, params: SessionsParams) -> Sessions:
    """Sessions by where they began. Raises `InvalidGroupBy`, `InvalidParams`."""
    reading, resolution = context.reading, context.resolution
    names = read_groups(params.group_by, GROUPS)
    columns = over_time(params, "started", {name: f"names.{name}" for name in names})
    bound: dict[str, object] = {**resolution.params, "tz": params.tz}
    where = between(params, bound, "started")
    sql = SQL.format(
        columns="".join(f"{expression} AS {name}, " for name, expression in columns.items()),
        events=person_events(resolution, COLUMNS),
        internal=places.INTERNAL,
        names=places.named("s.place"),
        where=conditions(where),
        group_by=f"GROUP BY {', '.join(columns)}" if columns else "HAVING sessions > 0",
        order=newest_first(columns, "sessions DESC", *names),
        limit=params.limit + 1,
    )
    kept = newest_kept(reading.query(sql, bound), params.limit)
    return Sessions(
        resolution.policy, kept.rows, truncated=kept.truncated, warnings=noted(kept.warnings)
    )
