"""Visits and touches, computed when asked: what one person did on one device without a long pause.

A visit is the events of one owner on one device, in order of time, cut wherever two neighbours are
further apart than the project's visit timeout. Back from a sign-in or a payment it goes on for
`RETURN_TIMEOUT_MS`, too. Its touches are its arrivals from somewhere else, each traffic source
once. Without any it has one, direct, at its start, unless it begins with a return. What a server
says without a page is part of no visit.

That follows from the state `half_hours`, exactly: within a half hour no two events are further
apart than half an hour. Where a shared device changes hands within one, or visits time out sooner,
the events are read.

    page_stretches    (visitor, user_hash, timestamp, device, begins, ends, …)
                      what visitors did on pages, by half hours or by events. `begins`: twice its
                      first time in milliseconds since 1970, and one more unless that is a return;
                      `ends`: its last time
    person_stretches  (person, device, begins, ends, …)
                      the same, with whose they are
    visits            (person, device, begins, ends, stretches)
                      `stretches`: those of the visit, in order, as (device, begins, ends, $carried)
    visit_touches     (person, device, begins, touches)
                      `touches`: (timestamp in milliseconds, traffic_source, device), in order

A question that names `visits` fills `$carried` with the columns of stretches that it needs.
"""

from threadline.identity.resolution import HALF_HOUR_MS

RETURN_TIMEOUT_MS = 4 * 3_600_000

COLUMNS = "events, entry, exit, touches"

STRETCHES = f"""
SELECT visitor, user_hash, ended AS timestamp, visitor AS device,
    toInt64(half_hour) * {2 * HALF_HOUR_MS} + first_at AS begins,
    toInt64(half_hour) * {HALF_HOUR_MS} + last_ms AS ends, {COLUMNS}
FROM $rows
WHERE on_page$conditions"""

IN_HAND = "(visitor, half_hour) IN (SELECT visitor, half_hour FROM known_stretches)"

IN_ORDER = """
SELECT person,
    arraySort(groupArray((device, begins, ends, $carried))) AS stretches,
    arrayPushFront(arrayPopBack(arraySort(groupArray((device, ends)))), (0, 0)) AS before
FROM person_stretches
GROUP BY person"""
