"""The stitched relation once more, by the hour: when was which person active?

That hardly needs events. The state `activity` keeps, of every hour of a visitor, the first moment
and the last, and whose they are tells all about the hour: a turn that begins and ends between the
two ends with its user being seen, and so is in the same hour of that user. Only where a day begins
within the hour, or the time that is asked about, the events of the hour are read.
"""

from collections.abc import Callable, Sequence

from threadline.identity.ground import FROM, HOUR_MS, TO, Ground, conditions, in_range
from threadline.identity.stitch import (
    EVERYONE,
    OWNERS,
    SEVERAL,
    TURNS,
    fill,
    passing,
    person_events,
)
from threadline.store import Params, Row, Store

HOUR_OF = f"intDiv(toUnixTimestamp64Milli(%s), {HOUR_MS})"
# Of each bound of a range: which hours may lie inside, and which reach across.
INSIDE = {"from_": f"hour >= {HOUR_OF % FROM}", "to": f"hour <= {HOUR_OF % TO}"}
ACROSS = {
    name: f"(began < {bound} AND ended >= {bound})" for name, bound in (("from_", FROM), ("to", TO))
}

# A moment, of an event.
MOMENT_COLUMNS = {"at": "e.timestamp", "known": "e.user_hash != 0"}

HOURS = """
            SELECT if(user_hash = 0, visitor, {person}) AS seen, user_hash != 0 AS known,
                began, ended
            FROM {activity}
            WHERE {hours} AND NOT ({changes})"""

# An event is an hour that ends when it begins.
EVENTS = f"""
            UNION ALL
            SELECT if(e.user_hash = 0, e.visitor, {{event_person}}) AS seen,
                e.user_hash != 0 AS known, e.timestamp AS began, e.timestamp AS ended
            FROM events AS e
            WHERE {{received}} AND (e.visitor, {HOUR_OF % "e.timestamp"}) IN (
                SELECT visitor, hour FROM {{activity}} WHERE {{hours}} AND ({{changes}})
            )"""

# From the inside: hours, and events of hours in which something changes; who has the device, and
# where that changes, both moments; whose turn it is.
MOMENTS = f"""
    SELECT {{owner}} AS person, h.at AS at, h.known AS known
    FROM (
        SELECT a.seen AS seen, a.known AS known, o.person AS person,
            arrayJoin(
                if(o.person = {SEVERAL} AND began != ended, [began, ended], [began])
            ) AS at
        FROM ({{hours}}
        ) AS a
        LEFT ANY JOIN ({{owners}}) AS o ON o.visitor = a.seen
    ) AS h
    {{turns}}
    WHERE {{inside}}"""
LASTING_OWNER = "if(h.person = 0, h.seen, h.person)"
PASSING_OWNER = f"if(h.person = {SEVERAL}, c.user_hash, {LASTING_OWNER})"
TURN_OF_MOMENT = f"""
    ASOF LEFT JOIN (%s) AS c
        ON c.visitor = if(h.person = {SEVERAL}, h.seen, 0) AND h.at <= c.until"""


def ask_moments(
    store: Store,
    ground: Ground,
    sql: Callable[[str], str],
    bound: Params,
    changes: Sequence[str] = (),
    everything: bool = False,
) -> list[Row]:
    """Rows of the `sql` over a relation (person, at, known): so many of the moments at which
    persons were active that they tell in which stretches of time. `known`: as a user.

    Stretches end at `from_` and `to` in `bound`, and where one of `changes` holds: conditions on
    two moments of an hour, `began` and `ended`. What lies outside of `from_` and `to` is left out,
    unless `everything` is wanted.
    """
    if ground.as_of:
        inside = [] if everything else in_range("e.timestamp", bound)
        moments = person_events(ground, MOMENT_COLUMNS, conditions(inside))
    else:
        moments = _by_hours(ground, bound, changes, everything)
    return store.query(sql(moments), bound)


def _by_hours(ground: Ground, bound: Params, changes: Sequence[str], everything: bool) -> str:
    changes = [*(ACROSS[name] for name in ACROSS if name in bound), *changes]
    hours = [] if everything else [INSIDE[name] for name in INSIDE if name in bound]
    inside = [] if everything else in_range("h.at", bound)
    active = (HOURS + EVENTS if changes else HOURS).format(
        person=ground.person_hash("user_hash"),
        event_person=ground.person_hash("e.user_hash"),
        activity=ground.activity,
        received=ground.received,
        hours=conditions(hours),
        changes=" OR ".join(changes) or "FALSE",
    )
    turns = fill(TURNS, ground, EVERYONE)
    return MOMENTS.format(
        owner=PASSING_OWNER if passing(ground) else LASTING_OWNER,
        hours=active,
        owners=fill(OWNERS[ground.policy], ground, EVERYONE),
        turns=TURN_OF_MOMENT % turns if passing(ground) else "",
        inside=conditions(inside),
    )
