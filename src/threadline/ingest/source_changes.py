"""Sources that come out differently, on their way into stored events and what follows from them."""

import time
import uuid
from collections.abc import Callable, Sequence
from string import Template

import msgspec

from threadline.contract.times import format_ms
from threadline.identity import states
from threadline.identity.resolution import PROJECT
from threadline.ingest.anonymise import VERSION as ANONYMISED
from threadline.ingest.old_agents import AGENT_WRITES, OFF_PAGE
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

LOOK_AGAIN_S = 0.05
NAMES = "source medium campaign channel".split()
COLUMNS = [*NAMES, *"source_confidence source_rule_id term content".split()]
OUTDATED = f"""{PROJECT} AND classifier_version NOT IN ({{version:String}}, '{ANONYMISED}')
        AND toUnixTimestamp64Milli(timestamp) >= {{since_ms:Int64}}"""
IN_SLICE = """_partition_id = {month:String}
        AND cityHash64(url, referrer) % {slices:UInt32} BETWEEN {first:UInt32} AND {last:UInt32}"""
# What comes out differently, until it is in the events. Every run has a table of its own: a
# statement that a killed one left on its way cannot touch that of the next.
CHANGES = Template(f"""
    CREATE TABLE $table (
        url String, referrer String, off_page UInt8, changed Bool,
        {", ".join(f"{name} String" for name in COLUMNS)}
    )
    ENGINE = Join(ANY, LEFT, url, referrer, off_page)""")
LEFTOVERS = """
    SELECT name FROM system.tables
    WHERE database = currentDatabase() AND startsWith(name, 'reclassified')"""
WRITING = """
    SELECT count() AS mutations, max(latest_fail_reason) AS failed, sum(parts_to_do) AS parts
    FROM system.mutations
    WHERE database = currentDatabase() AND table = 'events' AND NOT is_done
        AND command LIKE '%reclassified%'"""
STATES = ("visitor_touches", "user_touches", "half_hours", "traffic_sources")


def settle(store: Statements, writing: Callable[[int], None] = lambda parts: None) -> None:
    """Wait for what an interrupted run has under way, and drop what it left. Raises `StoreError`
    where the store cannot carry it out; the next time it is not tried again."""
    _await_mutation(store, writing)
    for node in store.nodes:
        for left in node.query(LEFTOVERS, {}):
            node.execute(f"DROP TABLE IF EXISTS {left['name']} SYNC")


def reach(since_ms: int) -> str:
    """What is written down of it: since when."""
    return format_ms(since_ms) if since_ms else ""


class SourceChanges:
    """What comes out differently, on its way into the events."""

    def __init__(self, store: Statements, writing: Callable[[int], None]) -> None:
        self._store = store
        self._writing = writing
        self._table = f"reclassified_{uuid.uuid4().hex}"
        self._following: set[str] = set()

    def begin(self, project_id: str, since_ms: int) -> None:
        begin(self._store, RECLASSIFY, [project_id], reach(since_ms))
        for node in self._store.nodes:
            node.execute(CHANGES.substitute(table=self._table))

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
