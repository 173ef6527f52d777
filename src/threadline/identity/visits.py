"""Visits and touches, computed when asked: what a person did on one device without a long pause.

A visit is the events of one owner on one device, in order of time, cut wherever two neighbours are
further apart than the project's visit timeout. Back from a sign-in or a payment it goes on for
`RETURN_TIMEOUT_MS`, if that is longer. Its touches are its arrivals from somewhere else, each
traffic source once. Without any it has one, direct, at its start; unless it begins with a return.
What a server says without a page is part of no visit.

All that follows from the state `half_hours`, exactly: within a half hour no two events are further
apart than half an hour. Only where a shared device changes hands within one, or visits time out
sooner than that, the events are read.

Relations, besides those of `stitch`. Times are milliseconds since 1970.

    page_stretches    (visitor, user_hash, timestamp, device, begins, ends, …)
                      what visitors did on pages, half hour by half hour, as `considered` of
                      `person_events`. `begins`: twice its first time, and one more unless that is a
                      return, so that of the same time a return comes first
    person_stretches  (person, device, begins, ends, …)
    in_order          (person, device, stretches, before)
                      one row for what a person did on a device. `before`: of each stretch, when the
                      one before it ended
    visits            (person, device, started, ended, resumed, …)
                      `resumed`: it begins with a return. Then the columns that were asked for
    touches           (person, touches)
                      one row a person: of all visits, in order, as (time, traffic source, device).
                      It needs the column `arrivals` of visits

Where `kept_visits` has those of most devices in memory, these are worked out of the others alone.
"""

from collections.abc import Mapping
from itertools import count
from typing import NamedTuple

from threadline.identity.compose import fill
from threadline.identity.relations import COUNTED
from threadline.identity.resolution import HALF_HOUR, Resolution
from threadline.store.states import HALF_HOUR_MS, state

RETURN_TIMEOUT_MS = 4 * 3_600_000
# As events have it that say nothing of where they come from.
DIRECT = "cityHash64('direct', 'direct', '', 'Direct') * 2 + 1"

STRETCHES = f"""
SELECT visitor, user_hash,
    fromUnixTimestamp64Milli(ends, 'UTC') AS timestamp, visitor AS device,
    toInt64(half_hour) * {2 * HALF_HOUR_MS} + first.at AS begins,
    toInt64(half_hour) * {HALF_HOUR_MS} + last.at AS ends,
    first.path AS entry, last.path AS exit, events, page_views, actions,
    if(
        empty(touches.1), [],
        arrayZip(arrayMap(ms -> toInt64(half_hour) * {HALF_HOUR_MS} + ms, touches.2), touches.1)
    )::Array(Tuple(Int64, UInt64)) AS touches
FROM $rows
WHERE page > 0
    $within"""
# Half hours in which a shared device may change hands: of what nobody is named on, the last comes
# after the last that names somebody, or several are named.
CHANGING = """
SELECT visitor, half_hour
FROM stretches
WHERE visitor IN (SELECT visitor FROM shared_devices)
    $near
GROUP BY visitor, half_hour
HAVING max(known) AND (
    minIf(user_hash, known) != maxIf(user_hash, known)
    OR maxIf(ended, NOT known) > maxIf(ended, known)
)"""
NOT_CHANGING = "(visitor, half_hour) NOT IN (SELECT visitor, half_hour FROM changing_half_hours)"
OF_SEVERAL = f"""{HALF_HOUR} IN (
        SELECT visitor, half_hour FROM changing_half_hours
    )"""

# The same where these events are kept (see `kept`).
KEPT_EVENTS = "{kept:Identifier}.{changing_events:Identifier}"
KEPT_CHANGING: Mapping[str, str] = {
    "changing_half_hours": f"SELECT visitor, half_hour FROM {KEPT_EVENTS}",
    "changing_events": f"SELECT * FROM {KEPT_EVENTS}",
}

