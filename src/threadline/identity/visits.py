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
    in_order          (person, stretches, before)
                      one row a person. `before`: of each stretch the one that ended before it
    visits            (person, device, started, ended, resumed, …)
                      `resumed`: it begins with a return. Then the columns that were asked for
"""

from collections.abc import Iterable, Mapping

from threadline.identity.compose import fill
from threadline.identity.relations import COUNTED
from threadline.identity.resolution import FROM, HALF_HOUR_MS, TO, Policy, Resolution
from threadline.store import Params
from threadline.store.states import state

RETURN_TIMEOUT_MS = 4 * 3_600_000
# As events have it that say nothing of where they come from.
DIRECT = "cityHash64('direct', 'direct', '', 'Direct') * 2 + 1"

STRETCHES = f"""
SELECT visitor, user_hash,
    fromUnixTimestamp64Milli(ends, 'UTC') AS timestamp, visitor AS device,
    toInt64(half_hour) * {2 * HALF_HOUR_MS} + first.at AS begins,
    toInt64(half_hour) * {HALF_HOUR_MS} + last.at AS ends,
    first.path AS entry, last.path AS exit, events, page_views, actions,
    arrayZip(
        arrayMap(ms -> toInt64(half_hour) * {HALF_HOUR_MS} + ms, touches.2), touches.1
    ) AS touches
FROM $rows
WHERE page > 0
    $within"""
# Half hours in which a shared device may change hands: of what nobody is named on, the last comes
# after the last that names somebody, or several are named.
CHANGING = """
SELECT visitor, half_hour
FROM stretches
WHERE visitor IN (SELECT visitor FROM device_states WHERE least != greatest)
GROUP BY visitor, half_hour
HAVING max(known) AND (
    minIf(user_hash, known) != maxIf(user_hash, known)
    OR maxIf(ended, NOT known) > maxIf(ended, known)
)"""
SEVERAL = "(visitor, half_hour) IN (SELECT visitor, half_hour FROM changing_half_hours)"
OF_SEVERAL = f"""e.visitor IN (SELECT visitor FROM changing_half_hours)
    AND (e.visitor, intDiv(toUnixTimestamp64Milli(e.timestamp), {HALF_HOUR_MS})) IN (
        SELECT visitor, half_hour FROM changing_half_hours
    )"""

# Whoever was there shortly before `to` may be in a visit that goes on after it.
WITHIN = {
    "from_": f"half_hour >= intDiv(toUnixTimestamp64Milli({FROM}) - {RETURN_TIMEOUT_MS},"
    f" {HALF_HOUR_MS})",
    "to": f"""(
        half_hour <= intDiv(toUnixTimestamp64Milli({TO}), {HALF_HOUR_MS})
        OR visitor IN (
            SELECT visitor
            FROM stretches
            WHERE half_hour BETWEEN
                intDiv(toUnixTimestamp64Milli({TO}) - {RETURN_TIMEOUT_MS}, {HALF_HOUR_MS})
                AND intDiv(toUnixTimestamp64Milli({TO}), {HALF_HOUR_MS})
        )
    )""",
}

# In order of time within each device, and so are their ends: of stretches that reach into each
# other neither has to belong to the same one, for a pause shows between the nth end and the next
# beginning only if all n before have ended.
IN_ORDER = """
SELECT person, arraySort(groupArray((device, begins, ends$carried))) AS stretches,
    arrayPushFront(arrayPopBack(arraySort(groupArray((device, ends)))), (0, 0)) AS before
FROM person_stretches
GROUP BY person"""

# `begins` is even where a stretch begins with a return.
VISITS = f"""
SELECT person, visit[1].1 AS device, intDiv(visit[1].2, 2) AS started,
    arrayMax(s -> s.3, visit) AS ended, visit[1].2 % 2 = 0 AS resumed$columns
FROM in_order
ARRAY JOIN arraySplit(
    (s, b) -> s.1 != b.1 OR s.2 > 1 + 2 * (b.2 + if(s.2 % 2 = 0,
        greatest({RETURN_TIMEOUT_MS}, {{visit_timeout_ms:Int64}}), {{visit_timeout_ms:Int64}}
    )),
    stretches, before
) AS visit"""

# Of a visit's stretches `s`, `$n` being the place of what they carry: the column of the visit.
COLUMNS: Mapping[str, tuple[str, str]] = {
    "events": ("events", "arraySum(s -> s.$n, visit)"),
    "page_views": ("page_views", "arraySum(s -> s.$n, visit)"),
    "actions": ("actions", "arraySum(s -> s.$n, visit)"),
    "entry_path": (
        "entry",
        "arrayMin(arrayMap(s -> (s.2, s.$n), arrayFilter(s -> s.$n != '', visit))).2",
    ),
    "exit_path": (
        "exit",
        "arrayMax(arrayMap(s -> (s.3, s.$n), arrayFilter(s -> s.$n != '', visit))).2",
    ),
    # The first of its touches, (time, traffic source); of none, what a direct visit has.
    "arrival": (
        "arraySort(touches)[1]",
        f"arrayMin(arrayPushBack(arrayFilter(t -> t.1 > 0, arrayMap(s -> s.$n, visit)),"
        f" (9223372036854775807, {DIRECT})))",
    ),
    # All of them, in order.
    "arrivals": ("touches", "arraySort(arrayFlatten(arrayMap(s -> s.$n, visit)))"),
}


def visits(
    resolution: Resolution,
    known: Mapping[str, str],
    timeout_ms: int,
    columns: Iterable[str],
    values: Params,
) -> dict[str, str]:
    """The relations above, on those of `stitch` for this resolution. `columns`: of `visits`.

    `from_` and `to` in `values` speak of when visits start: all that start in between are there,
    with their whole length; what starts outside may be cut. They bind `visit_timeout_ms`.
    """
    within = [WITHIN[name] for name in WITHIN if name in values]
    carried, shown = "", ""
    for number, name in enumerate(columns, start=4):
        carry, column = COLUMNS[name]
        carried += f", {carry}"
        shown += f",\n    {column.replace('$n', str(number))} AS {name}"
    return {
        "event_stretches": state("half_hours").of_each_event("TRUE", COUNTED),
        "changing_half_hours": CHANGING,
        "changing_events": state("half_hours").of_each_event(OF_SEVERAL, COUNTED),
        "page_stretches": _page_stretches(resolution.policy, timeout_ms, within),
        "person_stretches": known["person_events"].replace("considered", "page_stretches"),
        "in_order": fill(IN_ORDER, {"carried": carried}),
        "visits": fill(VISITS, {"columns": shown}),
    }


def _page_stretches(policy: Policy, timeout_ms: int, within: list[str]) -> str:
    def of(rows: str, *conditions: str) -> str:
        parts = "".join(f"\n    AND {part}" for part in (*within, *conditions))
        return fill(STRETCHES, {"rows": rows, "within": parts.strip()})

    if timeout_ms < HALF_HOUR_MS:
        return of("event_stretches")
    if policy != "next":
        return of("stretches")
    return f"{of('stretches', f'NOT {SEVERAL}')}\nUNION ALL\n{of('changing_events')}"
