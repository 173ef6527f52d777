"""Naming the sources of stored events anew, after rules have changed.

The verdict depends on url and referrer only, and both are stored; without either, on whether a
visitor's agent was seen. Month by month, the visits that another version of the rules has named are
named again; what comes out differently is laid into a table, from which one mutation takes it into
the events' source columns. It marks all it has looked at with the version, so after a crash the
same command goes on where it was. The same mutation mends what older versions made of user agents
(`old_agents`). The first touches that identity keeps are made anew at the end.

What is about to be done is written down first (`store.begin`): that events are named anew, and
before the first of them changes, that first touches have to follow.
"""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from threadline.classify import Site, classify
from threadline.contract.times import format_ms
from threadline.identity import states
from threadline.identity.resolution import PROJECT
from threadline.ingest.anonymise import VERSION as ANONYMISED
from threadline.ingest.old_agents import (
    AGENT_WRITES,
    IS_REWORDED,
    OFF_PAGE,
    OLD_WORDS,
    SENDERS_OWN,
    words,
)
from threadline.ingest.steps import NO_PAGE
from threadline.store import (
    REBUILD,
    RECLASSIFY,
    Row,
    Statements,
    StoreError,
    begin,
    finish,
    unfinished,
)

# Different visits that are in memory at the same time, and changes that one mutation takes over.
SLICE_VISITS = 50_000
MAX_CHANGES = 500_000
LOOK_AGAIN_S = 0.05

NAMES = "source medium campaign channel".split()
COLUMNS = [*NAMES, *"source_confidence source_rule_id term content".split()]

OUTDATED = f"""{PROJECT} AND classifier_version NOT IN ({{version:String}}, '{ANONYMISED}')
        AND toUnixTimestamp64Milli(timestamp) >= {{since_ms:Int64}}"""

MONTHS = f"""
    SELECT _partition_id AS month, count() AS events, uniqCombined(url, referrer) AS visits,
        countIf(is_bot AND {SENDERS_OWN}) AS freed,
        {OLD_WORDS}
    FROM events
    WHERE {OUTDATED}
    GROUP BY month
    ORDER BY month"""

REWORDED = f"""
    SELECT countIf({IS_REWORDED}) AS reworded
    FROM events
    WHERE {OUTDATED} AND _partition_id = {{month:String}}"""

IN_SLICE = """_partition_id = {month:String}
        AND cityHash64(url, referrer) % {slices:UInt32} BETWEEN {first:UInt32} AND {last:UInt32}"""

VISITS = f"""
    SELECT url, referrer, {OFF_PAGE} AS off_page, {", ".join(COLUMNS)}, count() AS events
    FROM events
    WHERE {OUTDATED} AND {IN_SLICE}
    GROUP BY url, referrer, off_page, {", ".join(COLUMNS)}"""

# What comes out differently, until it is in the events. Every run has a table of its own: a
# statement that a killed one left on its way cannot touch that of the next.
CHANGES = f"""
    CREATE TABLE %s (
        url String, referrer String, off_page UInt8, changed Bool,
        {", ".join(f"{name} String" for name in COLUMNS)}
    )
    ENGINE = Join(ANY, LEFT, url, referrer, off_page)"""

LEFTOVERS = """
    SELECT name FROM system.tables
    WHERE database = currentDatabase() AND startsWith(name, 'reclassified')"""

WRITING = """
    SELECT count() AS mutations, max(latest_fail_reason) AS failed, sum(parts_to_do) AS parts
    FROM system.mutations
    WHERE database = currentDatabase() AND table = 'events' AND NOT is_done
        AND command LIKE '%reclassified%'"""

STATES = ("visitor_touches", "user_touches", "half_hours", "traffic_sources")
# What no longer counts as a bot's is in none of them yet.
ALL_STATES = tuple(state.table for state in states.STATES)
NOWHERE = dict.fromkeys(COLUMNS, "") | dict(
    zip(("source", "medium", "source_confidence", "source_rule_id"), NO_PAGE, strict=True)
)


class TrafficSource(NamedTuple):
    """Where visits come from."""

    source: str
    medium: str


