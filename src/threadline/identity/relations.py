"""What counts, as relations with names; whose it is follows from them in `stitch`.

Each is one text (see `compose`), with another where answers are `as_of`, about few devices, or
where people decided something. Shapes:

    counted_events   (…)                       events that count, all columns
    user_links       (visitor, user_id, user_hash, anonymous_id, first_seen, last_seen)
                                               who was seen where; a pair may come in several rows
    devices          (visitor, least, greatest)
                                               of devices that persons were seen on, the least and
                                               the greatest hash of them; the same of a single one
    shared_devices   (visitor)                 devices that more than one person was seen on
    observed_events  (visitor, timestamp, user_id, user_hash, anonymous_id, event_id, event_name)
                                               events that show a user on a device
    observations     (visitor, timestamp, user_id, user_hash)
                                               of shared devices, as far as it tells whose they are
    stretches        (visitor, known, user_hash, half_hour, page, began, ended, …)
                                               the first timestamp and the last of every half hour
                                               in which a visitor was active, and what the state
                                               `half_hours` says of it besides; `half_hour` counts
                                               from 1970
    untagged_touches (visitor, first_touch)    first events without a user
    tagged_touches   (user_id, first_touch, known_since)
                                               first events that carry a user

Users are persons here: aliases are resolved, unlinked pairs left out.
"""

from collections.abc import Mapping

from threadline.identity.compose import bound, fill
from threadline.identity.reading import Reads
from threadline.identity.resolution import HALF_HOUR, PROJECT, TOUCH_TYPE, Resolution
from threadline.store.states import HALF_HOUR_MS, OBSERVED, relation

COUNTED = "counted_events"
COUNTED_EVENTS = f"""
SELECT *, visitor, user_hash, traffic_source
FROM events
WHERE {PROJECT}
    $people
    $received"""

USER_LINKS = f"""
SELECT r.visitor AS visitor, $person AS user_id, $person_hash AS user_hash,
    r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
FROM $links AS r
WHERE r.{PROJECT}
    $people
    $near
    $linked"""

OBSERVED_EVENTS = f"""
SELECT r.visitor AS visitor, r.timestamp AS timestamp, $event_person AS user_id,
    $person_hash AS user_hash, r.anonymous_id AS anonymous_id,
    r.event_id AS event_id, r.event_name AS event_name
FROM counted_events AS r
WHERE {OBSERVED.replace("e.", "r.")}
    $near
    $linked"""

# One row for each device, bots apart; FINAL costs a quarter of grouping them.
DEVICE_STATES = f"""
SELECT visitor, least, greatest
FROM device_users FINAL
WHERE {PROJECT} AND NOT is_bot"""

DEVICE_STATES_WITH_BOTS = f"""
SELECT visitor, min(least) AS least, max(greatest) AS greatest
FROM device_users
WHERE {PROJECT}
GROUP BY visitor"""

LINKED_DEVICES = """
SELECT visitor, min(user_hash) AS least, max(user_hash) AS greatest
FROM user_links
GROUP BY visitor"""

# Decisions concern few devices, which were looked up (see `decided_devices`); nobody: 0.
DECIDED_DEVICES = """
SELECT r.visitor AS visitor,
    transform(
        r.visitor, {decided_devices:Array(UInt64)}, {decided_least:Array(UInt64)}, r.least
    ) AS least,
    transform(
        r.visitor, {decided_devices:Array(UInt64)}, {decided_greatest:Array(UInt64)}, r.greatest
    ) AS greatest
FROM device_states AS r"""

SHARED_DEVICES = "SELECT visitor FROM devices WHERE least != greatest"

STRETCHES = f"""
SELECT visitor, known, user_hash, half_hour, page, first, last, events, page_views, actions,
    touches,
    fromUnixTimestamp64Milli(toInt64(half_hour) * {HALF_HOUR_MS} + intDiv(first.at, 2), 'UTC')
        AS began,
    fromUnixTimestamp64Milli(toInt64(half_hour) * {HALF_HOUR_MS} + last.at, 'UTC') AS ended
FROM $half_hours
WHERE {PROJECT}
    $people"""

KNOWN_STRETCHES = """
SELECT visitor, half_hour, ended AS timestamp, user_hash
FROM stretches
WHERE known AND visitor IN (SELECT visitor FROM shared_devices)"""

# Of a half hour with one user the last timestamp is enough. It has no `user_id`, which is for
# persons seen at the same instant, to put them in order.
TELLING_STRETCHES = f"""
SELECT visitor, timestamp, user_hash, '' AS user_id
FROM known_stretches
UNION ALL
SELECT e.visitor AS visitor, e.timestamp AS timestamp, e.user_hash AS user_hash,
    assumeNotNull(e.user_id) AS user_id
FROM counted_events AS e
WHERE {OBSERVED}
    AND {HALF_HOUR} IN (
        SELECT visitor, half_hour
        FROM known_stretches
        GROUP BY visitor, half_hour
        HAVING min(user_hash) != max(user_hash)
    )"""

