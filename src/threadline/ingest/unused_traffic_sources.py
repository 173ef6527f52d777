"""Names of sources and campaigns that nobody comes by any more, after people were forgotten."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager

from threadline.identity.resolution import PROJECT
from threadline.store import Store

TRAFFIC_SOURCES_AT_ONCE = 5000

OF_TRAFFIC_SOURCES = f"{PROJECT} AND traffic_source IN {{traffic_sources:Array(UInt64)}}"
NAMED = f"SELECT DISTINCT traffic_source FROM traffic_sources WHERE {OF_TRAFFIC_SOURCES}"
# One that many come by is found at once, so mostly this ends early.
USED = f"""
    SELECT DISTINCT traffic_source FROM events WHERE {OF_TRAFFIC_SOURCES} LIMIT {{most:UInt64}}
    SETTINGS max_threads = 1"""
# First touches may outlive their events.
TOUCHED = " UNION DISTINCT ".join(
    f"""
    SELECT DISTINCT first_touch.traffic_source AS traffic_source FROM {table}
    WHERE {PROJECT} AND first_touch.traffic_source IN {{traffic_sources:Array(UInt64)}}"""
    for table in ("visitor_touches", "user_touches")
)
PARTS = "FROM system.parts WHERE database = currentDatabase() AND table = 'events' AND active"
NEWEST = f"SELECT max(max_block_number) AS block {PARTS}"
USED_SINCE = f"""
    SELECT DISTINCT traffic_source FROM events
    WHERE {OF_TRAFFIC_SOURCES}
        AND _part IN (SELECT name {PARTS} AND max_block_number > {{block:Int64}})"""


def delete(
    store: Store,
    project_id: str,
    traffic_sources: Sequence[int],
    no_inserts: Callable[[], AbstractContextManager[object]],
) -> None:
    """Delete the names of those of the traffic sources that no event has.

    `no_inserts`: nothing gets into the store as long as the block lasts; not needed while it is
    looked for. Raises `StoreError`.
    """
    for node in store.nodes:  # each has the names of its own events
        for start in range(0, len(traffic_sources), TRAFFIC_SOURCES_AT_ONCE):
            some = traffic_sources[start : start + TRAFFIC_SOURCES_AT_ONCE]
            _delete_on(node, store, {"project_id": project_id}, some, no_inserts)


def _delete_on(
    node: Store,
    store: Store,
    bound: dict[str, object],
    some: Sequence[int],
    no_inserts: Callable[[], AbstractContextManager[object]],
) -> None:
    """Of one of the store's nodes."""

    def those(sql: str, some: Collection[int], at: Store = node, **more: object) -> set[int]:
        if not some:
            return set()
        rows = at.query(sql, {**bound, "traffic_sources": sorted(some), **more})
        return {row["traffic_source"] for row in rows}

    (newest,) = node.query(NEWEST, {})
    unused = those(NAMED, some)
    unused -= those(USED, unused, most=len(unused))
    # A touch whose event is gone may lie on another shard by now than the name.
    looked_at = store.nodes
    for each in looked_at:
        unused -= those(TOUCHED, unused, at=each)
    if not unused:
        return
    with no_inserts():
        # What came since brought its name along, into a row of its own or this one.
        unused -= those(USED_SINCE, unused, block=newest["block"])
        for each in store.nodes:
            if each not in looked_at:  # a shard that was added meanwhile
                unused -= those(TOUCHED, unused, at=each)
        if unused:
            named = bound | {"traffic_sources": sorted(unused)}
            node.delete("traffic_sources", OF_TRAFFIC_SOURCES, named)
