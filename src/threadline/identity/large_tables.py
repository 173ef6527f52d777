"""What is kept of large projects: makes the tables that `kept_visits` and `kept_touches` read, and
brings them up to date.

Of each there are two. The first says it of everything; the second, small one says it anew of what
changed since, which counts no more in the first. When it grows too large, or anything was deleted
or decided, all is made anew, while questions go on, and no more than once a minute.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic
from typing import NamedTuple
from weakref import WeakKeyDictionary

import structlog

from threadline.identity.compose import bound, fill
from threadline.identity.parts import MOST_NEWER, PartChanges, Seen, changed_devices, parts_now
from threadline.identity.reading import Reads
from threadline.identity.resolution import Decisions, Resolution
from threadline.store import InMemory, Params

_logger = structlog.get_logger("threadline")

# Of fewer rows working it out is as fast. Of all projects together, no more are kept of a kind.
FEWEST, MOST = 300_000, 5_000_000
AGAIN_S = 60.0

# As events have them (see schema, `visitor`).
VISITORS = """
SELECT arrayConcat(
    arrayMap(id -> sipHash64(id), {devices:Array(String)}),
    arrayMap(id -> sipHash64('user', id), {users:Array(String)})
) AS visitors"""


# What both tables say together.
NOW = """
SELECT *
FROM {kept:Identifier}.{older_$name:Identifier}
WHERE $key NOT IN {$newer_keys:Array(UInt64)}
UNION ALL
SELECT *
FROM {kept:Identifier}.{newer_$name:Identifier}"""


class Large(NamedTuple):
    """A kind of table, whose rows are of devices or of people.

    `like`: a SELECT with its columns. `key`: the one that says of whom a row is. `rows`: a
    statement that says how many `rows` it follows from. `changed`: one that finds `visitor`s in
    parts that are new. `changed_keys`: one with the `key`s whose rows may be others when `devices`
    changed; empty: themselves. `newer_keys`: what binds those of the second table. `made`: a
    statement with the rows of all, or of `newer_keys` alone.
    """

    name: str
    like: str
    key: str
    rows: str
    changed: str
    changed_keys: str
    newer_keys: str
    made: Callable[[Resolution, bool], str]

    @property
    def now(self) -> str:
        """A relation with the rows as they are now, for statements that bind the tables."""
        return fill(NOW, {"name": self.name, "key": self.key, "newer_keys": self.newer_keys})


@dataclass(frozen=True)
class LargeTables:
    """Those of a project. `made_for`: what they were worked out with, beside decisions. They are
    there as long as something has the holds."""

    seen: Seen
    decisions: Decisions
    made_for: Params
    older: str
    older_hold: object
    newer: str = ""
    newer_hold: object = None
    newer_keys: frozenset[int] = frozenset()

    @property
    def names(self) -> list[str]:
        return [self.older, self.newer]


@dataclass
class LargeOfProject:
    """What is kept of a kind, if it is, and when that was last begun to be made, by the process's
    clock."""

    tables: LargeTables | None = None
    begun_at_s: float | None = None
    is_being_made: bool = False


class TableRequest(NamedTuple):
    """What tables are wanted for. `seen`: when the owners were looked up that this resolution has.
    `made_for`: what they are worked out with, beside it; `values`: what statements bind besides."""

    reads: Reads
    on: Resolution
    seen: Seen
    made_for: Params
    values: Params


class LargeKeeper:
    """Makes tables of one kind, and brings them up to date. `hold`: keeps what has such names from
    being dropped. `beside`: has something done while questions go on."""

    def __init__(
        self,
        kind: Large,
        memory: InMemory,
        changes: PartChanges,
        hold: Callable[[list[str]], object],
        beside: Callable[[Callable[[], None]], object],
    ) -> None:
        self._kind = kind
        self._memory = memory
        self._changes = changes
        self._hold = hold
        self._beside = beside
        # Of how many rows each table is that is there, by what it is held by.
        self._rows = WeakKeyDictionary[object, int]()

    def tables(self, of_project: LargeOfProject, asked: TableRequest) -> dict[str, object] | None:
        """What a statement binds that reads them as they are now, or None where they are not
        kept."""
        if before := of_project.tables:
            of_project.tables = self._up_to_date(before, asked)
        if not of_project.tables and self._is_time(of_project):
            of_project.begun_at_s, of_project.is_being_made = monotonic(), True
            self._beside(lambda: self._make(of_project, asked))
        found = of_project.tables
        if not found:
            return None
        name = self._kind.name
        return {
            "kept": self._memory.database,
            f"older_{name}": found.older,
            f"newer_{name}": found.newer,
            self._kind.newer_keys: sorted(found.newer_keys),
            f"hold_{name}": found,
        }

    def _is_time(self, of_project: LargeOfProject) -> bool:
        begun_at_s = of_project.begun_at_s
        long_ago = begun_at_s is None or monotonic() - begun_at_s >= AGAIN_S
        return long_ago and not of_project.is_being_made

    def _make(self, of_project: LargeOfProject, asked: TableRequest) -> None:
        try:
            of_project.tables = self._anew(asked)
        except Exception as error:  # noqa: BLE001 - nobody waits for it who would say so
            project_id = asked.on.params["project_id"]
            event = f"{self._kind.name}_not_kept"
            _logger.warning(event, project_id=project_id, error=str(error))
        finally:
            of_project.is_being_made = False

    def _up_to_date(self, before: LargeTables, asked: TableRequest) -> LargeTables | None:
        assert asked.on.kept
        if (before.decisions, before.made_for) != (asked.on.kept.decisions, asked.made_for):
            return None
        full_names = [f"{self._memory.database}.{name}" for name in before.names]
        if self._changes.version(asked.reads, full_names)[1]:
            return None  # a server was started again
        if before.seen.version == asked.seen.version:
            return before
        changed = self._changed(before.seen, asked)
        if changed is None:
            return None
        newer = before.newer_keys | changed
        if len(newer) > MOST_NEWER:
            return None
        if not changed:
            return replace(before, seen=asked.seen)
        name, hold = self._made(asked, newer)
        return replace(before, seen=asked.seen, newer=name, newer_hold=hold, newer_keys=newer)

    def _changed(self, before: Seen, asked: TableRequest) -> set[int] | None:
        """Whose rows may be others now; None: perhaps anybody's."""
        devices = self._changed_devices(before, asked)
        if not devices or not self._kind.changed_keys:
            return devices
        sql = fill(self._kind.changed_keys, asked.on.slots)
        rows = asked.reads.query(sql, bound(sql, {**asked.on.params, "devices": sorted(devices)}))
        return {row["key"] for row in rows}

    def _changed_devices(self, before: Seen, asked: TableRequest) -> set[int] | None:
        reads, now, project_id = asked.reads, asked.seen, str(asked.on.params["project_id"])
        written = self._changes.written(before, now.version, project_id)
        if written:
            (row,) = reads.query(VISITORS, written._asdict())
            return set(row["visitors"])
        looked = Seen(now.version, parts_now(reads))
        return changed_devices(self._kind.changed, before, looked, reads, asked.on.params)

    def _anew(self, asked: TableRequest) -> LargeTables | None:
        assert asked.on.kept
        (row,) = asked.reads.query(self._kind.rows, bound(self._kind.rows, asked.on.params))
        rows = row["rows"]
        if not FEWEST <= rows <= MOST - sum(self._rows.values()):
            return None
        older, older_hold = self._made(asked)
        self._rows[older_hold] = rows
        newer, newer_hold = self._made(asked, frozenset())
        decisions, made_for = asked.on.kept.decisions, asked.made_for
        return LargeTables(asked.seen, decisions, made_for, older, older_hold, newer, newer_hold)

    def _made(self, asked: TableRequest, keys: frozenset[int] | None = None) -> tuple[str, object]:
        """A table with all rows, or with those of some keys; its name, and what it is held by."""
        table = self._memory.table(self._kind.name, self._kind.like, "compress = 1")
        hold = self._hold([table])
        if keys is None or keys:
            sql = self._kind.made(asked.on, keys is not None)
            values = {**asked.on.params, **asked.made_for, **asked.values}
            values[self._kind.newer_keys] = sorted(keys or ())
            self._memory.insert(table, sql, bound(sql, values))
        return table, hold