# On which side of a time half hours lie, and what goes on across it: whoever was there shortly
# before may be in a visit that does.
AFTER = f"half_hour >= intDiv(toUnixTimestamp64Milli($at) - {RETURN_TIMEOUT_MS}, {HALF_HOUR_MS})"
BEFORE = f"half_hour <= intDiv(toUnixTimestamp64Milli($at), {HALF_HOUR_MS})"
GOES_ON = f"visitor IN (SELECT visitor FROM stretches WHERE {AFTER} AND {BEFORE})"

# In order of time, and so are their ends: of stretches that reach into each other neither has to
# belong to the same one, for a pause shows between the nth end and the next beginning only if all n
# before have ended. Arrays of numbers are gathered several times faster than one of tuples, and by
# one number faster than by two.
IN_ORDER = """
SELECT any(s.person) AS person, any(s.device) AS device,
    groupArray(s.begins) AS all_begins, groupArray(s.ends) AS all_ends,
    arraySort(
        (stretch, at) -> at, arrayZip(all_begins, all_ends$carried), all_begins
    ) AS stretches,
    arrayPushFront(arrayPopBack(arraySort(all_ends)), 0) AS before
FROM person_stretches AS s
GROUP BY cityHash64(s.person, s.device)"""

# `begins` is even where a stretch begins with a return.
VISITS = f"""
SELECT person, device, intDiv(visit[1].1, 2) AS started,
    arrayMax(visit.2) AS ended, visit[1].1 % 2 = 0 AS resumed$columns
FROM in_order
ARRAY JOIN arraySplit(
    (s, b) -> s.1 > 1 + 2 * (b + if(s.1 % 2 = 0,
        greatest({RETURN_TIMEOUT_MS}, {{visit_timeout_ms:Int64}}), {{visit_timeout_ms:Int64}}
    )),
    stretches, before
) AS visit"""

# The first of a stretch's touches: when, `NEVER` without any, and from which traffic source.
NEVER = 9223372036854775807
FIRST_TOUCH = f"""multiIf(
        empty(touches), ({NEVER}, 0)::Tuple(Int64, UInt64),
        length(touches) = 1, touches[1],
        arraySort(touches)[1]
    )"""


class VisitColumn(NamedTuple):
    """A column of visits. `carried`: what each stretch says for it. `sql`: the column, out of a
    visit's stretches, `$0` and `$1` being the places of what they carry."""

    carried: tuple[str, ...]
    sql: str


COLUMNS: Mapping[str, VisitColumn] = {
    "events": VisitColumn(("events",), "arraySum(visit.$0)"),
    "page_views": VisitColumn(("page_views",), "arraySum(visit.$0)"),
    "actions": VisitColumn(("actions",), "arraySum(visit.$0)"),
    "entry_path": VisitColumn(
        ("entry",), "arrayMin(arrayMap(s -> (s.1, s.$0), arrayFilter(s -> s.$0 != '', visit))).2"
    ),
    "exit_path": VisitColumn(
        ("exit",), "arrayMax(arrayMap(s -> (s.2, s.$0), arrayFilter(s -> s.$0 != '', visit))).2"
    ),
    # The first of its touches, (time, traffic source); of none, what a direct visit has.
    "arrival": VisitColumn(
        (f"({FIRST_TOUCH} AS first_of_touches).1", "first_of_touches.2"),
        f"""(
        arrayMin(visit.$0),
        if(arrayMin(visit.$0) = {NEVER}, {DIRECT}, arrayMin(
            arrayFilter((source, at) -> at = arrayMin(visit.$0), visit.$1, visit.$0)
        ))
    )::Tuple(Int64, UInt64)""",
    ),
    "is_nobodys": VisitColumn(("is_nobodys",), "visit[1].$0"),
    # All of them, in order.
    "arrivals": VisitColumn(("touches",), "arraySort(arrayFlatten(visit.$0))"),
}


# Each traffic source is one touch of a visit.
TOUCHES = f"""
SELECT person, arraySort(groupArrayArray(arrayMap(t -> (t.1, t.2, device), touched))) AS touches
FROM (
    SELECT person, device,
        arrayFilter((t, nth) -> nth = 1, arrivals, arrayEnumerateUniq(arrivals.2)) AS found,
        multiIf(
            notEmpty(found), found, resumed, [], [(started, {DIRECT})]
        ) AS touched
    FROM visits
)
GROUP BY person"""


