"""Does the log that writes into this store remember what it wrote?

The store keeps which log that is. A `log.db` that was lost or put in another's place has another
id; one that lost its newest part (`log.db-wal`) knows less than the store has.
"""

from hashlib import sha256
from typing import NamedTuple

import structlog

from threadline.contract.times import DAY_MS, format_ms
from threadline.control.others import KnownLog
from threadline.ingest.log import Log
from threadline.store import Statements, Store

REPLACED, CUT, EMPTIED = "replaced", "cut", "store lost"
# The same where event_ids are hashed with a key that the control plane has.
REPLACED_KNOWN = "replaced, event_ids known"

WRITTEN_FROM = "SELECT number, log_hash, lost FROM logs ORDER BY number DESC LIMIT 1"
WRITTEN_BY = "SELECT 1 AS one FROM logs WHERE log_hash = {log_hash:String} LIMIT 1"
LOST = "SELECT count() AS logs FROM logs WHERE lost != ''"
LATEST = """
    SELECT lost, toUnixTimestamp64Milli(at) AS at_ms FROM logs
    WHERE lost != '' ORDER BY number DESC LIMIT 1"""
# The newest events lie in the newest parts.
NEWEST = """
    SELECT toUnixTimestamp64Milli(max(received_at)) AS newest_ms FROM events
    WHERE _part IN (
        SELECT name FROM system.parts
        WHERE database = currentDatabase() AND table = 'events' AND active
        ORDER BY max_block_number DESC LIMIT 20
    )"""
ANY_EVENT = "SELECT 1 FROM events LIMIT 1"
NOTE = """
    INSERT INTO logs (number, log_hash, lost)
    SELECT {number:UInt32}, {log_hash:String}, {lost:String}"""

MEANINGS = {
    EMPTIED: "The store holds nothing, though the log (log.db) has written events into one: it was "
    "lost, or another store is named now. All that was in it is missing from every answer.",
    REPLACED: "The log (log.db) is not the one that this store was written from: it was lost or "
    "replaced. What had been acknowledged and was not in the store yet is lost, and event_ids from "
    "before that are sent again count again.",
    REPLACED_KNOWN: "The log (log.db) is not the one that this store was written from: it was lost "
    "or replaced. What had been acknowledged and was not in the store yet is lost. event_ids from "
    "before that are known all the same.",
    CUT: "The log (log.db) knows less than the store has: its newest part (log.db-wal) was lost. "
    "What had been acknowledged and was not in the store yet is lost, and events without an id of "
    "their own may be there twice.",
}
STORE_WAY_OUT = (
    "Stop the server and put the store's folder back from a copy, or correct THREADLINE_STORE. If "
    "nothing can be recovered, continue: events are stored from now on."
)
WAY_OUT = (
    "If you have the former log.db and log.db-wal: stop the server, put both back together, start "
    "it. Otherwise have the senders send the missing events again. Copy log.db and log.db-wal "
    "only together, and only while the server is stopped."
)

_logger = structlog.get_logger("threadline.log")


class Loss(NamedTuple):
    """A log that was lost. `meaning` and `way_out`: sentences."""

    at_ms: int
    meaning: str
    way_out: str


def check(store: Store, log: Log, before: KnownLog | None = None) -> int:
    """Say so if the log is not what it was when it last wrote into the store, and write down from
    which log the store is written from now on; how often one was lost so far. Raises `StoreError`.
    """
    log_hash = sha256(log.log_id.encode()).hexdigest()
    known = store.query(WRITTEN_FROM, {})
    number = known[0]["number"] + 1 if known else 1
    lost, newest_ms = "", 0
    if not known and log.written_seq and not store.query(ANY_EVENT, {}):
        lost = EMPTIED
    elif before:
        lost = REPLACED_KNOWN if before.replaced else ""
        lost = CUT if before.written_seq > log.written_seq else lost
        known = store.query(WRITTEN_BY, {"log_hash": log_hash})
    elif known and known[0]["log_hash"] != log_hash:
        lost = REPLACED_KNOWN if log.shares_id_key else REPLACED
    elif known:
        newest_ms = max(node.query(NEWEST, {})[0]["newest_ms"] for node in store.nodes)
        if 0 < log.moved_ms < newest_ms:
            lost = CUT
    if lost:
        what = "store_lost" if lost == EMPTIED else "log_lost"
        _logger.error(what, how=lost, meaning=MEANINGS[lost], way_out=_way_out(lost))
    if lost or not known:
        store.execute(NOTE, {"number": number, "log_hash": log_hash, "lost": lost})
    if lost == CUT:  # said once
        log.move(newest_ms)
    (counted,) = store.query(LOST, {})
    return int(counted["logs"])


def latest_loss(store: Statements, dedup_days: int, now_ms: int) -> Loss | None:
    """The newest log that was lost, as long as that has consequences: duplicates may come as late
    as `dedup_days`. Raises `StoreError`."""
    found = store.query(LATEST, {})
    if not found or int(found[0]["at_ms"]) < now_ms - dedup_days * DAY_MS:
        return None
    at_ms = int(found[0]["at_ms"])
    lost = found[0]["lost"]
    return Loss(at_ms, f"{format_ms(at_ms)}: {MEANINGS[lost]}", _way_out(lost))


def _way_out(lost: str) -> str:
    return STORE_WAY_OUT if lost == EMPTIED else WAY_OUT
