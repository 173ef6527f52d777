"""Forgetting people and devices: what there is of them is found, written down, and deleted.

Requests travel through the log like events, so they cover exactly what was accepted before them.
Those that lie in it one behind the other are carried out together: `find` looks for what has to go;
the log keeps that as a plan, so that after a crash the very same goes, however much of it is gone
already. `delete` tells the store, with one deletion a table for all of them; it leaves all of it
out of every answer from then on, but not what comes later. The parts that hold it are rewritten
beside inserts and questions. `erase.py` waits for that.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from threadline.identity import states
from threadline.identity.resolution import PROJECT
from threadline.ingest.counted_states import AT_ONCE, count_anew, shares_of
from threadline.ingest.dedup import Dedup
from threadline.ingest.forget_plan import (
    DECISIONS,
    EVENTS,
    ON_DEVICES,
    Share,
    decode,
    encode,
    of_users,
    side_by_side,
)
from threadline.ingest.forget_search import find, find_ahead
from threadline.store import Store

__all__ = [
    "DECISIONS",
    "DELETED",
    "Share",
    "decode",
    "delete",
    "encode",
    "find",
    "find_ahead",
]

# Every table that tells of people; `event_ids`, `traffic_sources` and `names` do not.
# Each with what it is about: where there is none of that, there is nothing to delete.
DELETED = {
    "events": (EVENTS, ("visitors", "devices")),
    "half_hours": (EVENTS, ("visitors", "devices")),
    "account_links": (EVENTS, ("visitors", "devices")),
    "visitor_touches": (
        f"{PROJECT} AND (visitor IN {{untagged:Array(UInt64)}} OR {ON_DEVICES})",
        ("untagged", "devices"),
    ),
    "user_touches": (
        f"""{PROJECT} AND (
            {of_users("user_id")} OR sipHash64('user', user_id) IN {{others:Array(UInt64)}}
        )""",
        ("visitors", "others"),
    ),
    "traits": (
        f"""{PROJECT} AND (
            user_hash IN {{users:Array(UInt64)}} OR user_hash IN {{others:Array(UInt64)}}
        )""",
        ("visitors", "others"),
    ),
    "device_users": (
        f"{PROJECT} AND (visitor IN {{visitors:Array(UInt64)}} OR {ON_DEVICES})",
        ("visitors", "devices"),
    ),
    "links": (
        f"{PROJECT} AND (user_hash IN {{users:Array(UInt64)}} OR {ON_DEVICES})",
        ("visitors", "devices"),
    ),
}

# What was deleted with it and belongs to somebody else follows from the events that remain.
REMAINING = {
    "device_users": (f"e.{PROJECT} AND e.visitor IN {{shared:Array(UInt64)}}", "shared"),
    "user_touches": (f"e.{PROJECT} AND e.visitor IN {{of_others:Array(UInt64)}}", "of_others"),
    "traits": (f"e.{PROJECT} AND e.visitor IN {{of_others:Array(UInt64)}}", "of_others"),
}


# Links may outlive the events that showed them.
DEVICE_USERS_OF_LINKS = f"""
    INSERT INTO device_users (project_id, is_bot, visitor, least, greatest)
    SELECT project_id, is_bot, visitor, min(user_hash), max(user_hash) FROM links
    WHERE {PROJECT} AND visitor IN {{shared:Array(UInt64)}}
    GROUP BY project_id, is_bot, visitor"""


def delete(store: Store, dedup: Dedup, shares: Sequence[Share]) -> None:
    """Have the store leave all of it out of every answer, and delete it. However often it is
    done, it ends in the same place, until anything else is inserted. Raises `StoreError`."""
    deletions: list[Callable[[], None]] = []
    additions: list[Callable[[], None]] = []
    for share in shares:
        deletions.append(partial(dedup.forget, np.frombuffer(share.event_ids, dtype=np.uint64)))
        decided = DECISIONS if share.decided is None else share.decided
        for bound in share.slices():
            for table, (condition, about) in DELETED.items():
                if any(bound[name] for name in about):
                    deletions.append(partial(store.delete, table, condition, bound))
            for table in decided:
                deletions.append(partial(store.delete, table, DECISIONS[table], bound))
            for table, (where, about_others) in REMAINING.items():
                if bound[about_others]:
                    additions.append(partial(states.add, store, table, where, bound))
            if bound["shared"]:
                additions += [
                    partial(node.execute, DEVICE_USERS_OF_LINKS, bound) for node in store.nodes
                ]
    side_by_side(deletions, AT_ONCE)
    # Of the events that nothing is missing of any more.
    side_by_side(additions, AT_ONCE)
    for share in shares:
        count_anew(store, "names", share.project_id, shares_of(share))
