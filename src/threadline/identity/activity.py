"""The stitched relation once more, by the hour: when was which person active?

That hardly needs events. The state `activity` keeps, of every hour of a visitor, the first moment
and the last, and whose the last is tells all about the hour: a turn that ended before it ended with
its user being seen, and so is in the same hour of that user. Only where a day begins within the
hour, or the time that is asked about, the events of the hour are read.
"""

from collections.abc import Callable, Sequence

from threadline.identity.reading import Reads
from threadline.identity.resolution import FROM, HOUR_OF, TO, Resolution, conditions, in_range
from threadline.identity.stitch import person_events, persons, plain_events, seen_at
from threadline.store import Params, Row

# Of each bound of a range: which hours may lie inside, and which reach across.
INSIDE = {"from_": f"hour >= {HOUR_OF % FROM}", "to": f"hour <= {HOUR_OF % TO}"}
ACROSS = {
    name: f"(began < {bound} AND ended >= {bound})" for name, bound in (("from_", FROM), ("to", TO))
}
# No hour reaches across the beginning of another.
ON_THE_HOUR = ":00:00.000"

# A moment, of an event.
MOMENT_COLUMNS = {"at": "e.timestamp", "known": "e.user_hash != 0"}

# The last moment of an hour, and of hours in which something changes every event.
HOURS = """
            SELECT if(known, {person}, visitor) AS seen, ended AS at, known
            FROM {activity}
            WHERE {hours}"""
IN_HOURS = f"""(e.visitor, {HOUR_OF % "e.timestamp"}) IN (
                SELECT visitor, hour FROM {{activity}} WHERE {{hours}}
            )"""
MOMENTS = """
        SELECT seen, at AS moment, at, known
        FROM ({moments}
        )
        WHERE {inside}"""


def ask_moments(
    reads: Reads,
    resolution: Resolution,
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
    if resolution.as_of:
        inside = [] if everything else in_range("e.timestamp", bound)
        moments = person_events(resolution, MOMENT_COLUMNS, conditions(inside))
    else:
        moments = _by_hours(resolution, bound, changes, everything)
    return reads.query(sql(moments), bound)


def _by_hours(
    resolution: Resolution, bound: Params, changes: Sequence[str], everything: bool
) -> str:
    cut = [name for name in ACROSS if name in bound and not str(bound[name]).endswith(ON_THE_HOUR)]
    changes = [*(ACROSS[name] for name in cut), *changes]
    hours = [] if everything else [INSIDE[name] for name in INSIDE if name in bound]
    inside = [] if everything else in_range("at", bound)
    apart = f"({' OR '.join(changes)})"
    # Nothing needless among the conditions: a constant made reading a third slower.
    moments = HOURS.format(
        person=resolution.person_hash("user_hash"),
        activity=resolution.activity,
        hours=conditions([*hours, f"NOT {apart}"] if changes else hours),
    )
    if changes:
        where = IN_HOURS.format(activity=resolution.activity, hours=conditions([*hours, apart]))
        columns = {"seen": seen_at(resolution), **MOMENT_COLUMNS}
        moments += f"\n            UNION ALL {plain_events(resolution, columns, where)}"
    return persons(resolution, MOMENTS.format(moments=moments, inside=conditions(inside)))
