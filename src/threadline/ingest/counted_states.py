"""States that have sums: they have to meet each event once.

Where an insert was cut off between the events and the states that follow them, and a state was made
anew before it was tried again, it met those events twice. And `names` counts all people together,
so where events went with somebody forgotten, it has more than what is left. In such a month and
share of the visitors a state is counted anew.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import structlog

from threadline.identity import states
from threadline.identity.compose import fill
from threadline.identity.resolution import PROJECT
from threadline.ingest.forget_plan import SLICED, Share, side_by_side
from threadline.store import Store
from threadline.store.states import SHARE

# As many as the store has handles to write with.
AT_ONCE = 2
# The share of a visitor is its first bits, so that of the events it is one stretch.
SHIFT = 60
SHARES = range(16)

_logger = structlog.get_logger("threadline.writer")


class Counted(NamedTuple):
    """`each`: SQL, which rows have each event in the sum `events` once. `share`: SQL, of the
    visitors, and `of_share` which rows are of one."""

    each: str
    share: str
    of_share: str


OF_VISITOR = "visitor BETWEEN {first:UInt64} AND {last:UInt64}"
COUNTED = {
    "names": Counted("type = 0", "share", "share = {share:UInt8}"),
    "half_hours": Counted("TRUE", SHARE.replace("e.", ""), OF_VISITOR),
}
# No months: all.
CHANGED = f"""
    SELECT month
    FROM (
        SELECT toString($month) AS month, toInt64(events) AS counted FROM $table
        WHERE {PROJECT} AND $each AND $of_share
            AND (empty({{months:Array(String)}}) OR toString($month) IN {{months:Array(String)}})
        UNION ALL
        SELECT e._partition_id AS month, -1 AS counted FROM events AS e
        WHERE e.{PROJECT} AND e.{OF_VISITOR}
            AND (empty({{months:Array(String)}}) OR e._partition_id IN {{months:Array(String)}})
    )
    GROUP BY month
    HAVING sum(counted) != 0
    ORDER BY month"""
WRONG = f"""{PROJECT} AND (toString($month), $share) IN arrayZip(
        {{months:Array(String)}}, {{shares:Array(UInt8)}}
    )"""
IN_MONTHS = f"e.{PROJECT} AND e.{OF_VISITOR} AND e._partition_id IN {{months:Array(String)}}"


class _Changed(NamedTuple):
    share: int
    months: Sequence[str]


def shares_of(gone: Share) -> set[int]:
    """Those of the visitors that something goes from."""
    everywhere: set[int] = set().union(*(getattr(gone, name) for name in SLICED))
    return {visitor >> SHIFT for visitor in everywhere}


def mend(store: Store, months: Mapping[str, Collection[str]]) -> None:
    """Count all of `COUNTED` anew where it is needed, in these months of each project. To be called
    where they may have been made anew, with events of a block, between two tries to insert it.
    Raises `StoreError`."""
    for project_id, of_project in months.items():
        for table in COUNTED:
            if count_anew(store, table, project_id, months=of_project):
                _logger.warning(
                    "state_counted_anew",
                    table=table,
                    project_id=project_id,
                    months=sorted(of_project),
                )


def count_anew(
    store: Store,
    table: str,
    project_id: str,
    shares: Collection[int] = SHARES,
    months: Collection[str] = (),
) -> bool:
    """Count one of `COUNTED` anew where it has not as many events as there are, while nothing is
    inserted; in these months of events, or in all. However often it is done, it ends in the same
    place. Whether there was anything to do. Raises `StoreError`."""
    # Each has the states of its own events.
    counted = [_count(node, table, project_id, shares, months) for node in store.nodes]
    return any(counted)


def _count(
    store: Store, table: str, project_id: str, shares: Collection[int], months: Collection[str]
) -> bool:
    slots = {
        **COUNTED[table]._asdict(),
        "table": table,
        "month": states.state(table).partition,
    }

    def look(share: int) -> _Changed:
        bound = {**_bounds(project_id, share), "share": share, "months": sorted(months)}
        return _Changed(share, [row["month"] for row in store.query(fill(CHANGED, slots), bound)])

    looks = [partial(look, share) for share in sorted(shares)]
    changed = [each for each in side_by_side(looks, AT_ONCE) if each.months]
    if not changed:
        return False
    wrong = {
        "project_id": project_id,
        "months": [month for each in changed for month in each.months],
        "shares": [each.share for each in changed for _ in each.months],
    }
    store.delete(table, fill(WRONG, slots), wrong)
    additions = [
        partial(
            states.add, store, table, IN_MONTHS, {**_bounds(project_id, share), "months": of_share}
        )
        for share, of_share in changed
    ]
    side_by_side(additions, AT_ONCE)
    return True


def _bounds(project_id: str, share: int) -> dict[str, object]:
    first = share << SHIFT
    return {"project_id": project_id, "first": first, "last": first + (1 << SHIFT) - 1}
