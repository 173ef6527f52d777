"""Makes the tables that `kept_visits` reads, and brings them up to date."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic
from weakref import WeakKeyDictionary

import structlog

from threadline.identity.compose import bound, fill
from threadline.identity.kept_visits import TYPES, made_to_be_kept
from threadline.identity.parts import (
    CHANGED_HALF_HOURS,
    MOST_NEWER,
    Changes,
    Seen,
    changed_devices,
    parts_now,
)
from threadline.identity.reading import Reads
from threadline.identity.resolution import PROJECT, Decisions, Resolution
from threadline.store import InMemory

_logger = structlog.get_logger("threadline")

# Of fewer half hours working visits out is as fast. Of all projects together, no more are kept.
FEWEST, MOST = 300_000, 5_000_000
AGAIN_S = 60.0

HALF_HOURS = f"""
SELECT count() AS half_hours
FROM half_hours
WHERE {PROJECT}"""
HASHES = "SELECT arrayMap(id -> sipHash64(id), {written:Array(String)}) AS devices"
THESE = "visitor IN {newer_visitors:Array(UInt64)}"


@dataclass(frozen=True)
class KeptVisits:
    """Tables with the visits of a project. `newer_visitors`: those of which `newer` says all.
    `decisions`, `timeout_ms`: what they were worked out with. They are there as long as something
    has the holds."""

    seen: Seen
    decisions: Decisions
    timeout_ms: int
    older: str
    older_hold: object
    newer: str = ""
    newer_hold: object = None
    newer_visitors: frozenset[int] = frozenset()

    @property
    def names(self) -> list[str]:
        return [self.older, self.newer]


@dataclass
class VisitsOfProject:
    """What is kept, if it is, and when that was last begun to be made, by the process's clock."""

    tables: KeptVisits | None = None
    begun_at_s: float | None = None
    is_being_made: bool = False


class VisitsKeeper:
    """Makes these tables, and brings them up to date. `hold`: keeps what has such names from being
    dropped. `beside`: has something done while questions go on."""

    def __init__(
        self,
        memory: InMemory,
        changes: Changes,
        hold: Callable[[list[str]], object],
        beside: Callable[[Callable[[], None]], object],
    ) -> None:
        self._memory = memory
        self._changes = changes
        self._hold = hold
        self._beside = beside
        # Of how many half hours each table is that is there, by what it is held by.
        self._half_hours = WeakKeyDictionary[object, int]()

    def tables(
        self,
        of_project: VisitsOfProject,
        owners_seen: Seen,
        reads: Reads,
        on: Resolution,
        timeout_ms: int,
    ) -> dict[str, object] | None:
        """What a statement binds that reads them as they are now, or None where they are not kept.
        `owners_seen`: when the owners were looked up that this resolution has."""
        if before := of_project.tables:
            of_project.tables = self._up_to_date(before, owners_seen, reads, on, timeout_ms)
        if not of_project.tables and self._is_time(of_project):
            of_project.begun_at_s, of_project.is_being_made = monotonic(), True
            self._beside(lambda: self._make(of_project, owners_seen, reads, on, timeout_ms))
        found = of_project.tables
        if not found:
            return None
        return {
            "kept": self._memory.database,
            "older_visits": found.older,
            "newer_visits": found.newer,
            "newer_visitors": sorted(found.newer_visitors),
            "hold_visits": found,
        }

    def _is_time(self, of_project: VisitsOfProject) -> bool:
        begun_at_s = of_project.begun_at_s
        long_ago = begun_at_s is None or monotonic() - begun_at_s >= AGAIN_S
        return long_ago and not of_project.is_being_made

    def _make(
        self,
        of_project: VisitsOfProject,
        seen: Seen,
        reads: Reads,
        on: Resolution,
        timeout_ms: int,
    ) -> None:
        try:
            of_project.tables = self._anew(seen, reads, on, timeout_ms)
        except Exception as error:  # noqa: BLE001 - nobody waits for it who would say so
            project_id = on.params["project_id"]
            _logger.warning("visits_not_kept", project_id=project_id, error=str(error))
        finally:
            of_project.is_being_made = False

    def _up_to_date(
        self, before: KeptVisits, seen: Seen, reads: Reads, on: Resolution, timeout_ms: int
    ) -> KeptVisits | None:
        assert on.kept
        if (before.decisions, before.timeout_ms) != (on.kept.decisions, timeout_ms):
            return None
        full_names = [f"{self._memory.database}.{name}" for name in before.names]
        if self._changes.version(reads, full_names)[1]:
            return None  # a server was started again
        if before.seen.version == seen.version:
            return before
        changed = self._changed(before.seen, seen, reads, on)
        if changed is None:
            return None
        newer = before.newer_visitors | changed
        if len(newer) > MOST_NEWER:
            return None
        if not changed:
            return replace(before, seen=seen)
        name, hold = self._made(reads, on, timeout_ms, newer)
        return replace(before, seen=seen, newer=name, newer_hold=hold, newer_visitors=newer)

    def _changed(self, before: Seen, now: Seen, reads: Reads, on: Resolution) -> set[int] | None:
        """On which devices something happened; None: perhaps on any."""
        project_id = str(on.params["project_id"])
        written = self._changes.written(before, now.version, project_id)
        if written is not None and "" not in written:
            (row,) = reads.query(HASHES, {"written": written})
            return set(row["devices"])
        sql = fill(CHANGED_HALF_HOURS, {"shared": "TRUE"})
        looked = Seen(now.version, parts_now(reads))
        return changed_devices(sql, before, looked, reads, on.params)

    def _anew(self, seen: Seen, reads: Reads, on: Resolution, timeout_ms: int) -> KeptVisits | None:
        assert on.kept
        (row,) = reads.query(HALF_HOURS, bound(HALF_HOURS, on.params))
        half_hours = row["half_hours"]
        room = MOST - sum(self._half_hours.values())
        if not FEWEST <= half_hours <= room:
            return None
        older, older_hold = self._made(reads, on, timeout_ms)
        self._half_hours[older_hold] = half_hours
        newer, newer_hold = self._made(reads, on, timeout_ms, frozenset())
        decisions = on.kept.decisions
        return KeptVisits(seen, decisions, timeout_ms, older, older_hold, newer, newer_hold)

    def _made(
        self,
        reads: Reads,
        on: Resolution,
        timeout_ms: int,
        devices: frozenset[int] | None = None,
    ) -> tuple[str, object]:
        """A table with the visits of all devices of one owner, or of some; its name, and what it
        is held by."""
        table = self._memory.table("visits", TYPES, "compress = 1")
        hold = self._hold([table])
        if devices is None or devices:
            sql = made_to_be_kept(on, "TRUE" if devices is None else THESE)
            newer = {"visit_timeout_ms": timeout_ms, "newer_visitors": sorted(devices or ())}
            self._memory.insert(table, sql, bound(sql, {**on.params, **newer}))
        return table, hold
