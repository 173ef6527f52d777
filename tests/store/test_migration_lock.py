"""Two processes that open one ClickHouse server at once: one migrates, the other waits for it; and
one that is dead is waited for no longer than its lease."""

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from tests.clickhouse_cluster import ClickHouse
from tests.dying import wrong
from tests.store.older import unpack
from threadline.store import Store, StoreAway, migration_lock, tables
from threadline.store.connection import connect

LOCKS = """
    SELECT name FROM system.tables
    WHERE database = currentDatabase() AND startsWith(name, 'schema_lock_') ORDER BY name"""


class Heard:
    """In the place of the log: what was said, and a way to wait for it."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self._said = threading.Condition()

    def _say(self, event: str, **fields: Any) -> None:
        with self._said:
            self.lines.append((event, fields))
            self._said.notify_all()

    info = warning = _say

    def await_line(self, event: str) -> None:
        with self._said:
            assert self._said.wait_for(lambda: event in dict(self.lines), timeout=60)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    log = Heard()
    monkeypatch.setattr(migration_lock, "_logger", log)
    return log


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    """With the store of an older version in it."""
    older = unpack(tmp_path_factory.mktemp("older"))
    with ClickHouse(tmp_path_factory.mktemp("clickhouse")) as running:
        shutil.copytree(older / "store", running.data, symlinks=True)
        _rename_database(running.data, "default", "older")
        yield running.start()


def _rename_database(data: Path, name: str, new: str) -> None:
    """The embedded engine's database has a name that a server makes anew for itself."""
    link = data / "metadata" / name
    where = link.readlink()
    link.unlink()
    (data / "metadata" / new).symlink_to(where)
    made = f"ATTACH DATABASE _ UUID '{where.name}' ENGINE = Atomic\n"
    (data / "metadata" / f"{new}.sql").write_text(made)
    for table in (data / "store").rglob("*.sql"):
        table.write_text(table.read_text().replace(f"{name}.", f"{new}."))


@contextmanager
def client(url: str) -> Iterator[Client]:
    opened = connect(url, 60, {})
    try:
        yield opened
    finally:
        opened.close()


def test_two_at_once_migrate_once(clickhouse: ClickHouse) -> None:
    """Real data of schema 12, and four that come at the same time."""
    url = clickhouse.url("older")

    def open_store(_: int) -> set[str]:
        with Store(url) as store:
            return wrong(store)

    with ThreadPoolExecutor(4) as pool:
        # Its rebuild was interrupted before.
        assert list(pool.map(open_store, range(4))) == [{"traffic_sources"}] * 4
    with client(url) as asking:
        newest = tables.read()
        steps = "SELECT step, finished FROM schema_migrations WHERE number = %d ORDER BY ALL"
        rows = asking.query(steps % newest.baseline.number).result_rows
        count = len(newest.steps[-1].statements)
        assert rows == [*((n, False) for n in range(count + 1)), (count, True)]


def test_the_second_waits_for_the_first(clickhouse: ClickHouse, heard: Heard) -> None:
    url = clickhouse.url("waited")
    with client(url) as mine, ThreadPoolExecutor(1) as other:
        with migration_lock.migration_lock(url, mine) as hold:
            opening = other.submit(lambda: Store(url))
            heard.await_line("migration_waits")
            hold()
            assert "events" not in [name for (name,) in mine.query("SHOW TABLES").result_rows]
            assert not opening.done()
        with opening.result(timeout=60) as store:
            assert wrong(store) == set()
        assert mine.query(LOCKS).result_rows == [("schema_lock_2",)]


def test_a_dead_one_is_taken_over_and_cannot_go_on(
    clickhouse: ClickHouse, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = clickhouse.url("dead")
    with client(url) as mine, migration_lock.migration_lock(url, mine) as hold:
        hold()
        monkeypatch.setattr(migration_lock, "LEASE_S", 0)
        with Store(url) as store:
            assert wrong(store) == set()
        heard.await_line("migration_taken_over")
        with pytest.raises(StoreAway, match="Another process has taken over"):
            hold()


def test_one_that_died_before_it_signed_is_taken_over(
    clickhouse: ClickHouse, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = clickhouse.url("unsigned")
    with client(url) as mine:
        mine.command(migration_lock.LOCK.substitute(number=7))
        with ThreadPoolExecutor(1) as other:
            opening = other.submit(lambda: Store(url))
            heard.await_line("migration_waits")
            monkeypatch.setattr(migration_lock, "LEASE_S", 0)
            opening.result(timeout=60).close()
        assert mine.query(LOCKS).result_rows == [("schema_lock_8",)]


def test_who_lives_says_so(clickhouse: ClickHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    url = clickhouse.url("alive")
    monkeypatch.setattr(migration_lock, "SIGN_EVERY_S", 0.01)
    signs = "SELECT count() FROM schema_lock_1 WHERE NOT released"
    with client(url) as mine:
        with migration_lock.migration_lock(url, mine):
            while mine.query(signs).result_rows[0][0] < 3:
                pass
        assert mine.query("SELECT max(released) FROM schema_lock_1").result_rows == [(True,)]


def test_of_many_one_has_it_at_a_time(
    clickhouse: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = clickhouse.url("many")
    monkeypatch.setattr(migration_lock, "LOOK_AGAIN_S", 0.01)
    connect(url, 60, {}).close()
    inside: list[int] = []

    def enter(number: int) -> int:
        with client(url) as mine, migration_lock.migration_lock(url, mine) as hold:
            inside.append(number)
            hold()
            alone = list(inside)
            hold()
            inside.remove(number)
            return len(alone)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(enter, range(8))) == [1] * 8


def test_the_embedded_engine_needs_no_table(folder: Path) -> None:
    url = f"chdb://{folder}"
    with client(url) as mine, migration_lock.migration_lock(url, mine) as hold:
        hold()
        assert mine.query(LOCKS).result_rows == []
