"""The stitched relation once more, by the hour: when was which person active?

That needs no events. The state `activity` keeps, of every hour of a visitor, the first moment and
the last. Where nothing changes between the two (the device changes hands, a day begins), the first
tells all there is to know; where one thing does, both together. Where more changes within the hour
they leave something open: the store says so, and the events are asked instead.
"""

from collections.abc import Callable, Sequence

import structlog

from threadline.identity.ground import FROM, HOUR_MS, TO, Ground, in_range
from threadline.identity.stitch import (
    EVERYONE,
    OWNERS,
    SEVERAL,
    TURNS,
    fill,
    passing,
    person_events,
)
from threadline.store import Params, Row, Store, Undecided

_logger = structlog.get_logger("threadline.identity")

HOUR_OF = f"intDiv(toUnixTimestamp64Milli(%s), {HOUR_MS})"
# Of each bound of a range: which hours may lie inside, and which reach across.
INSIDE = {"from_": f"hour >= {HOUR_OF % FROM}", "to": f"hour <= {HOUR_OF % TO}"}
ACROSS = {
    name: f"(began < {bound} AND ended >= {bound})" for name, bound in (("from_", FROM), ("to", TO))
}

# From the inside: hours that may count, with how much changes in each; whose an hour is, from its
# first moment to its last; one moment of it, or both.
MOMENTS = """
    SELECT moment.1 AS person, moment.2 AS at, known
    FROM (
        SELECT known,
            arrayJoin(
                if(changes = 0, [(person, began)], [(person, began), (later, ended)])
            ) AS moment
        FROM (
            SELECT a.known AS known, a.began AS began, a.ended AS ended, {whose}
            FROM (
                SELECT if(user_hash = 0, visitor, {person}) AS seen, user_hash != 0 AS known,
                    began, ended, {changes} AS changes
                FROM {activity}
                WHERE {hours}
            ) AS a
            LEFT ANY JOIN ({owners}) AS o ON o.visitor = a.seen
            {turns}
        )
        WHERE NOT throwIf(changes > 1, 'two moments do not tell this hour')
    )
    WHERE {inside}"""

LASTING = "if(o.person = 0, a.seen, o.person) AS person, person AS later, a.changes AS changes"

IN_TURNS = f"o.person = {SEVERAL}"
TURNED, AGAIN = f"({IN_TURNS} AND a.ended > c.until)", f"({IN_TURNS} AND a.ended > c.next_until)"
PASSING = f"""
                multiIf({IN_TURNS}, c.user_hash, o.person = 0, a.seen, o.person) AS person,
                if({TURNED}, c.next_hash, person) AS later,
                a.changes + {TURNED} + {AGAIN} AS changes"""
TURNS_OF_HOURS = f"""
            ASOF LEFT JOIN (%s) AS c
                ON c.visitor = if({IN_TURNS}, a.seen, 0) AND a.began <= c.until"""


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
    if not ground.as_of:
        try:
            return store.query(sql(_by_hours(ground, bound, changes, everything)), bound)
        except Undecided:
            _logger.info("hours_do_not_tell")
    columns = {"at": "e.timestamp", "known": "e.user_hash != 0"}
    inside = [] if everything else in_range("e.timestamp", bound)
    moments = person_events(ground, columns, " AND ".join(inside) or "TRUE")
    return store.query(sql(moments), bound)


def _by_hours(ground: Ground, bound: Params, changes: Sequence[str], everything: bool) -> str:
    counted = [*(ACROSS[name] for name in ACROSS if name in bound), *changes]
    hours = [] if everything else [INSIDE[name] for name in INSIDE if name in bound]
    inside = [] if everything else in_range("at", bound)
    return MOMENTS.format(
        whose=PASSING if passing(ground) else LASTING,
        person=ground.person_hash("user_hash"),
        changes=" + ".join(counted) or "0",
        activity=ground.activity,
        hours=" AND ".join(hours) or "TRUE",
        owners=fill(OWNERS[ground.policy], ground, EVERYONE),
        turns=TURNS_OF_HOURS % fill(TURNS, ground, EVERYONE) if passing(ground) else "",
        inside=" AND ".join(inside) or "TRUE",
    )