OBSERVATIONS = """
SELECT r.visitor AS visitor, r.timestamp AS timestamp, $person_hash AS user_hash,
    max($person) AS user_id
FROM telling_stretches AS r
$where_linked
GROUP BY visitor, timestamp, user_hash"""

# Of a few devices the events themselves are close at hand.
ALL_OBSERVATIONS = """
SELECT DISTINCT visitor, timestamp, user_hash, user_id
FROM observed_events
WHERE visitor IN (SELECT visitor FROM shared_devices)"""

UNTAGGED_TOUCHES = f"""
SELECT r.visitor AS visitor, (
    r.first_touch.off_page, r.first_touch.timestamp, r.first_touch.event_id, r.visitor,
    r.first_touch.traffic_source
)::{TOUCH_TYPE} AS first_touch
FROM $visitor_touches AS r
WHERE r.{PROJECT}
    $people
    $near"""

TAGGED_TOUCHES = f"""
SELECT $person AS user_id, r.first_touch AS first_touch, r.known_since AS known_since
FROM $user_touches AS r
WHERE r.{PROJECT}
    $people"""

STATES: Mapping[str, str] = {
    "counted_events": COUNTED_EVENTS,
    "user_links": USER_LINKS,
    "observed_events": OBSERVED_EVENTS,
    "device_states": DEVICE_STATES,
    "devices": "SELECT visitor, least, greatest FROM device_states",
    "shared_devices": SHARED_DEVICES,
    "stretches": STRETCHES,
    "known_stretches": KNOWN_STRETCHES,
    "telling_stretches": TELLING_STRETCHES,
    "observations": OBSERVATIONS,
    "untagged_touches": UNTAGGED_TOUCHES,
    "tagged_touches": TAGGED_TOUCHES,
}
WITH_BOTS: Mapping[str, str] = {"device_states": DEVICE_STATES_WITH_BOTS}
DECIDED: Mapping[str, str] = {"devices": DECIDED_DEVICES}
NEAR: Mapping[str, str] = {"devices": LINKED_DEVICES, "observations": ALL_OBSERVATIONS}
# The states that relations above read: their tables, or with `as_of` what follows from the events.
READ_STATES = ("links", "half_hours", "visitor_touches", "user_touches")


# Of devices on which decisions may change who was seen: who was.
OF_DECIDED = f"""
WITH decided_devices AS (
    SELECT r.visitor AS device,
        minIf($person_hash, $is_linked) AS least, maxIf($person_hash, $is_linked) AS greatest
    FROM links AS r
    WHERE r.{PROJECT}
        $people
        AND ($concerned)
    GROUP BY r.visitor
)
SELECT device, least, greatest
FROM decided_devices
ORDER BY device"""
OF_ALIASED = f"""r.visitor IN (
        SELECT visitor FROM links WHERE {PROJECT} AND user_id IN {{aliased:Array(String)}}
            $people
    )"""
UNLINKED = "r.visitor IN {unlinked_visitors:Array(UInt64)}"


def decided_devices(reads: Reads, resolution: Resolution) -> dict[str, object]:
    """The values that `devices` binds on a resolution with decisions."""
    concerned = [fill(OF_ALIASED, resolution.slots)] if resolution.persons else []
    concerned += [UNLINKED] if resolution.unlinked else []
    sql = fill(OF_DECIDED, {**resolution.slots, "concerned": " OR ".join(concerned)})
    rows = reads.query(sql, bound(sql, resolution.params))
    names = {"device": "decided_devices", "least": "decided_least", "greatest": "decided_greatest"}
    return {name: [row[column] for row in rows] for column, name in names.items()}


def what_counts(resolution: Resolution, near: str = "") -> dict[str, str]:
    """The relations above on this resolution. `near`: a condition on `r.visitor` that leaves few
    devices, for questions about these."""
    texts = {**STATES, **(WITH_BOTS if resolution.bots else {})}
    if near or resolution.as_of:
        texts |= NEAR
    elif resolution.decided:
        texts |= DECIDED
    tables = {table: f"{table}_then" if resolution.as_of else table for table in READ_STATES}
    slots = {**resolution.slots, **tables, "near": f"AND {near}" if near else ""}
    filled = {name: fill(text, slots) for name, text in texts.items()}
    if resolution.as_of:
        of_these = near.replace("r.", "e.") or "TRUE"
        filled |= {tables[table]: relation(table, of_these, COUNTED) for table in READ_STATES}
    return filled