class Outcome(NamedTuple):
    """`events` looked at; how many of them get another source in any part of it; and how many come
    from another traffic source now. `before`, `after`: events by traffic source. `freed`: how many
    were taken for bots' because of the agent of the server that sent them, and count now;
    `reworded`: how many get another word for their device, browser or system."""

    events: int
    changed: int
    moved: int
    before: dict[TrafficSource, int]
    after: dict[TrafficSource, int]
    freed: int = 0
    reworded: int = 0


class _Counts:
    def __init__(self) -> None:
        self.changed = 0
        self.moved = 0
        self.before: Counter[TrafficSource] = Counter()
        self.after: Counter[TrafficSource] = Counter()

    def name_again(self, visits: list[Row], site: Site) -> list[Row]:
        """Count the visits, and return those that are named differently."""
        changes = []
        for visit in visits:
            named = _named(visit, site)
            before = TrafficSource(visit["source"], visit["medium"])
            after = TrafficSource(named["source"], named["medium"])
            self.before[before] += visit["events"]
            self.after[after] += visit["events"]
            if before != after:
                self.moved += visit["events"]
            if named != {name: visit[name] for name in COLUMNS}:
                self.changed += visit["events"]
                key = {name: visit[name] for name in ("url", "referrer", "off_page")}
                changes.append({**key, "changed": True, **named})
        return changes


def _named(visit: Row, site: Site) -> Row:
    """What its columns are to be."""
    if visit["off_page"]:
        return NOWHERE
    # What else it finds, parameters of the link, is in the events' properties already.
    return dict(zip(COLUMNS, classify(visit["url"], visit["referrer"], site), strict=False))


def outdated(store: Statements, project_id: str, site: Site, since_ms: int) -> int:
    """About how many different visits were named by another version."""
    return sum(month["visits"] for month in store.query(MONTHS, _bound(project_id, site, since_ms)))


def reclassify(
    store: Statements,
    project_id: str,
    site: Site,
    since_ms: int,
    write: bool,
    progressed: Callable[[int], None],
    rebuild: Callable[[Sequence[str]], None],
    writing: Callable[[int], None] = lambda parts: None,
) -> Outcome:
    """Name the sources of events since then anew; without `write` only count what would change.

    `progressed` is called with every so many visits, `writing` with the parts of the table that
    are still to be written, again and again; `rebuild` with the states that have to be made anew.
    Raises `StoreError`.
    """
    bound = _bound(project_id, site, since_ms)
    counts = _Counts()
    freed = reworded = 0
    if write:
        settle(store, writing)
    months = store.query(MONTHS, bound)
    changed = _Changes(store, writing) if write else None
    if changed and months:
        changed.begin(project_id, since_ms)
    for month in months:
        slices = month["visits"] // SLICE_VISITS + 1
        bound |= {"month": month["month"], "slices": slices, **words(month)}
        freed += month["freed"]
        reworded += store.query(REWORDED, bound)[0]["reworded"]
        if changed and month["freed"]:
            changed.have_follow(ALL_STATES)
        changes: list[Row] = []
        begun = 0
        for number in range(slices):
            visits = store.query(VISITS, {**bound, "first": number, "last": number})
            changes += counts.name_again(visits, site)
            progressed(len(visits))
            if changed and (len(changes) > MAX_CHANGES or number == slices - 1):
                changed.write(changes, {**bound, "first": begun, "last": number})
                changes, begun = [], number + 1
    if changed:
        changed.end(rebuild)
        finish(store, RECLASSIFY, project_id, _reach(since_ms))
    before, after = dict(counts.before), dict(counts.after)
    total = counts.before.total()
    return Outcome(total, counts.changed, counts.moved, before, after, freed, reworded)


def settle(store: Statements, writing: Callable[[int], None] = lambda parts: None) -> None:
    """Wait for what an interrupted run has under way, and drop what it left. Raises `StoreError`
    where the store cannot carry it out; the next time it is not tried again."""
    _await_mutation(store, writing)
    for node in store.nodes:
        for left in node.query(LEFTOVERS, {}):
            node.execute(f"DROP TABLE IF EXISTS {left['name']} SYNC")


