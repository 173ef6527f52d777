"""What an upgrade of a data folder has to do, looked at without changing anything."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from clickhouse_connect.driver.exceptions import ClickHouseError

from threadline import migrations, upgrade_copies
from threadline.control.address import IN_FOLDER, WHAT
from threadline.control.opened import postgres_schemas
from threadline.migrations import Migration
from threadline.runtime.folder import running_server
from threadline.runtime.socket_store import SocketStore
from threadline.settings import Settings
from threadline.store import StoreAway, free_bytes, migrating, store_url, tables
from threadline.store.address import is_embedded
from threadline.store.connection import connect
from threadline.store.statements import Row

SQLITE = {
    "control.db": ("The control plane (control.db)", "threadline.control"),
    "log.db": ("The log (log.db)", "threadline.ingest"),
}
LOOK_S = 60
# Of a statement that fills a table from all events, on average: six of them took 10 s of one core
# for a million events, nine tenths of it for half hours.
EVENTS_PER_SECOND = 400_000
WIDER = """
    SELECT count() AS n FROM system.columns
    WHERE database = currentDatabase() AND table = 'schema_migrations' AND name = 'finished'"""
NUMBER = "SELECT toUInt32(max(number)) AS number FROM schema_migrations"
HELD = """
    SELECT sumIf(total_rows, name = 'events') AS events, sum(total_bytes) AS bytes,
        countIf(name = 'schema_migrations') AS journal
    FROM system.tables WHERE database = currentDatabase()"""

Look = Callable[[str], list[Row]]


class Waiting(NamedTuple):
    """What one database has to go through. `seconds`: about how long that takes."""

    what: str
    schema: int
    newest: int
    statements: int
    seconds: float = 0.0


class Plan(NamedTuple):
    """`events`: in the store. `copied`: bytes that the copy before it takes at once. `rewritten`:
    bytes that tables may take twice while they are written anew, and as long as the copy is kept.
    """

    waiting: list[Waiting]
    events: int
    copied: int
    rewritten: int
    free: int


def plan(chosen: Settings) -> Plan:
    """Raises `SchemaError` for what this version cannot upgrade, `ControlError` and `StoreAway`."""
    folder = Path(chosen.data)
    found = []
    for name, (what, package) in SQLITE.items():
        if name == IN_FOLDER and not chosen.control_in_folder:
            found.append(_look_at_postgres(chosen.control))
        elif (folder / name).exists():
            schema, missing = migrations.waiting(what, folder / name, package)
            found.append(_waiting(what, schema, migrations.read(package).baseline.number, missing))
    held = _with_store(chosen, _look_at_store)
    found.append(held.waiting[0])
    embedded = is_embedded(store_url(chosen.store, folder))
    changes = held.waiting[0].statements > 0
    return Plan(
        found,
        held.events,
        upgrade_copies.size(folder),
        held.rewritten if embedded and changes else 0,
        free_bytes(folder),
    )


def _look_at_postgres(url: str) -> Waiting:
    schema, newest, missing = postgres_schemas(url)
    return _waiting(WHAT, schema or newest, newest, missing)


def _look_at_store(look: Look) -> Plan:
    wanted = tables.read()
    newest = wanted.baseline.number
    (held,) = look(HELD)
    if not held["journal"]:
        return Plan([Waiting(migrating.WHAT, newest, newest, 0)], 0, 0, 0, 0)
    (wider,) = look(WIDER)
    (row,) = look(f"{NUMBER} WHERE finished" if wider["n"] else NUMBER)
    schema, events = int(row["number"]), int(held["events"] or 0)
    missing = wanted.missing(migrating.WHAT, schema) if schema else []
    filling = sum("FROM events" in text for step in missing for text in step.statements)
    waiting = _waiting(migrating.WHAT, schema or newest, newest, missing)
    waiting = waiting._replace(seconds=events * filling / EVENTS_PER_SECOND)
    return Plan([waiting], events, 0, int(held["bytes"] or 0), 0)


def _waiting(what: str, schema: int, newest: int, missing: list[Migration]) -> Waiting:
    steps = [step for step in missing if step.begins_with]
    return Waiting(what, schema, newest, sum(len(step.statements) for step in steps))


def _with_store(chosen: Settings, ask: Callable[[Look], Plan]) -> Plan:
    """By the server that has it open, else by a handle of our own that migrates nothing."""
    folder = Path(chosen.data)
    url = store_url(chosen.store, folder)
    if is_embedded(url) and running_server(folder):
        server = SocketStore(folder)
        return ask(lambda sql: server.look(sql, {}))
    try:
        client = connect(url, LOOK_S, {})
    except ClickHouseError as error:
        raise StoreAway(f"The event store is not reached: {error}") from error
    try:
        return ask(lambda sql: list(client.query(sql).named_results()))
    finally:
        client.close()
