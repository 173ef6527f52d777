"""Forgetting a person or a device: rows, links and states, in an order that bears a crash.

A request travels through the log like an event, so it covers exactly what was accepted before it.
The writer carries it out and, should it be interrupted, from the start again: what has to be
deleted is found through the links, and those go last.
"""

import numpy as np

from threadline.identity import decisions, states
from threadline.identity.ground import PROJECT, USERS, Ground
from threadline.ingest.accept import event_id_hash
from threadline.ingest.log import ForgetRequest, Log
from threadline.ingest.seen import SeenIds
from threadline.store import Store

DEVICES_OF_USER = f"SELECT visitor FROM links WHERE {PROJECT} AND {USERS}"

# Where a user was unlinked, others' untagged events are not theirs to take along.
SOLE_DEVICES = f"""
    SELECT l.visitor AS visitor, any(l.anonymous_id) AS anonymous_id
    FROM {Ground("any", unlinked=True, bots=True).links} AS l
    WHERE l.visitor IN {{devices:Array(UInt64)}}
    GROUP BY l.visitor HAVING groupUniqArray(l.user_id) = {{user_ids:Array(String)}}"""

USERS_OF_DEVICE = f"""
    SELECT DISTINCT user_id FROM links
    WHERE {PROJECT} AND visitor = sipHash64({{anonymous_id:String}})"""

OF_USER = f"""{PROJECT} AND (
    ({USERS} AND (
        visitor IN {{devices:Array(UInt64)}}
        OR visitor = sipHash64('user', {{user_ids:Array(String)}}[1])
    ))
    OR (user_id IS NULL AND visitor IN {{sole_devices:Array(UInt64)}})
)"""
OF_DEVICE = f"{PROJECT} AND visitor = sipHash64({{anonymous_id:String}})"
OF_SOLE_DEVICES = f"{PROJECT} AND visitor IN {{sole_devices:Array(UInt64)}}"
OF_DEVICES = f"{PROJECT} AND visitor IN {{devices:Array(UInt64)}}"
OF_USERS = f"{PROJECT} AND {USERS}"
OF_PLACES = f"{PROJECT} AND place IN {{places:Array(UInt64)}}"
ACTIVITY_OF_USER = f"""{PROJECT} AND (
    user_hash = sipHash64('user', {{user_ids:Array(String)}}[1])
    OR (user_hash = 0 AND visitor IN {{sole_devices:Array(UInt64)}})
)"""

# A link may carry anything in its campaign.
PLACES_OF_NO_EVENT = f"""
    SELECT place FROM places
    WHERE {PROJECT} AND place NOT IN (SELECT place FROM events WHERE {PROJECT})"""

TAGGED = f"""e.{OF_USERS} AND e.visitor IN (
        {DEVICES_OF_USER}
        UNION ALL SELECT sipHash64('user', arrayJoin({{user_ids:Array(String)}}))
    )"""


def forget(store: Store, log: Log, seen: SeenIds, request: ForgetRequest) -> None:
    """Delete all that the store holds of one user, or of one device. Raises `StoreError`."""
    if request.user_id is not None:
        _forget_user(store, log, seen, request, request.user_id)
    elif request.anonymous_id is not None:
        _forget_device(store, log, seen, request, request.anonymous_id)


def _forget_user(
    store: Store, log: Log, seen: SeenIds, request: ForgetRequest, user_id: str
) -> None:
    bound: dict[str, object] = {"project_id": request.project_id, "user_ids": [user_id]}
    bound["devices"] = [row["visitor"] for row in store.query(DEVICES_OF_USER, bound)]
    sole_devices = store.query(SOLE_DEVICES, bound)
    bound["sole_devices"] = [row["visitor"] for row in sole_devices]
    sole_ids = {row["anonymous_id"] for row in sole_devices}
    _forget_ids(store, log, seen, request, OF_USER, bound)
    log.forget_dead_letters(
        request.project_id,
        lambda event: (
            event["user_id"] == user_id
            or (event["user_id"] is None and event["anonymous_id"] in sole_ids)
        ),
    )
    store.delete("events", OF_USER, bound)
    store.delete("activity", ACTIVITY_OF_USER, bound)
    store.delete("visitor_touches", OF_SOLE_DEVICES, bound)
    store.delete("user_touches", OF_USERS, bound)
    store.delete("device_users", OF_DEVICES, bound)
    # Others may have been seen on the user's devices, too.
    states.add(store, "device_users", f"e.{OF_DEVICES}", bound)
    decisions.forget_user(store, request.project_id, user_id)
    _forget_places(store, bound)
    store.delete("links", OF_USERS, bound)


def _forget_device(
    store: Store, log: Log, seen: SeenIds, request: ForgetRequest, anonymous_id: str
) -> None:
    bound: dict[str, object] = {"project_id": request.project_id, "anonymous_id": anonymous_id}
    bound["user_ids"] = [row["user_id"] for row in store.query(USERS_OF_DEVICE, bound)]
    _forget_ids(store, log, seen, request, OF_DEVICE, bound)
    log.forget_dead_letters(request.project_id, lambda event: event["anonymous_id"] == anonymous_id)
    store.delete("events", OF_DEVICE, bound)
    store.delete("activity", OF_DEVICE, bound)
    store.delete("visitor_touches", OF_DEVICE, bound)
    store.delete("device_users", OF_DEVICE, bound)
    # Others' first touch may have been on this device; it is now whatever remains of them.
    store.delete("user_touches", OF_USERS, bound)
    states.add(store, "user_touches", TAGGED, bound)
    store.delete("unlinks", OF_DEVICE, bound)
    _forget_places(store, bound)
    store.delete("links", OF_DEVICE, bound)


def _forget_places(store: Store, bound: dict[str, object]) -> None:
    bound["places"] = [row["place"] for row in store.query(PLACES_OF_NO_EVENT, bound)]
    if bound["places"]:
        store.delete("places", OF_PLACES, bound)


def _forget_ids(
    store: Store,
    log: Log,
    seen: SeenIds,
    request: ForgetRequest,
    condition: str,
    bound: dict[str, object],
) -> None:
    rows = store.query(f"SELECT event_id FROM events WHERE {condition}", bound)
    log.count_forgotten(request.receipt_id, len(rows))
    hashes = [event_id_hash(log.id_key, request.project_id, row["event_id"]) for row in rows]
    seen.forget(np.array(hashes, dtype=np.uint64))
