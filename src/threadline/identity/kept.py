"""Whose linked devices are, kept in memory between questions: planning the joins that say it takes
most of the time of a question about few events.

For each project there are two dictionaries of the engine, which no statement changes once they are
filled: `devices` (visitor → person, first, last), with `SEVERAL` for a person where a device goes
from hand to hand, and `intervals` (visitor, since, until → user_hash) of those that do. They are
exact: each question first asks which parts of the store's tables there are, and where these are
others than before, devices with links in new parts are looked at again. What comes of that lies in
two dictionaries more, before the first two; when these grow too large, or anything was deleted or
decided, all is made anew. A question that is under way keeps those that it began with.

With `as_of`, and for those who have no keeper, `stitch` has the same relations as joins.
"""

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from textwrap import indent
from typing import NamedTuple
from weakref import finalize

from threadline.identity.compose import bound, compose, fill
from threadline.identity.reading import Reads
from threadline.identity.resolution import PROJECT, SEVERAL, Kept, Resolution, decisions_of
from threadline.identity.stitch import relations
from threadline.store import Dictionaries, Params, Store

# Devices that changed, before all are looked at anew: of small projects that costs nothing.
MOST_NEWER = 5_000
# Projects, with bots or without, whose owners are kept; who asked last stays.
MOST_KEPT = 100

# What owners follow from. A part that is merged has another name, and so has one of which rows were
# deleted; what is still to be deleted is among the mutations.
PARTS = """
SELECT table, name
FROM system.parts
WHERE active AND database = currentDatabase() AND table IN ('links', 'aliases', 'unlinks')
UNION ALL
SELECT 'deletion' AS table, mutation_id AS name
FROM system.mutations
WHERE NOT is_done AND database = currentDatabase() AND table IN ('links', 'aliases', 'unlinks')"""
# A server that was started again has no dictionary any more.
VERSION = f"""
SELECT groupBitXor(sipHash64(table, name)) AS version,
    (
        SELECT count()
        FROM system.dictionaries
        WHERE concat(database, '.', name) IN {{dictionaries:Array(String)}}
    ) AS there
FROM (
    {indent(PARTS.strip(), "    ").strip()}
)"""
ALL_PARTS = f"""
SELECT table AS part_of, name
FROM (
    {indent(PARTS.strip(), "    ").strip()}
)"""

# Of parts that came, or were merged, since then.
CHANGED = f"""
SELECT DISTINCT visitor
FROM links
WHERE {PROJECT} AND _part NOT IN {{parts:Array(String)}}
LIMIT {MOST_NEWER + 1}"""
THESE = "r.visitor IN {changed:Array(UInt64)}"

DEVICES = f"""
SELECT visitor, if(min(user_hash) = max(user_hash), min(user_hash), {SEVERAL}) AS person,
    argMin(user_hash, (first_seen, user_id)) AS first,
    argMax(user_hash, (last_seen, user_id)) AS last
FROM user_links
GROUP BY visitor"""
SHARED = f"""
SELECT visitor
FROM dictionary($devices)
WHERE person = {SEVERAL}"""
ANY_SHARED = f"""
SELECT count() AS shared
FROM dictionary($devices)
WHERE person = {SEVERAL}"""
NO_INTERVALS = """
SELECT toUInt64(0) AS visitor, toInt64(0) AS since, toInt64(0) AS until, toUInt64(0) AS user_hash
WHERE FALSE"""
# The first interval of a device begins before all events.
INTERVALS = """
SELECT visitor, lagInFrame(ends, 1, -1) OVER of_device + 1 AS since, ends AS until, user_hash
FROM (
    SELECT visitor, user_hash, toUnixTimestamp64Milli(until) AS ends
    FROM ownership
)
WINDOW of_device AS (
    PARTITION BY visitor ORDER BY ends ROWS BETWEEN 1 PRECEDING AND CURRENT ROW
)"""


# Columns and layout of each.
LAYOUTS: Mapping[str, tuple[str, str]] = {
    "devices": (
        "visitor UInt64, person UInt64, first UInt64, last UInt64",
        "LAYOUT(HASHED_ARRAY())",
    ),
    "intervals": (
        "visitor UInt64, since Int64, until Int64, user_hash UInt64",
        "LAYOUT(RANGE_HASHED()) RANGE(MIN since MAX until)",
    ),
}

Part = tuple[str, str]


class Version(NamedTuple):
    """`number`: another one if anything changed. `missing`: so many dictionaries are no more."""

    number: int
    missing: int


class Hold:
    """Whoever has it keeps dictionaries from being dropped."""


