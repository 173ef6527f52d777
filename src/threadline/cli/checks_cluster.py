"""A check of the nodes of a cluster, each by itself."""

import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from threadline.cli.finding import Finding
from threadline.settings import Settings
from threadline.store import StoreError, store_url, without_password
from threadline.store.address import cluster_address
from threadline.store.cluster import own_visitors, place
from threadline.store.connection import READONLY, connect
from threadline.store.errors import store_errors

ANSWER_S = 60
# Days, retention and what is new are told by the clocks of nodes, too.
CLOCKS_APART_MS = 5_000
NODE = """
    SELECT version() AS version, toUnixTimestamp64Milli(now64(3)) AS now_ms,
        (SELECT max(number) FROM schema_migrations) AS schema"""
ASTRAY = "SELECT countIf(NOT (%s)) AS astray, count() AS events FROM events"


class CheckedNode(NamedTuple):
    """`ahead_ms`: how far its clock is before this machine's; it may be behind. `astray`: of its
    events, those of visitors of another shard."""

    version: str
    schema: int
    ahead_ms: int
    events: int
    astray: int


def cluster(chosen: Settings, folder: Path) -> Finding | None:
    """None where the store is no cluster."""
    address = cluster_address(store_url(chosen.store, folder))
    if not address:
        return None
    found: dict[str, CheckedNode] = {}
    for url in address.nodes:
        try:
            found[without_password(url)] = _look(url, address.cluster)
        except StoreError as error:
            return Finding(
                f"the node at {without_password(url)}: {error}",
                "Start it, or correct THREADLINE_STORE. Until then questions get 503, and events"
                " wait in the log.",
            )
    return _judged(found)


def _look(url: str, name: str) -> CheckedNode:
    """Raises `StoreError`."""
    with store_errors(), closing(connect(url, ANSWER_S, {READONLY: 1})) as client:
        before_ms = time.time_ns() // 1_000_000
        (row,) = client.query(NODE).named_results()
        after_ms = time.time_ns() // 1_000_000
        (counted,) = client.query(ASTRAY % own_visitors(place(client, name))).named_results()
    # It was asked at some moment between the two.
    ahead_ms = int(row["now_ms"]) - min(max(int(row["now_ms"]), before_ms), after_ms)
    return CheckedNode(
        row["version"], row["schema"], ahead_ms, counted["events"], counted["astray"]
    )


def _judged(found: dict[str, CheckedNode]) -> Finding:
    for at, node in found.items():
        if node.astray:
            return Finding(
                f"{node.astray:,} of {node.events:,} events on {at} are of other shards' visitors,"
                " so answers count them apart from these",
                "Give shards the numbers in remote_servers that they had when the events came.",
            )
        if abs(node.ahead_ms) > CLOCKS_APART_MS:
            way = "ahead of" if node.ahead_ms > 0 else "behind"
            return Finding(
                f"the clock of {at} is {abs(node.ahead_ms) / 1000:,.0f} s {way} this machine's",
                "Have all machines take the time from the same server (NTP).",
            )
    for what, values in (
        ("schema", {str(node.schema) for node in found.values()}),
        ("ClickHouse", {node.version for node in found.values()}),
    ):
        if len(values) > 1:
            return Finding(
                f"nodes differ: {what} {' and '.join(sorted(values))}",
                "Restart threadline serve, which migrates all nodes."
                if what == "schema"
                else "Bring all nodes to the same version.",
            )
    each = ", ".join(f"{node.events:,}" for node in found.values())
    return Finding(f"{len(found)} nodes answer, with {each} events of their own shards")
