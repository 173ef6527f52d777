"""`GET /v1/sessions`: how many visits, how long, and where each began."""

from typing import Annotated, Any

import msgspec

from threadline.identity.ground import Ground, conditions
from threadline.identity.stitch import person_events
from threadline.questions import places
from threadline.questions.answers import (
    OverTime,
    between,
    over_time,
    read_groups,
    read_zone,
    with_times,
)
from threadline.store import Store


class Params(OverTime, kw_only=True):
    """`from` and `to` speak of when sessions begin."""

    group_by: Annotated[
        str,
        msgspec.Meta(description="Of the session's touch: source, medium, campaign, by commas."),
    ] = ""


class Sessions(msgspec.Struct):
    """Rows: the group's columns, `time` (start of the interval), sessions, persons,
    events_per_session, mean_seconds (from a session's first event to its last) and bounce_share
    (sessions of one event). In order of time, then most sessions first."""

    stitch: str
    rows: list[dict[str, Any]]


GROUPS = ("source", "medium", "campaign")

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


def ask(store: Store, ground: Ground, params: Params) -> Sessions:
    """Sessions by where they began. Raises `InvalidGroupBy`, `InvalidParams`."""
    names = read_groups(params.group_by, GROUPS)
    columns = over_time(params, "started", {name: f"names.{name}" for name in names})
    bound: dict[str, object] = {**ground.bound, "tz": read_zone(params.tz)}
    where = between(params, bound, "started")
    sql = SQL.format(
        columns="".join(f"{expression} AS {name}, " for name, expression in columns.items()),
        events=person_events(ground, COLUMNS),
        internal=places.INTERNAL,
        names=places.named("s.place"),
        where=conditions(where),
        group_by=f"GROUP BY {', '.join(columns)}" if columns else "HAVING sessions > 0",
        order=", ".join([*(name for name in columns if name == "time"), "sessions DESC", *names]),
        limit=params.limit,
    )
    return Sessions(ground.policy, with_times(store.query(sql, bound)))
