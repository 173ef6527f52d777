"""Names of sources and campaigns that nobody comes by any more, after people were forgotten."""

from collections.abc import Callable, Sequence
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
    if len(store.nodes) > 1:  # each has the names of its own events
        for node in store.nodes:
            delete(node, project_id, traffic_sources, no_inserts)
        return
    for start in range(0, len(traffic_sources), TRAFFIC_SOURCES_AT_ONCE):
        bound: dict[str, object] = {"project_id": project_id}

        def those(sql: str, some: Sequence[int], **more: object) -> set[int]:
            rows = store.query(sql, {**bound, "traffic_sources": some, **more})  # noqa: B023
            return {row["traffic_source"] for row in rows}

        (newest,) = store.query(NEWEST, {})
        unused = those(NAMED, traffic_sources[start : start + TRAFFIC_SOURCES_AT_ONCE])
        if unused:
            unused -= those(USED, sorted(unused), most=len(unused))
        if unused:
            unused -= those(TOUCHED, sorted(unused))
        if not unused:
            continue
        with no_inserts():
            # What came since brought its name along, into a row of its own or this one.
            unused -= those(USED_SINCE, sorted(unused), block=newest["block"])
            if unused:
                store.delete(
                    "traffic_sources",
                    OF_TRAFFIC_SOURCES,
                    bound | {"traffic_sources": sorted(unused)},
                )