def _bound(project_id: str, site: Site, since_ms: int) -> dict[str, object]:
    return {"project_id": project_id, "version": site.version, "since_ms": since_ms}


def _reach(since_ms: int) -> str:
    return format_ms(since_ms) if since_ms else ""


class _Changes:
    """What comes out differently, on its way into the events."""

    def __init__(self, store: Statements, writing: Callable[[int], None]) -> None:
        self._store = store
        self._writing = writing
        self._table = f"reclassified_{uuid.uuid4().hex}"
        self._following: set[str] = set()

    def begin(self, project_id: str, since_ms: int) -> None:
        begin(self._store, RECLASSIFY, [project_id], _reach(since_ms))
        for node in self._store.nodes:
            node.execute(CHANGES % self._table)

    def have_follow(self, tables: Sequence[str]) -> None:
        """Write down that these states have to be made anew."""
        new = [table for table in tables if table not in self._following]
        if new:
            begin(self._store, REBUILD, new)
            self._following.update(new)

    def write(self, changes: list[Row], bound: dict[str, object]) -> None:
        """Into the events' columns; and the version, also where nothing changes."""
        store = self._store
        for node in store.nodes:
            node.execute(f"TRUNCATE TABLE {self._table}")
        if changes:
            self.have_follow(STATES)
            for node in store.nodes:
                _insert(node, self._table, changes)
            # First, so that no question meets a traffic source without a name.
            came_by = {tuple(change[name] for name in NAMES) for change in changes}
            project = {"project_id": bound["project_id"]}
            _insert(
                store,
                "traffic_sources",
                [project | dict(zip(NAMES, p, strict=True)) for p in came_by],
            )
        for node in store.nodes:
            self._update(node, bound)
        _await_mutation(store, self._writing)

    def _update(self, node: Statements, bound: dict[str, object]) -> None:
        (here,) = node.query("SELECT currentDatabase() AS database", {})
        # A mutation runs in the background, where no database is the current one.
        table = f"{here['database']}.{self._table}".replace("'", "''")

        def found(column: str) -> str:
            return f"joinGet('{table}', '{column}', url, referrer, {OFF_PAGE})"

        named = ", ".join(
            f"{name} = if({found('changed')}, {found(name)}, {name})" for name in COLUMNS
        )
        node.execute(
            f"ALTER TABLE events UPDATE {named}, {AGENT_WRITES},"
            f" classifier_version = {{version:String}}"
            f" WHERE {OUTDATED} AND {IN_SLICE}",
            bound,
        )

    def end(self, rebuild: Callable[[Sequence[str]], None]) -> None:
        """Have the states follow, also those that an interrupted run left."""
        for node in self._store.nodes:
            node.execute(f"DROP TABLE IF EXISTS {self._table} SYNC")
        left = {work.subject for work in unfinished(self._store) if work.name == REBUILD}
        tables = [state.table for state in states.STATES if state.table in left]
        if tables:
            rebuild(tables)
        for table in tables:
            finish(self._store, REBUILD, table)


def _insert(store: Statements, table: str, rows: list[Row]) -> None:
    lines = b"\n".join(map(msgspec.json.encode, rows))
    store.insert(table, list(rows[0]), "JSONEachRow", lines, uuid.uuid4().hex)


def _await_mutation(store: Statements, writing: Callable[[int], None]) -> None:
    for node in store.nodes:
        _await_mutation_of(node, writing)


def _await_mutation_of(node: Statements, writing: Callable[[int], None]) -> None:
    while True:
        (left,) = node.query(WRITING, {})
        if left["failed"]:
            node.execute(
                "KILL MUTATION WHERE database = currentDatabase() AND table = 'events'"
                " AND command LIKE '%reclassified%'"
            )
            raise StoreError(f"The store could not write the sources: {left['failed']}")
        if not left["mutations"]:
            return
        writing(int(left["parts"]))
        time.sleep(LOOK_AGAIN_S)
