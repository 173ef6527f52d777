"""The names that only the forgotten used: of events, and keys of properties.

The state `names` counts all people together, by month and by share of the visitors. Where any of
their events went, the share's count is larger than what is left; there it is counted anew.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from threadline.identity import states
from threadline.identity.resolution import PROJECT
from threadline.ingest.forget_plan import SLICED, Share, side_by_side
from threadline.store import Store
from threadline.store.states import MONTH

# The share of a visitor is its first bits, so that of the events it is one stretch.
SHIFT = 60
IN_SHARE = f"e.{PROJECT} AND e.visitor BETWEEN {{first:UInt64}} AND {{last:UInt64}}"
CHANGED = f"""
    SELECT month
    FROM (
        SELECT month, toInt64(events) AS counted FROM names
        WHERE {PROJECT} AND type = 0 AND share = {{share:UInt8}}
        UNION ALL
        SELECT {MONTH} AS month, -1 AS counted FROM events AS e WHERE {IN_SHARE}
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


def count_anew(store: Store, gone: Share, at_once: int) -> None:
    """Count the names anew where events of theirs were deleted, while nothing is inserted. However
    often it is done, it ends in the same place. Raises `StoreError`."""
    project = {"project_id": gone.project_id}
    everywhere: set[int] = set().union(*(getattr(gone, name) for name in SLICED))
    shares = sorted({visitor >> SHIFT for visitor in everywhere})
    looks = [partial(_changed, store, project, share) for share in shares]
    changed = [each for each in side_by_side(looks, at_once) if each.months]
    if not changed:
        return
    bound: dict[str, object] = {
        **project,
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
            {**_bounds(project, share), "months": list(map(str, months))},
        )
        for share, months in changed
    ]
    side_by_side(additions, at_once)


def _changed(store: Store, project: dict[str, str], share: int) -> _Changed:
    rows = store.query(CHANGED, {**_bounds(project, share), "share": share})
    return _Changed(share, [row["month"] for row in rows])


def _bounds(project: dict[str, str], share: int) -> dict[str, object]:
    first = share << SHIFT
    return {**project, "first": first, "last": first + (1 << SHIFT) - 1}
