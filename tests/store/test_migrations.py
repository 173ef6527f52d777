"""A folder of an older version is brought up to date; one of a newer version is left alone."""

from pathlib import Path
from typing import cast

import pytest
from clickhouse_connect.driver.client import Client

from tests.dying import Killed, made, wrong
from tests.support import row_values
from threadline import migrations
from threadline.ingest import row
from threadline.ingest.recovery import finish_rebuilds
from threadline.migrations import SchemaTooNew
from threadline.questions import users
from threadline.questions.context import Context
from threadline.store import Store, StoreError, engine, store_url, unfinished


def event(event_id: str, minute: int, user_id: str | None) -> list[row.Value]:
    return row_values(
        event_id=event_id,
        user_id=user_id,
        timestamp=1_777_644_000_000 + minute * 60_000,
        source=f"source of {event_id}",
    )


def insert(store: Store, token: str, *rows: list[row.Value], columns: int = 27) -> None:
    """`columns`: of a version that knew only so many."""
    body = b"".join(row.encode(values[:columns]) for values in rows)
    store.insert("events", row.COLUMNS[:columns], "MsgPack", body, token)


def test_events_from_before_the_states_are_in_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = store_url("chdb", folder)
    everything = migrations.read("threadline.store")
    with monkeypatch.context() as before:
        before.setattr(migrations, "read", lambda package: everything[:1])
        with Store(url) as old:
            crawler = row_values(event_id="b", user_id="b", device_type="bot", browser="Googlebot")
            insert(old, "1", event("e1", 1, None), event("e2", 2, "u"), crawler, columns=23)
    with Store(url) as store:
        insert(store, "2", event("e0", 0, None))
        (user,) = users.ask(Context(store, "p"), users.UsersParams()).rows
    assert (user.first_touch.event_id, user.first_touch.source) == ("e0", "source of e0")
    assert user.known_since == "2026-05-01T14:02:00.000Z"
    with Store(url) as store:
        (counted,) = store.query("SELECT count() AS applied FROM schema_migrations", {})
    assert counted["applied"] == len(everything)


def test_a_migration_cut_short_is_run_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = store_url("chdb", folder)
    whole = migrations.read("threadline.store")
    cut = migrations.Migration(2, "cut", (*whole[1].statements[:3], "SELECT nonsense FROM nowhere"))
    with monkeypatch.context() as crash:
        crash.setattr(migrations, "read", lambda package: [whole[0], cut])
        with pytest.raises(StoreError):
            Store(url)
    with Store(url) as store:
        insert(store, "1", event("e1", 1, "u"))
        assert len(users.ask(Context(store, "p"), users.UsersParams()).rows) == 1


class DyingClient:
    """A handle whose process is killed before the nth statement."""

    def __init__(self, client: Client, statements: int) -> None:
        self.query = client.query
        self._command = client.command
        self._left = statements

    def command(self, sql: str) -> object:
        if not self._left:
            raise Killed
        self._left -= 1
        return self._command(sql)


def test_migrations_killed_at_any_statement_are_run_to_the_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest ones, each killed before every statement of it, one after the other; what an older
    version had in the middle is listed then, and finished."""
    url = store_url("chdb", folder)
    everything = migrations.read("threadline.store")
    with monkeypatch.context() as before:
        before.setattr(migrations, "read", lambda package: everything[:9])
        with Store(url) as old:
            insert(old, "1", event("e1", 1, None), event("e2", 2, "u"), event("e3", 3, "v"))
            old.execute("CREATE TABLE links_new AS links")
    client = engine._connect(url, 60, {})
    applied, kills, statements, killed = 9, 0, 0, True
    while killed:
        try:
            engine._migrate(cast(Client, DyingClient(client, statements)))
            killed = False
        except Killed:
            kills += 1
            statements += 1
        ((now,),) = client.query("SELECT max(number) FROM schema_migrations").result_rows
        if now != applied:
            applied, statements = now, 0
    client.close()
    assert applied == everything[-1].number
    assert kills > sum(len(migration.statements) for migration in everything[9:])
    with Store(url) as store:
        (counted,) = store.query("SELECT count() AS applied FROM schema_migrations", {})
        assert counted["applied"] == len(everything)
        insert(store, "2", event("e0", 0, None), event("e4", 4, "u"))
        assert wrong(store) == set()
        (user, _) = users.ask(Context(store, "p"), users.UsersParams()).rows
        assert user.first_touch.event_id == "e0"
        assert [(work.name, work.subject) for work in unfinished(store)] == [("rebuild", "links")]
        finish_rebuilds(store, folder, lambda: False)
        assert (wrong(store), made(store), unfinished(store)) == (set(), [], [])


def test_a_newer_store_is_refused(folder: Path) -> None:
    url = store_url("chdb", folder)
    with Store(url) as store:
        store.execute("INSERT INTO schema_migrations (number, name) VALUES (999, 'future')")
    with pytest.raises(SchemaTooNew, match=r"has schema 999.*knows only up to \d"):
        Store(url)


@pytest.mark.parametrize("setting", ["clickhouse://", "http://host", "chdb://here", "sqlite", ""])
def test_other_stores_are_refused_with_the_way_out(setting: str, folder: Path) -> None:
    with pytest.raises(StoreError, match="write chdb"):
        store_url(setting, folder)
