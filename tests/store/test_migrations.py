"""A folder of an older version is brought up to date, also by one that is killed; one of a newer
version, or of one that is too old, is left alone."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from clickhouse_connect.driver.client import Client

from tests.dying import Killed, made, wrong
from tests.store.older import unpack
from tests.support import row_values
from threadline import migrations
from threadline.ingest import row
from threadline.ingest.recovery import finish_rebuilds
from threadline.migrations import SchemaTooNew, SchemaTooOld, migrate_sqlite
from threadline.settings import Settings
from threadline.store import Store, StoreError, migrating, store_url, tables, unfinished
from threadline.store.connection import connect

NEWEST = tables.read().baseline.number
SQLITE = {"control.db": "threadline.control", "log.db": "threadline.ingest"}


class DyingClient:
    """A handle whose process is killed before the nth statement that changes something."""

    def __init__(self, client: Client, statements: int) -> None:
        self.query = client.query
        self._client = client
        self._left = statements

    def command(self, sql: str) -> object:
        if not self._left:
            raise Killed
        self._left -= 1
        return self._client.command(sql)


class DyingFile(sqlite3.Connection):
    """The same for a file."""

    left = 0

    def execute(self, sql: str, *bound: Any) -> sqlite3.Cursor:
        if not self.left:
            raise Killed
        self.left -= 1
        return super().execute(sql, *bound)


@contextmanager
def handle(folder: Path) -> Iterator[Client]:
    url = store_url("chdb", folder)
    client = connect(url, 60, {})
    try:
        yield client
    finally:
        client.close()


def migrate_killed(client: Client) -> int:
    """Kill it after every statement, once before that is written down and once after; how often
    that was."""
    for kills in range(1000):
        try:  # the journal is made wider first
            dying = cast(Client, DyingClient(client, 2 + kills % 2))
            migrating.carry_out(dying, tables.read(), lambda: None)
            return kills
        except Killed:
            continue
    raise AssertionError("it never gets to the end")


def migrate_killed_further(client: Client) -> int:
    """Kill it before its first statement, then before the second, and so on."""
    for kills in range(1000):
        try:
            migrating.carry_out(
                cast(Client, DyingClient(client, kills)), tables.read(), lambda: None
            )
            return kills
        except Killed:
            continue
    raise AssertionError("it never gets to the end")


def shape(rows: Any) -> dict[str, tuple[str, list[str]]]:
    """The definitions of tables and views; settings in any order."""
    found = {}
    for name, sql in rows:
        head, _, settings = str(sql).partition(" SETTINGS ")
        found[str(name)] = (head, sorted(settings.split(", ")))
    return found


TABLES = """
    SELECT name, create_table_query FROM system.tables
    WHERE database = currentDatabase() AND name NOT LIKE 'places_new%'"""
# Everything that is in events, and the numbers of it that are kept.
EVENTS = """
    SELECT count(), sum(cityHash64(event_id, visitor, user_hash, is_bot, source, medium, campaign,
        timestamp, received_at, anonymous_id, assumeNotNull(user_id), properties)),
        sum(%s), sum(%s)
    FROM events"""
TOUCHES = ("visitor_touches", "user_touches")
FIRSTS = """
    SELECT COLUMNS('project_id|is_bot|visitor|user_id'),
        toString((min(first_touch).timestamp, min(first_touch).event_id))
    FROM %s GROUP BY ALL ORDER BY ALL"""


def test_a_migration_killed_at_any_statement_is_run_to_the_end(tmp_path: Path) -> None:
    with handle(tmp_path / "fresh") as client:
        migrating.migrate(store_url("chdb", tmp_path / "fresh"), client)
        newest = shape(client.query(TABLES).result_rows)
    folder = unpack(tmp_path)
    with handle(folder) as client:
        before = client.query(EVENTS % ("place", "anonymous_id_made")).result_rows
        firsts = {table: client.query(FIRSTS % table).result_rows for table in TOUCHES}
        kills = migrate_killed(client)
        assert kills >= 2 * sum(len(step.statements) for step in tables.read().steps)
        after = client.query(EVENTS % ("traffic_source", "anonymous_id_generated")).result_rows
        assert after == before
        assert {t: client.query(FIRSTS % t).result_rows for t in TOUCHES} == firsts
        assert shape(client.query(TABLES).result_rows) == newest
    with Store(store_url("chdb", folder)) as store:
        assert wrong(store) == {"traffic_sources"}, "its rebuild was interrupted"
        assert {work.subject for work in unfinished(store)} == {"links", "traffic_sources"}
        finish_rebuilds(store, Settings(data=str(folder)), lambda: False)
        assert (wrong(store), made(store), unfinished(store)) == (set(), [], [])
        body = row.encode(row_values(event_id="new", user_id="new", source="new"))
        store.insert("events", row.COLUMNS, "MsgPack", body, "1")
        assert wrong(store) == set(), "the views follow"


def test_a_store_of_the_schema_before_is_migrated_however_often_it_is_killed(folder: Path) -> None:
    """What schema 14 did not have are a state and its view."""
    url = store_url("chdb", folder)
    with Store(url) as store:
        rows = [
            row_values(
                event_id=f"e{n}", anonymous_id=f"a{n % 7}", properties=f'{{"n{n % 3}": {n}}}'
            )
            for n in range(50)
        ]
        store.insert("events", row.COLUMNS, "MsgPack", b"".join(map(row.encode, rows)), "1")
        names = "SELECT name, sum(events) AS events FROM names GROUP BY name ORDER BY name"
        expected = store.query(names, {})
        for statement in (
            "DROP TABLE names_mv SYNC",
            "DROP TABLE names SYNC",
            "TRUNCATE TABLE schema_migrations",
            "INSERT INTO schema_migrations (number, name) VALUES (14, 'baseline')",
        ):
            store.execute(statement)
    with handle(folder) as client:
        assert migrate_killed(client) > 2
    with Store(url) as store:
        assert store.query(names, {}) == expected
        assert sum(each["events"] for each in expected) == 100
        body = row.encode(row_values(event_id="new", properties='{"n1": 1}'))
        store.insert("events", row.COLUMNS, "MsgPack", body, "2")
        assert wrong(store) == set(), "the views follow"


def test_an_empty_store_made_by_one_that_is_killed_is_made_to_the_end(folder: Path) -> None:
    url = store_url("chdb", folder)
    with handle(folder) as client:
        client.command(migrating.JOURNAL)
        assert migrate_killed_further(client) > len(tables.read().baseline.statements)
        assert migrating.applied(client, tables.read()).number == NEWEST
    with Store(url) as store:
        (counted,) = store.query(
            "SELECT countIf(finished) AS n, uniq(number) AS numbers FROM schema_migrations", {}
        )
        assert counted == {"n": 1, "numbers": 1}
        assert wrong(store) == set()


def columns(db: sqlite3.Connection) -> dict[str, set[tuple[Any, ...]]]:
    """Of every table and index: the columns, without their order."""
    infos = {"index": "index_info"}
    names = db.execute("SELECT name, type FROM sqlite_master WHERE name NOT LIKE 'sqlite%'")
    return {
        name: {
            found[1:]
            for found in db.execute(f"PRAGMA {infos.get(kind, 'table_info')}({name})").fetchall()
        }
        for name, kind in names.fetchall()
    }


@pytest.mark.parametrize("file", SQLITE)
def test_a_file_is_migrated_as_a_whole_or_not_at_all(file: str, tmp_path: Path) -> None:
    path = unpack(tmp_path) / file
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        migrate_sqlite("it", fresh, SQLITE[file])
        newest = columns(fresh)
    with closing(sqlite3.connect(path)) as db:
        before = columns(db)
    killed, kills = True, 0
    while killed:
        with closing(sqlite3.connect(path, isolation_level=None, factory=DyingFile)) as dying:
            dying.left = kills
            try:
                migrate_sqlite("it", dying, SQLITE[file])
                killed = False
            except Killed:
                kills += 1
        with closing(sqlite3.connect(path)) as db:
            assert columns(db) == (before if killed else newest)
    assert kills > 5


def test_what_was_known_of_keys_stays(tmp_path: Path) -> None:
    path = unpack(tmp_path) / "control.db"
    old = "SELECT prefix, coalesce(d.name, ''), d.expires_ms, d.passing FROM keys"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        known = set(db.execute(f"{old} LEFT JOIN key_details AS d USING (prefix)"))
        migrate_sqlite("it", db, "threadline.control")
        assert set(db.execute("SELECT prefix, name, expires_ms, temporary FROM keys")) == known
    assert ("passingkey", "", 1, 1) in known
    assert {name for _, name, *_ in known} == {"", "for the wall"}


def test_a_newer_store_is_refused(folder: Path) -> None:
    url = store_url("chdb", folder)
    with Store(url) as store:
        store.execute("INSERT INTO schema_migrations (number, name) VALUES (999, 'future')")
    with pytest.raises(SchemaTooNew, match=r"has schema 999.*knows only up to \d"):
        Store(url)


def test_a_store_that_a_newer_version_began_to_migrate_is_refused(folder: Path) -> None:
    url = store_url("chdb", folder)
    with Store(url) as store:
        store.execute(
            "INSERT INTO schema_migrations (number, name, finished) VALUES (999, 'future', FALSE)"
        )
    with pytest.raises(SchemaTooNew, match="has schema 999"):
        Store(url)


OLDER = re.escape(f"at {migrations.MIGRATES_OLDER} on this data once and stop it")


@pytest.mark.parametrize(("applied", "said"), [(11, "has schema 11"), (0, "was begun by an older")])
def test_a_store_that_is_too_old_is_refused_with_the_way_out(
    applied: int, said: str, tmp_path: Path
) -> None:
    folder = unpack(tmp_path)
    with handle(folder) as client:
        client.command(
            f"ALTER TABLE schema_migrations DELETE WHERE number > {applied}"
            " SETTINGS mutations_sync = 2"
        )
    with pytest.raises(SchemaTooOld, match=f"The event store {said}.*schema 12 and newer.*{OLDER}"):
        Store(store_url("chdb", folder))


@pytest.mark.parametrize(("applied", "said"), [(3, "has schema 3"), (0, "was begun by an older")])
@pytest.mark.parametrize("file", SQLITE)
def test_a_file_that_is_too_old_is_refused_with_the_way_out(
    file: str, applied: int, said: str, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(unpack(tmp_path) / file, isolation_level=None)) as db:
        db.execute("DELETE FROM schema_migrations WHERE number > ?", (applied,))
        before = columns(db)
        with pytest.raises(SchemaTooOld, match=f"It {said}.*schema 4 and newer.*{OLDER}"):
            migrate_sqlite("It", db, SQLITE[file])
        assert columns(db) == before


@pytest.mark.parametrize("setting", ["clickhouse://", "http://host", "chdb://here", "sqlite", ""])
def test_other_stores_are_refused_with_the_way_out(setting: str, folder: Path) -> None:
    with pytest.raises(StoreError, match="write chdb"):
        store_url(setting, folder)
