"""What follows from events of devices that go from hand to hand, kept in memory as `kept` keeps
whose they are: there are few such devices, and finding their events takes a while.

    changing_events    as `visits` has them: those of half hours in which such devices change hands
    shared_half_hours  the state `half_hours` of these devices
    shared_touches     (visitor, person, off_page, at, event_id, traffic_source)
                       of each owner of such a device the first event there that says no user
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from threadline.identity.compose import bound, compose, fill
from threadline.identity.lookups import shared_touches
from threadline.identity.parts import (
    CHANGED_HALF_HOURS,
    MOST_NEWER,
    PartChanges,
    Seen,
    changed_devices,
    parts_now,
)
from threadline.identity.reading import Reads
from threadline.identity.resolution import SEVERAL, Decisions, KeptOwners, Resolution
from threadline.identity.stitch import relations
from threadline.identity.visits import changing
from threadline.store import InMemory, Params

THESE = "visitor IN {changed:Array(UInt64)}"
SHARED_HALF_HOURS = """
SELECT *
FROM half_hours
WHERE project_id = {project_id:String} AND visitor IN (SELECT visitor FROM shared_devices)
    $near"""
OTHERS = """
SELECT *
FROM {kept:Identifier}.{before:Identifier}
WHERE visitor NOT IN {changed:Array(UInt64)}"""
WRITTEN_ON_SHARED = f"""
SELECT countIf($person = {SEVERAL}) AS others
FROM (SELECT sipHash64(arrayJoin({{written:Array(String)}})) AS visitor)"""

# Of each table: a SELECT with its columns, and the relation that it is filled from, on a resolution
# with owners and of devices that a condition holds for.
KEPT_TABLES: Mapping[str, tuple[str, Callable[[Resolution, str], Mapping[str, str]]]] = {
    "changing_events": ("SELECT * FROM half_hours", lambda on, near: changing(near)),
    "shared_half_hours": (
        "SELECT * FROM half_hours",
        lambda on, near: {"shared_half_hours": fill(SHARED_HALF_HOURS, {"near": near})},
    ),
    "shared_touches": (
        "SELECT visitor, user_hash AS person, toUInt8(is_bot) AS off_page, timestamp AS at,"
        " event_id, traffic_source FROM events",
        shared_touches,
    ),
}


class KeptTable(NamedTuple):
    """One that is kept. `name`: in the database of what is in memory. `decisions`: those that count
    in it. It is there as long as something has `hold`."""

    seen: Seen
    name: str
    decisions: Decisions
    hold: object


class KeptTables:
    """Makes them, and brings them up to date. `hold`: keeps what has such a name from being
    dropped."""

    def __init__(
        self, memory: InMemory, changes: PartChanges, hold: Callable[[list[str]], object]
    ) -> None:
        self._memory = memory
        self._changes = changes
        self._hold = hold

    def table(
        self, name: str, before: KeptTable | None, seen: Seen, reads: Reads, on: Resolution
    ) -> KeptTable:
        """The table as it is now. `before`: as it was when it was last asked for. `seen`: when the
        owners were looked up that this resolution has; what came since may have made others of
        them, and is looked at again next time."""
        assert on.kept
        if before and before.decisions != on.kept.decisions:
            before = None
        names = [f"{self._memory.database}.{before.name}"] if before else []
        gone = self._changes.version(reads, names)[1]
        if before and before.seen.version == seen.version and not gone:
            return before
        changed: set[int] | None = None
        if before and not gone:
            project_id = str(on.params["project_id"])
            written = self._changes.written(before.seen, seen.version, project_id)
            if written and not _any_on_shared(on.kept, written.devices, reads, on.params):
                return before._replace(seen=before.seen._replace(version=seen.version))
            shared = f"{on.kept.device('visitor', 'person')} = {SEVERAL}"
            sql = fill(CHANGED_HALF_HOURS, {"shared": shared})
            now = Seen(seen.version, parts_now(reads))
            changed = changed_devices(sql, before.seen, now, reads, on.params)
        if before and changed is not None and not changed:
            return before._replace(seen=seen)
        made = self._made(name, before, changed, on)
        return KeptTable(seen, made, on.kept.decisions, self._hold([made]))

    def _made(
        self, name: str, before: KeptTable | None, changed: set[int] | None, on: Resolution
    ) -> str:
        """A new one: of all devices, or what there was `before` with those that `changed`."""
        like, filled_from = KEPT_TABLES[name]
        made = self._memory.table(name, like)
        near, params = "", dict(on.params)
        if before and changed is not None and len(changed) <= MOST_NEWER:
            near = f"AND {THESE}"
            params |= {"changed": sorted(changed), "kept": self._memory.database}
            self._memory.insert(made, OTHERS, bound(OTHERS, {**params, "before": before.name}))
        sql = compose(f"SELECT *\nFROM {name}", {**relations(on), **filled_from(on, near)})
        self._memory.insert(made, sql, bound(sql, params))
        return made


def _any_on_shared(kept: KeptOwners, written: list[str], reads: Reads, params: Params) -> bool:
    """Whether any of these devices goes from hand to hand."""
    if not written or not kept.is_shared:
        return False
    sql = fill(WRITTEN_ON_SHARED, {"person": kept.device("visitor", "person")})
    (row,) = reads.query(sql, bound(sql, {**params, "written": written}))
    return bool(row["others"])
