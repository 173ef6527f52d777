"""The stitched relation once more, by the hour: when was which person active?

That needs no events. The state `activity` keeps, of every hour of a visitor, the first moment and
the last. Where nothing changes between the two (the device changes hands, a day begins), the first
tells all there is to know; where one thing does, both together. Where more changes within the hour
they leave something open: the store says so, and the events are asked instead.
"""

from collections.abc import Callable, Sequence

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

HOUR_OF = f"intDiv(toUnixTimestamp64Milli(%s), {HOUR_MS})"
# Of the bounds of a range: which hours may lie inside, and which reach across.
INSIDE = {"from_": f"hour >= {HOUR_OF % FROM}", "to": f"hour <= {HOUR_OF % TO}"}
ACROSS = {
    name: f"began < {edge} AND ended >= {edge}" for name, edge in (("from_", FROM), ("to", TO))
}

OPEN = "the first and the last moment of an hour do not tell"


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
            pass
    columns = {"at": "e.timestamp", "known": "e.user_hash != 0"}
    inside = [] if everything else in_range("e.timestamp", bound)
    moments = person_events(ground, columns, " AND ".join(inside) or "TRUE")
    return store.query(sql(moments), bound)


def _by_hours(ground: Ground, bound: Params, changes: Sequence[str], everything: bool) -> str:
    changes = [*(ACROSS[name] for name in ACROSS if name in bound), *changes]
    hours = [] if everything else [INSIDE[name] for name in INSIDE if name in bound]
    inside = [] if everything else in_range("at", bound)
    active = f"""
        SELECT if(a.user_hash = 0, a.visitor, {ground.person_hash("a.user_hash")}) AS seen,
            a.user_hash != 0 AS known, a.began AS began, a.ended AS ended,
            {" + ".join(f"({change})" for change in changes) or "0"} AS changes
        FROM {ground.activity} AS a
        WHERE {" AND ".join(hours) or "TRUE"}"""
    owned = f"""
    FROM ({active}) AS a
    LEFT ANY JOIN ({fill(OWNERS[ground.policy], ground, EVERYONE)}) AS o ON o.visitor = a.seen"""
    of_device = "if(o.person = 0, a.seen, o.person)"
    if passing(ground):
        turned = f"o.person = {SEVERAL} AND a.ended > c.until"
        again = f"o.person = {SEVERAL} AND a.ended > c.next_until"
        persons = f"""
            if(o.person = {SEVERAL}, c.user_hash, {of_device}) AS person,
            if({turned}, c.next_hash, person) AS later,
            a.changes + ({turned}) + ({again}) AS changes"""
        owned += f"""
    ASOF LEFT JOIN ({fill(TURNS, ground, EVERYONE)}) AS c
        ON c.visitor = if(o.person = {SEVERAL}, a.seen, 0) AND a.began <= c.until"""
    else:
        persons = f"{of_device} AS person, person AS later, a.changes AS changes"
    return f"""
    SELECT moment.1 AS person, moment.2 AS at, known
    FROM (
        SELECT known,
            arrayJoin(
                if(changes = 0, [(person, began)], [(person, began), (later, ended)])
            ) AS moment
        FROM (SELECT a.known AS known, a.began AS began, a.ended AS ended, {persons} {owned})
        WHERE NOT throwIf(changes > 1, '{OPEN}')
    )
    WHERE {" AND ".join(inside) or "TRUE"}"""