class Wanted(NamedTuple):
    """What a question needs of visits. `columns`: of `COLUMNS`. `since`, `until`: SQL of times, or
    nothing: all visits that start in between are there, with their whole length; what starts
    outside may be cut, unless it is `running` then and wanted whole, too. `of_everybody`: whoever
    is asked for, for they are joined to these."""

    columns: tuple[str, ...]
    since: str = ""
    until: str = ""
    running: bool = False
    of_everybody: bool = False


def visits(
    resolution: Resolution,
    known: Mapping[str, str],
    timeout_ms: int,
    wanted: Wanted,
    near: str = "",
) -> dict[str, str]:
    """The relations above, on those of `stitch` for this resolution. They bind
    `visit_timeout_ms`. `near`: a condition on visitors, of whom alone they are."""
    within = [near] if near else []
    if wanted.since:
        since = f"({AFTER} OR {GOES_ON})" if wanted.running else AFTER
        within.append(since.replace("$at", wanted.since))
    if wanted.until:
        within.append(f"({BEFORE} OR {GOES_ON})".replace("$at", wanted.until))
    return {
        "event_stretches": state("half_hours").of_each_event("TRUE", COUNTED),
        **changing_hands(resolution),
        "page_stretches": _page_stretches(resolution, timeout_ms, within),
        "person_stretches": known["person_events"].replace("considered", "page_stretches"),
        **_visits(wanted),
    }


def changing_hands(resolution: Resolution) -> Mapping[str, str]:
    """As `changing`, of all devices, where it may be kept."""
    return KEPT_CHANGING if resolution.kept else changing()


def changing(near: str = "") -> dict[str, str]:
    """Half hours in which shared devices change hands, and their events as if each had one of its
    own. `near`: a condition on visitors."""
    return {
        "changing_half_hours": fill(CHANGING, {"near": near}),
        "changing_events": state("half_hours").of_each_event(OF_SEVERAL, COUNTED),
    }


def visits_of_one(wanted: Wanted) -> dict[str, str]:
    """The same of one person, whose `owned_events` are known. `person` is 1."""
    return {
        "event_stretches": state("half_hours").of_each_event("TRUE", "owned_events"),
        "page_stretches": fill(STRETCHES, {"rows": "event_stretches", "within": ""}),
        "person_stretches": "SELECT toUInt64(1) AS person, * FROM page_stretches",
        **_visits(wanted),
    }


def visits_of_single_owners(
    known: Mapping[str, str], wanted: Wanted, devices: str
) -> dict[str, str]:
    """The same of devices that never change hands, for which a condition on visitors holds."""
    return {
        "page_stretches": fill(STRETCHES, {"rows": "stretches", "within": f"AND {devices}"}),
        "person_stretches": known["person_events"].replace("considered", "page_stretches"),
        **_visits(wanted),
    }


def _visits(wanted: Wanted) -> dict[str, str]:
    carried, columns, places = "", "", count(3)
    for name in wanted.columns:
        column = COLUMNS[name]
        carried += "".join(f", groupArray({each})" for each in column.carried)
        sql = column.sql
        for number, _ in enumerate(column.carried):
            sql = sql.replace(f"${number}", str(next(places)))
        columns += f",\n    {sql} AS {name}"
    return {
        "in_order": fill(IN_ORDER, {"carried": carried}),
        "visits": fill(VISITS, {"columns": columns}),
        "touches": fill(TOUCHES, {}),
    }


def _page_stretches(resolution: Resolution, timeout_ms: int, within: list[str]) -> str:
    kept = resolution.kept

    def of(rows: str, *conditions: str) -> str:
        parts = "".join(f"\n    AND {part}" for part in (*within, *conditions))
        return fill(STRETCHES, {"rows": rows, "within": parts.strip()})

    if timeout_ms < HALF_HOUR_MS:
        return of("event_stretches")
    if resolution.policy != "next" or (kept and not kept.is_shared):
        return of("stretches")
    return f"{of('stretches', NOT_CHANGING)}\nUNION ALL\n{of('changing_events')}"
