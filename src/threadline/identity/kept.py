"""Whose linked devices are, kept in memory between questions: planning the joins that say it takes
most of the time of a question about few events.

For each project there are two dictionaries of the engine, which no statement changes once they are
filled: `devices` (visitor → person, first, last), with `SEVERAL` for a person where a device goes
from hand to hand, and `intervals` (visitor, since, until → user_hash) of those that do. Beside them
are the `kept_tables`: what follows from events of such devices, and of large projects
`kept_visits` of the others, and `kept_touches` of everybody.

They are exact. Each question first looks whether anything was written since they were made. Of few
events it is known where they were: mostly on devices whose owners stay the same, and then so does
all of this. Else it looks which parts of tables are new, and what is in these: those devices are
looked at again, and lie in two dictionaries more before the first two. When these grow too large,
or anything was deleted or decided, all is made anew. A question that is under way keeps those that
it began with.

With `as_of`, and for those who have no keeper, `stitch` and `visits` have the same as joins.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from weakref import finalize

from threadline.identity import kept_touches, kept_visits
from threadline.identity.compose import bound, compose, fill
from threadline.identity.kept_tables import THESE, KeptTable, KeptTables
from threadline.identity.kept_texts import (
    ANY_SHARED,
    DEVICES,
    INTERVALS,
    LAYOUTS,
    OTHER_OWNERS,
    SHARED,
    WRITTEN,
)
from threadline.identity.large_tables import LargeKeeper, LargeOfProject, TableRequest
from threadline.identity.parts import (
    CHANGED_OWNERS,
    MOST_NEWER,
    NOTHING,
    PartChanges,
    Seen,
    Version,
    changed_devices,
    parts_now,
)
from threadline.identity.reading import Reads
from threadline.identity.resolution import (
    Decisions,
    KeptOwners,
    Policy,
    Resolution,
    decisions_of,
)
from threadline.identity.stitch import relations
from threadline.store import InMemory, Params, Query, Store

# Projects, with bots or without, of which something is kept; who asked last stays.
MOST_KEPT = 100

NOBODY: frozenset[int] = frozenset()


class DictionaryHold:
    """Whoever has it keeps what was made from being dropped."""


@dataclass
class KeptProject:
    """What is kept of a project. `newer`: devices that changed since all were looked at."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    kept: KeptOwners | None = None
    seen: Seen = NOTHING
    newer: frozenset[int] = NOBODY
    tables: dict[str, KeptTable] = field(default_factory=dict)
    visits: LargeOfProject = field(default_factory=LargeOfProject)
    touches: dict[Policy, LargeOfProject] = field(default_factory=dict)