@dataclass
class Known:
    """What is kept of a project. `parts`: those of tables that it follows from, and `version`: the
    same as one number. `newer`: devices that changed since all were looked at."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    kept: Kept | None = None
    version: Version | None = None
    parts: frozenset[Part] = frozenset()
    newer: frozenset[int] = frozenset()


class Keeper:
    """Owners of all projects of one store. Safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._dictionaries = Dictionaries(store)
        self._known: dict[tuple[str, bool], Known] = {}
        self._looking = threading.Lock()
        self._unused: deque[str] = deque()

    def kept(self, reads: Reads, project_id: str, bots: bool) -> Kept:
        """The owners of now. `bots`: where these were seen counts, too."""
        self._drop_unused()
        known = self._of(project_id, bots)
        with known.lock:
            return self._look(known, reads, project_id, bots)

    def close(self) -> None:
        """Let go of all of them."""
        with self._looking:
            self._known.clear()
        self._drop_unused()

    def _drop_unused(self) -> None:
        while self._unused:
            self._dictionaries.drop([self._unused.popleft()])

    def _of(self, project_id: str, bots: bool) -> Known:
        with self._looking:
            known = self._known.pop((project_id, bots), None) or Known()
            self._known[project_id, bots] = known
            if len(self._known) > MOST_KEPT:
                del self._known[next(iter(self._known))]
            return known

    def _look(self, known: Known, reads: Reads, project_id: str, bots: bool) -> Kept:
        before, names = known.kept, list(known.kept.params.values()) if known.kept else []
        version = self._version(reads, names)
        if before and version == known.version:
            return before
        parts = frozenset((row["part_of"], row["name"]) for row in reads.query(ALL_PARTS, {}))
        params = {"project_id": project_id}
        decisions = decisions_of(reads, params)
        on = Resolution(
            "next",
            {**params, **decisions.params},
            persons=decisions.persons,
            unlinked=decisions.unlinked,
            bots=bots,
        )
        changed: set[int] | None = None
        if before and before.decisions == decisions and not version.missing:
            changed = _changed(known.parts, parts, reads, params)
        if before is None or changed is None or len(changed | known.newer) > MOST_NEWER:
            made, hold = self._make(reads, on)
            kept, newer = Kept(decisions, made, (hold,)), frozenset[int]()
        elif not changed:
            kept, newer = before, known.newer
        else:
            newer = known.newer | changed
            made, hold = self._make(reads, on, newer)
            every = {**before.params, **made}
            kept = Kept(decisions, every, (before.holds[0], hold), is_newer=True)
        known.kept, known.version, known.parts, known.newer = kept, version, parts, newer
        return kept

    def _version(self, reads: Reads, names: list[str]) -> Version:
        """Of what owners follow from. Nobody else writes to an embedded store."""
        if self._store.is_embedded:
            return Version(self._store.changes, 0)
        (row,) = reads.query(VERSION, {"dictionaries": names})
        return Version(row["version"], len(names) - row["there"])

    def _make(
        self, reads: Reads, on: Resolution, only: frozenset[int] = frozenset()
    ) -> tuple[dict[str, str], Hold]:
        """New dictionaries of all linked devices, or only of some: their names, and what keeps
        them."""
        before = "newer_" if only else ""
        devices, intervals = f"{before}devices", f"{before}intervals"
        known = relations(on, THESE if only else "")
        known["shared_devices"] = fill(SHARED, {"devices": f"{{{devices}:String}}"})
        params = {**on.params, "changed": sorted(only)}
        made = {devices: self._fill(devices, DEVICES, known, params)}
        (found,) = reads.query(fill(ANY_SHARED, {"devices": f"{{{devices}:String}}"}), made)
        sql = INTERVALS if found["shared"] else NO_INTERVALS
        made[intervals] = self._fill(intervals, sql, known, {**params, **made})
        hold = Hold()
        finalize(hold, self._unused.extend, list(made.values()))
        return made, hold

    def _fill(self, name: str, sql: str, known: Mapping[str, str], params: Params) -> str:
        sql = compose(sql, known)
        columns, layout = LAYOUTS[name.removeprefix("newer_")]
        return self._dictionaries.make(name, columns, layout, sql, bound(sql, params))


def _changed(
    before: frozenset[Part], now: frozenset[Part], reads: Reads, params: Params
) -> set[int] | None:
    """Devices with links in parts that were not there before; None: perhaps any, because rows were
    deleted, or decided on."""
    if _deletions(now) != _deletions(before):
        return None
    names = [name for table, name in before if table == "links"]
    rows = reads.query(CHANGED, {**params, "parts": names})
    return {row["visitor"] for row in rows}


def _deletions(parts: frozenset[Part]) -> set[str]:
    """What is to be deleted from parts, and up to which mutation it was: such parts have a fifth
    number in their names."""
    return {
        name if table == "deletion" else name.split("_")[4]
        for table, name in parts
        if table == "deletion" or (table == "links" and name.count("_") == 4)
    }
