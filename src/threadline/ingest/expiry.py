"""Deleting events that are older than a project keeps them, and what follows from them.

What goes is told by time alone, so whoever does it again finds the very same: events go last,
and until then they say what has to be made anew. Nothing is inserted meanwhile. A state is deleted
where it may follow from what goes, then added to from what remains.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import msgspec

from threadline.identity import states
from threadline.identity.resolution import PROJECT
from threadline.ingest import unused_traffic_sources
from threadline.ingest.forget_plan import NUMBERS_AT_ONCE, in_turn
from threadline.ingest.too_old import GOING, LATEST, Cuts, going, older
from threadline.store import RETENTION, Statements, Store, begin, finish, unfinished
from threadline.store.states import HALF_HOUR_MS, OBSERVED

# Devices that lost a user are looked at one by one, up to so many; past that, all of the project.
MOST_DEVICES = 20 * NUMBERS_AT_ONCE


def _half_hour(at: str = "") -> str:
    return f"toUInt32(intDiv(toUnixTimestamp64Milli({at}timestamp), {HALF_HOUR_MS}))"


STAYS = f"e.{PROJECT} AND NOT ({GOING})"

MONTHS = f"""
    SELECT e._partition_id AS month, min(e.timestamp) AS first, max(e.timestamp) AS last,
        min({_half_hour("e.")}) AS since, max({_half_hour("e.")}) AS until, count() AS events
    FROM events AS e
    WHERE e.{PROJECT} AND {GOING}
    GROUP BY month
    ORDER BY month"""
ALL_OF_MONTHS = """
    SELECT _partition_id AS month, count() AS events FROM events
    WHERE _partition_id IN {months:Array(String)}
    GROUP BY month"""

OLD = f"SELECT DISTINCT $key FROM events WHERE {PROJECT} AND timestamp < {LATEST}"
OLD_TRAITS = older("tupleElement(said, 'at')")
FIRST_TOUCH = "tupleElement(first_touch, 'timestamp')"
# States of identity: which rows may follow from what goes, and of whom they are made anew.
TOUCHED = {
    "links": (older("first_seen"), "visitor"),
    "visitor_touches": (older(FIRST_TOUCH), "visitor"),
    "user_touches": (f"({older('known_since')} OR {older(FIRST_TOUCH)})", "user_hash"),
}
LEFT_ALONE = f"""
    SELECT visitor
    FROM (
        SELECT e.visitor AS visitor, e.user_hash AS user_hash, max(NOT ({GOING})) AS stays
        FROM events AS e
        WHERE e.{PROJECT} AND {OBSERVED} AND e.visitor IN (
            SELECT visitor FROM events AS e WHERE e.{PROJECT} AND {GOING} AND {OBSERVED}
        )
        GROUP BY visitor, e.is_bot, user_hash
    )
    GROUP BY visitor
    HAVING min(stays) = 0
    LIMIT {MOST_DEVICES + 1}"""
NAMED = f"SELECT traffic_source FROM traffic_sources WHERE {PROJECT} GROUP BY traffic_source"
# By month, as the events are.
MONTHLY = ("half_hours", "names", "events")


def interrupted(store: Statements) -> list[Cuts]:
    """What somebody began and did not finish."""
    return [
        msgspec.json.decode(mark.reach, type=Cuts)
        for mark in unfinished(store)
        if mark.name == RETENTION
    ]


def expire(
    store: Store,
    cuts: Cuts,
    outlived: bool,
    no_inserts: Callable[[], AbstractContextManager[object]],
    progressed: Callable[[str], None] = lambda step: None,
) -> int:
    """Delete what is older than `cuts` say; how many events that were. Again after a crash it ends
    in the same place. `outlived`: there are first touches whose events are gone. `no_inserts`:
    nothing gets into the store as long as the block lasts. Raises `StoreError`.

    The disk still holds it until the store has rewritten what held it."""
    found = [row for node in store.nodes for row in node.query(MONTHS, cuts.bound)]
    ends_outliving = outlived and not cuts.first_touch
    begun = any(left.project_id == cuts.project_id for left in interrupted(store))
    if not (found or ends_outliving or begun):
        return 0
    reach = msgspec.json.encode(cuts).decode()
    begin(store, RETENTION, [cuts.project_id], reach)
    with no_inserts():
        for node in store.nodes:
            _Expiring(node, cuts, ends_outliving, progressed).run()
    progressed("traffic_sources")
    named = [row["traffic_source"] for row in store.query(NAMED, cuts.bound)]
    unused_traffic_sources.delete(store, cuts.project_id, named, no_inserts)
    finish(store, RETENTION, cuts.project_id)
    return sum(int(row["events"]) for row in found)


class _Expiring:
    def __init__(
        self, store: Store, cuts: Cuts, ends_outliving: bool, progressed: Callable[[str], None]
    ) -> None:
        self._store = store
        self._cuts = cuts
        self._all = ends_outliving
        self._progressed = progressed
        # What came since it was looked at first is in it, too.
        found = store.query(MONTHS, cuts.bound)
        self._months = [str(row["month"]) for row in found]
        self._bound: dict[str, object] = {
            **cuts.bound,
            "months": self._months,
            "numbers": list(map(int, self._months)),
            **{f"since_{row['month']}": int(row["since"]) for row in found},
            **{f"until_{row['month']}": int(row["until"]) for row in found},
        }
        whole = {str(row["month"]): int(row["events"]) for row in found}
        rows = store.query(ALL_OF_MONTHS, {"months": self._months}) if found else []
        self._whole = [
            str(row["month"]) for row in rows if int(row["events"]) == whole[str(row["month"])]
        ]

    def run(self) -> None:
        if self._months:
            self._counted()
        if not self._cuts.first_touch:
            self._identity()
        for table in MONTHLY:
            self._progressed(table)
            for month in self._whole:
                self._store.execute(f"ALTER TABLE {table} DROP PARTITION ID '{int(month)}'")
        if len(self._whole) < len(self._months):
            self._store.delete("events", f"{PROJECT} AND {going()}", self._bound)

    def _counted(self) -> None:
        """What is counted, and what is a row for each event."""
        # Where all names go at midnight, nothing is left of a half hour.
        left = f"{STAYS} AND {self._in_windows(_half_hour('e.'))}" if self._cuts.by_event else ""
        made_anew = (
            ("half_hours", self._in_windows("half_hour"), left),
            ("account_links", self._in_windows(_half_hour()), left),
            (
                "names",
                "month IN {numbers:Array(UInt32)}",
                f"{STAYS} AND e._partition_id IN {{months:Array(String)}}",
            ),
        )
        for table, gone, left in made_anew:
            self._progressed(table)
            self._store.delete(table, f"{PROJECT} AND {gone}", self._bound)
            if left:
                states.add(self._store, table, left, self._bound)
        identified_ms = self._cuts.by_event.get("$identify", self._cuts.cut_ms)
        bound = {"project_id": self._cuts.project_id, "latest_ms": identified_ms}
        self._store.delete("traits", f"{PROJECT} AND {OLD_TRAITS}", bound)

    def _in_windows(self, half_hour: str) -> str:
        """That it is between the first and the last of a month that something goes of."""
        between = [
            f"{half_hour} BETWEEN {{since_{month}:UInt32}} AND {{until_{month}:UInt32}}"
            for month in self._months
        ]
        return f"({' OR '.join(between)})"

    def _identity(self) -> None:
        self._progressed("device_users")
        self._device_users()
        for table, (gone, key) in TOUCHED.items():
            self._progressed(table)
            self._store.delete(table, f"{PROJECT} AND {gone}", self._bound)
            of_old = "" if self._all else f" AND e.{key} IN ({OLD.replace('$key', key)})"
            states.add(self._store, table, f"{STAYS}{of_old}", self._bound)

    def _device_users(self) -> None:
        """It has no times, so the devices are named: those where somebody is not seen any more."""
        devices: Sequence[int] = []
        if not self._all:
            devices = [row["visitor"] for row in self._store.query(LEFT_ALONE, self._bound)]
        if self._all or len(devices) > MOST_DEVICES:
            self._store.delete("device_users", PROJECT, self._bound)
            states.add(self._store, "device_users", STAYS, self._bound)
            return
        for some in in_turn(devices, NUMBERS_AT_ONCE):
            bound = {**self._bound, "devices": list(some)}
            these = "visitor IN {devices:Array(UInt64)}"
            self._store.delete("device_users", f"{PROJECT} AND {these}", bound)
            states.add(self._store, "device_users", f"{STAYS} AND e.{these}", bound)