class Keeper:
    """What is kept of all projects of one store. Safe to use from several threads."""

    def __init__(
        self, store: Store, beside: Callable[[Callable[[], None]], object] | None = None
    ) -> None:
        """`beside`: has what takes long done while questions go on; by default in a thread."""
        self._aside = ThreadPoolExecutor(1, "threadline-keep")
        self._memory = InMemory(store)
        self._changes = PartChanges(store)
        self._tables = KeptTables(self._memory, self._changes, self._hold)
        beside = beside or self._aside.submit
        self._visits = LargeKeeper(
            kept_visits.LARGE, self._memory, self._changes, self._hold, beside
        )
        self._touches = LargeKeeper(
            kept_touches.LARGE, self._memory, self._changes, self._hold, beside
        )
        self._known: dict[tuple[str, bool], KeptProject] = {}
        self._looking = threading.Lock()
        self._unused: deque[str] = deque()

    def kept(self, reads: Reads, project_id: str, bots: bool) -> KeptOwners:
        """The owners of now. `bots`: where these were seen counts, too."""
        self._drop_unused()
        known = self._of(project_id, bots)
        with known.lock:
            return self._owners(known, reads, project_id, bots)

    def table(self, reads: Reads, on: Resolution, name: str) -> dict[str, object]:
        """What a statement binds that reads one of `kept_tables` on this resolution; whoever has
        it keeps the table."""
        known = self._of(str(on.params["project_id"]), on.bots)
        with known.lock:
            return self._table(known, reads, on, name)

    def visits(self, reads: Reads, on: Resolution, timeout_ms: int) -> dict[str, object] | None:
        """What a statement binds that reads `kept_visits` on this resolution, or None where they
        are worked out; whoever has it keeps the tables."""
        known = self._of(str(on.params["project_id"]), on.bots)
        with known.lock:
            if known.kept is not on.kept:
                return None  # somebody else has looked meanwhile, and owners are others now
            made_for = {"visit_timeout_ms": timeout_ms}
            return self._visits.tables(
                known.visits, TableRequest(reads, on, known.seen, made_for, {})
            )

    def touches(self, reads: Reads, on: Resolution) -> dict[str, object] | None:
        """The same of `kept_touches`."""
        known = self._of(str(on.params["project_id"]), on.bots)
        with known.lock:
            if known.kept is not on.kept:
                return None
            values: dict[str, object] = {}
            if on.policy == "next" and on.kept and on.kept.is_shared:
                values = self._table(known, reads, on, "shared_touches")
            of_project = known.touches.setdefault(on.policy, LargeOfProject())
            return self._touches.tables(of_project, TableRequest(reads, on, known.seen, {}, values))

    def answer(self, name: str, like: str, query: Query) -> dict[str, object]:
        """What a statement binds that reads a table with the answer to another, which is there as
        long as something has that. `like`: a SELECT with its columns."""
        self._drop_unused()
        table = self._memory.table(name, like, "compress = 1")
        hold = self._hold([table])
        self._memory.insert(table, *query)
        return {"kept": self._memory.database, name: table, f"hold_{name}": hold}

    def let_go(self, project_id: str) -> None:
        """Of what is kept of this project."""
        with self._looking:
            for bots in (False, True):
                self._known.pop((project_id, bots), None)
        self._drop_unused()

    def close(self) -> None:
        """Let go of all."""
        self._aside.shutdown(cancel_futures=True)
        with self._looking:
            self._known.clear()
        self._drop_unused()

    def _table(
        self, known: KeptProject, reads: Reads, on: Resolution, name: str
    ) -> dict[str, object]:
        is_now = known.kept is on.kept
        before = known.tables.get(name) if is_now else None
        found = self._tables.table(name, before, known.seen, reads, on)
        if is_now:
            known.tables[name] = found
        return {"kept": self._memory.database, name: found.name, f"hold_{name}": found.hold}

    def _drop_unused(self) -> None:
        while self._unused:
            self._memory.drop(self._unused.popleft())

    def _of(self, project_id: str, bots: bool) -> KeptProject:
        with self._looking:
            known = self._known.pop((project_id, bots), None) or KeptProject()
            self._known[project_id, bots] = known
            if len(self._known) > MOST_KEPT:
                del self._known[next(iter(self._known))]
            return known

    def _owners(self, known: KeptProject, reads: Reads, project_id: str, bots: bool) -> KeptOwners:
        before, names = known.kept, list(known.kept.names.values()) if known.kept else []
        version = self._changes.version(reads, names)
        if before and version == known.seen.version:
            return before
        params: dict[str, object] = {"project_id": project_id}
        if before and self._has_same_owners(before, known.seen, version, reads, params, bots):
            known.seen = known.seen._replace(version=version)
            return before
        seen = Seen(version, parts_now(reads))
        decisions = decisions_of(reads, params)
        changed: set[int] | None = None
        if before and before.decisions == decisions and not version[1]:
            changed = changed_devices(CHANGED_OWNERS, known.seen, seen, reads, params)
        if before is None or changed is None or len(changed | known.newer) > MOST_NEWER:
            kept, newer = self._make(reads, decisions, params, bots), NOBODY
        elif not changed:
            kept, newer = before, known.newer
        else:
            newer = known.newer | changed
            made = self._make(reads, decisions, params, bots, newer)
            of_all = {name: before.names[name] for name in LAYOUTS if name in before.names}
            kept = KeptOwners(decisions, {**of_all, **made.names}, (before.holds[0], *made.holds))
        known.kept, known.seen, known.newer = kept, seen, newer
        return kept

    def _has_same_owners(
        self,
        kept: KeptOwners,
        seen: Seen,
        version: Version,
        reads: Reads,
        params: Params,
        bots: bool,
    ) -> bool:
        """Whether what was written since leaves all devices with the owners that are kept."""
        written = self._changes.written(seen, version, str(params["project_id"]), known=True)
        if written is None or not written.devices:
            return written is not None
        on = _resolution(kept.decisions, params, bots)
        known = {**relations(on, f"r.{WRITTEN}"), "owners_now": DEVICES}
        found = ", ".join(kept.device("d.visitor", name) for name in ("person", "first", "last"))
        sql = compose(fill(OTHER_OWNERS, {"kept": f"({found})"}), known)
        (row,) = reads.query(
            sql, bound(sql, {**on.params, **kept.names, "written": written.devices})
        )
        return not row["others"]

    def _make(
        self,
        reads: Reads,
        decisions: Decisions,
        params: Params,
        bots: bool,
        only: frozenset[int] = NOBODY,
    ) -> KeptOwners:
        """Dictionaries of all linked devices, or only of some."""
        on = _resolution(decisions, params, bots)
        before = "newer_" if only else ""
        devices, intervals = f"{before}devices", f"{before}intervals"
        in_devices = {"devices": f"{{{devices}:String}}"}
        known = relations(on, f"r.{THESE}" if only else "")
        known["shared_devices"] = fill(SHARED, in_devices)
        params = {**on.params, "changed": sorted(only)}
        made = {devices: self._dictionary(devices, DEVICES, known, params)}
        (found,) = reads.query(fill(ANY_SHARED, in_devices), made)
        if found["shared"]:
            made[intervals] = self._dictionary(intervals, INTERVALS, known, {**params, **made})
        return KeptOwners(decisions, made, (self._hold([*made.values()]),))

    def _dictionary(self, name: str, sql: str, known: Mapping[str, str], params: Params) -> str:
        sql = compose(sql, known)
        columns, layout = LAYOUTS[name.removeprefix("newer_")]
        return self._memory.dictionary(name, columns, layout, sql, bound(sql, params))

    def _hold(self, names: list[str]) -> DictionaryHold:
        hold = DictionaryHold()
        finalize(hold, self._unused.extend, names)
        return hold


def _resolution(decisions: Decisions, params: Params, bots: bool) -> Resolution:
    """Without anything kept."""
    return Resolution(
        "next",
        {**params, **decisions.params},
        persons=decisions.persons,
        unlinked=decisions.unlinked,
        bots=bots,
    )
