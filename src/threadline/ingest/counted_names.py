"""The counts of names: of events, and keys of properties.

The state `names` counts all people together, by month and by share of the visitors; it is the one
that has to meet each event once. Where events went with somebody forgotten, a share's count is
larger than what is left. Where an insert was cut off between the events and the states that follow
them, and the states were made anew before it was tried again, it met those events twice. There it
is counted anew.
"""

from collections.abc import Collection, Sequence
from functools import partial
from typing import NamedTuple

from threadline.identity import states
from threadline.identity.resolution import PROJECT
from threadline.ingest.forget_plan import SLICED, Share, side_by_side
from threadline.store import Store
from threadline.store.states import MONTH

# As many as the store has handles to write with.
AT_ONCE = 2
# The share of a visitor is its first bits, so that of the events it is one stretch.
SHIFT = 60
SHARES = range(16)
IN_SHARE = f"e.{PROJECT} AND e.visitor BETWEEN {{first:UInt64}} AND {{last:UInt64}}"
# No months: all.
CHANGED = f"""
    SELECT month
    FROM (
        SELECT month, toInt64(events) AS counted FROM names
        WHERE {PROJECT} AND type = 0 AND share = {{share:UInt8}}
            AND (empty({{months:Array(String)}}) OR toString(month) IN {{months:Array(String)}})
        UNION ALL
        SELECT {MONTH} AS month, -1 AS counted FROM events AS e
        WHERE {IN_SHARE}
            AND (empty({{months:Array(String)}}) OR e._partition_id IN {{months:Array(String)}})
    )
    GROUP BY month
    HAVING sum(counted) != 0
    ORDER BY month"""
COUNTED = f"""{PROJECT}
    AND (month, share) IN arrayZip({{months:Array(UInt32)}}, {{shares:Array(UInt8)}})"""
IN_MONTHS = f"{IN_SHARE} AND e._partition_id IN {{months:Array(String)}}"


class _Changed(NamedTuple):
    share: int
    months: Sequence[int]


def shares_of(gone: Share) -> set[int]:
    """Those of the visitors that something goes from."""
    everywhere: set[int] = set().union(*(getattr(gone, name) for name in SLICED))
    return {visitor >> SHIFT for visitor in everywhere}


def count_anew(
    store: Store,
    project_id: str,
    shares: Collection[int] = SHARES,
    months: Collection[str] = (),
) -> bool:
    """Count the names anew where there are not as many as events, while nothing is inserted; in
    these months of events, or in all. However often it is done, it ends in the same place. Whether
    there was anything to do. Raises `StoreError`."""
    found = [_count_node(node, project_id, shares, months) for node in store.nodes]
    return any(found)


def _count_node(
    store: Store, project_id: str, shares: Collection[int], months: Collection[str]
) -> bool:
    looks = [partial(_changed, store, project_id, share, months) for share in sorted(shares)]
    changed = [each for each in side_by_side(looks, AT_ONCE) if each.months]
    if not changed:
        return False
    bound: dict[str, object] = {
        "project_id": project_id,
        "months": [month for each in changed for month in each.months],
        "shares": [each.share for each in changed for _ in each.months],
    }
    store.delete("names", COUNTED, bound)
    additions = [
        partial(
            states.add,
            store,
            "names",
            IN_MONTHS,
            {**_bounds(project_id, share), "months": list(map(str, months))},
        )
        for share, months in changed
    ]
    side_by_side(additions, AT_ONCE)
    return True


def _changed(store: Store, project_id: str, share: int, months: Collection[str]) -> _Changed:
    bound = {**_bounds(project_id, share), "share": share, "months": sorted(months)}
    return _Changed(share, [row["month"] for row in store.query(CHANGED, bound)])


def _bounds(project_id: str, share: int) -> dict[str, object]:
    first = share << SHIFT
    return {"project_id": project_id, "first": first, "last": first + (1 << SHIFT) - 1}
