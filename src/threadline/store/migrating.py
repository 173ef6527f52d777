"""Brings the event store to the newest schema: one process at a time, and after a kill from where
it was.

A migration is written down before its first statement, so that no older Threadline opens the store
from then on, and after each of its statements. Each bears being carried out twice in a row. Those
of the baseline bear being carried out again from the first one on, so they are not written down.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from clickhouse_connect.driver.client import Client

from threadline import migrations, upgrade_copies
from threadline.migrations import Migration, Schema
from threadline.store import tables
from threadline.store.address import is_embedded
from threadline.store.connection import connect
from threadline.store.migration_lock import migration_lock

WHAT = "The event store"
# A table may be copied. Whoever gave up earlier would begin the same statement beside the first.
STATEMENT_S = 24 * 3600

JOURNAL = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        number UInt32, name String, applied_at DateTime DEFAULT now(),
        step UInt32, finished Bool DEFAULT TRUE
    )
    ENGINE = MergeTree ORDER BY number
    SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"""
# Up to schema 12 a row was a migration that was finished.
WIDER_JOURNAL = """
    ALTER TABLE schema_migrations
        ADD COLUMN IF NOT EXISTS step UInt32, ADD COLUMN IF NOT EXISTS finished Bool DEFAULT TRUE"""
HOLDS_EVENTS = """
    SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'events'"""


class Applied(NamedTuple):
    """`number`: of the schema, 0 in an empty store. `steps`: of each migration that was begun, how
    many of its statements are done."""

    number: int
    steps: dict[int, int]


def migrate(url: str, client: Client) -> None:
    """Migrate, unless that was done. Raises `SchemaError` for a store of a version that this one
    cannot work with, and the driver's errors."""
    wanted = tables.read()
    client.command(JOURNAL)
    if applied(client, wanted).number == wanted.baseline.number:
        return
    patient = connect(url, STATEMENT_S, {})
    try:
        with migration_lock(url, patient) as hold:
            _keep_copy(url, patient, wanted)
            carry_out(patient, wanted, hold)
    finally:
        patient.close()


def _keep_copy(url: str, client: Client, wanted: Schema) -> None:
    """Of the embedded engine's files, before they are changed; a server's are its operator's."""
    number = applied(client, wanted).number
    if not is_embedded(url) or not number:
        return
    client.command("SYSTEM STOP MERGES")  # of mutations, too: nothing changes the files meanwhile
    try:
        copy = upgrade_copies.keep_store(Path(urlsplit(url).path), number)
    finally:
        client.command("SYSTEM START MERGES")
    if copy:
        migrations.say_copied(copy)


def carry_out(client: Client, wanted: Schema, hold: Callable[[], None]) -> None:
    """What is missing. `hold`: raises where another process has taken over."""
    hold()
    client.command(WIDER_JOURNAL)
    # Whoever had the lock before may have done it all.
    number, steps = applied(client, wanted)
    for migration in wanted.missing(WHAT, number):
        if migration.number not in steps:
            _write_down(client, migration, 0, finished=False)
        done = steps.get(migration.number, 0)
        progress = migrations.Progress(WHAT, migration)
        for step, statement in enumerate(migration.statements[done:], start=done + 1):
            hold()
            progress.run(step, statement, client.command)
            if migration.begins_with:
                _write_down(client, migration, step, finished=False)
        hold()
        _write_down(client, migration, len(migration.statements), finished=True)
        progress.end()


def applied(client: Client, wanted: Schema) -> Applied:
    """What the store says of itself. Raises `SchemaError` where that is nothing, but it holds
    events, or where a newer version began to migrate it."""
    rows = list(client.query("SELECT * FROM schema_migrations").named_results())
    if not rows and client.query(HOLDS_EVENTS).result_rows[0][0]:
        raise migrations.too_old(WHAT, 0, wanted)
    steps: dict[int, int] = {}
    for row in rows:
        number = int(row["number"])
        steps[number] = max(steps.get(number, 0), int(row.get("step", 0)))
    newest = max(steps, default=0)
    if newest > wanted.baseline.number:
        wanted.missing(WHAT, newest)  # says so
    finished = [int(row["number"]) for row in rows if row.get("finished", True)]
    return Applied(max(finished, default=0), steps)


def _write_down(client: Client, migration: Migration, step: int, finished: bool) -> None:
    client.command(
        "INSERT INTO schema_migrations (number, name, step, finished) VALUES"
        f" ({migration.number}, '{migration.name}', {step}, {finished})"
    )
