"""`threadline shard add`, given where it was killed, where a node was away, or where it is wrong:
what was brought stays, and nothing is deleted that has not moved."""

import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.cli.test_commands import fails
from tests.clickhouse_cluster import Cluster
from tests.store.test_add_shards import is_whole
from tests.store.test_cluster import log
from tests.support import Project, Server, row_values, until
from threadline import settings_given
from threadline.ingest import row, unused_traffic_sources
from threadline.jobs.locks import ADDING, INSERTING, is_held, wait_for
from threadline.runtime import adding_shards, admin_messages, backing_up, server_snapshots
from threadline.store import Store, StoreError, adding, standing, versions


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(
        tmp_path_factory.mktemp("shards"), shards=4, also={"three": 3, "other": 3}
    ) as running:
        yield running


def divided(nodes: Cluster, database: str) -> list[int]:
    """How many events each node has that has any."""
    sql = f"SELECT count() FROM {database}_local.events"
    return [int(node.query(sql)) for node in nodes.nodes[:3]]


def test_nothing_is_deleted_where_nothing_was_added(nodes: Cluster, tmp_path: Path) -> None:
    """Shards that have changed places look like a change that was cut off: all is another's."""
    three = nodes.url("astray", "three")
    with Server(tmp_path, THREADLINE_STORE=three) as server:
        Project(server).batch(log(Random(2), 60))
        assert server.stop() == 0
    other = nodes.url("astray", "other")
    said = fails("shard", "add", other, "--data", str(tmp_path), THREADLINE_STORE=three)
    assert "has no shards besides those that there are" in said
    there = "SELECT * FROM cluster('three', astray_local.events)"
    nodes.nodes[1].query(f"INSERT INTO astray_local.events {there}")
    counted = divided(nodes, "astray")
    said = fails("shard", "add", three, "--data", str(tmp_path), THREADLINE_STORE=three)
    assert "has events of another one" in said
    assert divided(nodes, "astray") == counted
    said = fails("shard", "add", nodes.url("astray"), "--data", str(tmp_path))
    assert f"{tmp_path} lie in clickhouse://" in said
    assert not (tmp_path / "store").exists()


def test_who_asked_is_killed_while_the_server_changes_over(nodes: Cluster, tmp_path: Path) -> None:
    """Whoever came next would take what is brought already for what nobody has, and drop it."""
    three, four = nodes.url("alone", "three"), nodes.url("alone")
    given = ("shard", "add", four, "--data", str(tmp_path))
    with Server(tmp_path, THREADLINE_STORE=three) as server:
        Project(server).batch(log(Random(4), 60))
        with (
            wait_for(tmp_path / INSERTING),
            closing(socket.socket(socket.AF_UNIX)) as asking,
            admin_messages.address(tmp_path) as address,
        ):
            asking.connect(address)
            asking.sendall(msgspec.json.encode(admin_messages.AddShards(four, [])) + b"\n")
            until(lambda: is_held(tmp_path / ADDING))
            assert "changes over to more shards" in fails(*given, THREADLINE_STORE=three)
        until(lambda: not is_held(tmp_path / ADDING))
        assert not adding.is_begun(four), "nobody waits for it"
        assert server.stop() == 0


def test_a_node_is_away_just_when_tables_are_to_be_divided(
    nodes: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    three, four = nodes.url("away", "three"), nodes.url("away")
    with Server(tmp_path, THREADLINE_STORE=three) as server:
        project = Project(server)
        project.batch(log(Random(5), 60))
        assert project.post("/v1/forget", {"user_id": "user 1"}).status == 200
        assert server.stop() == 0
    # As if it was killed before it did that: nobody is there who will.
    with closing(sqlite3.connect(tmp_path / "log.db")) as db, db:
        db.execute("UPDATE jobs SET finished_ms = NULL, hidden_ms = NULL WHERE kind = 'forget'")
    settings = settings_given.load(data=str(tmp_path), store=three)
    with Store(three) as store:
        services: Any = SimpleNamespace(store=store, settings=settings, caught_up=nullcontext)
        with monkeypatch.context() as patched:
            patched.setattr(adding, "divide", fail)
            with pytest.raises(StoreError, match="frozen"):
                adding_shards.switch(services, four, [])
        with pytest.raises(StoreError, match="shard add"):
            store.ping()
        nodes.nodes[1].pause()
        began = time.monotonic()
        try:
            with pytest.raises(StoreError, match="not reached"):
                store.ping()
            assert time.monotonic() - began < 60
        finally:
            nodes.nodes[1].resume()
        adding_shards.switch(services, four, [])
        assert services.settings.store == four
        assert len(store.nodes) == 4
        adding_shards.finish(store, services.settings, lambda state: None)
    is_whole(nodes, four)


def fail(url: str) -> None:
    raise StoreError("frozen")


def test_parts_are_merged_while_deleted_rows_are_counted(
    nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise what was deleted would count, and the next round would not see that it is gone."""
    three, four = nodes.url("merged", "three"), nodes.url("merged")
    look = Store.look

    def merge_before(node: Store, sql: str, params: Any) -> Any:
        if sql == versions.DELETED and node.query(sql, params)[0]["parts"]:
            node.arrange(f"OPTIMIZE TABLE {params['table']} FINAL")
        return look(node, sql, params)

    with Store(three) as store, adding.addition(store, four) as more:
        for node in store.nodes:
            columns = "names (project_id, month, event_name)"
            values = "'p', 202605, toString(number) FROM numbers(9)"
            node.execute(f"INSERT INTO {columns} SELECT {values}")
            node.delete("names", "event_name < '5'", {})
        standing.await_deletions(store, 60)
        monkeypatch.setattr(Store, "look", merge_before)
        counted = [each.rows for each in more.versions() if each.table == "names"]
        assert counted == [4, 4, 4]


def test_a_first_touch_that_outlives_its_event_keeps_its_source(nodes: Cluster) -> None:
    """It moves with its visitor. Where the event is gone, the name of its source stays where it
    was, and nobody there seems to have come by it."""
    three, four = nodes.url("outlived", "three"), nodes.url("outlived")
    with Store(three) as store, adding.addition(store, four) as more:
        came = [
            row_values(anonymous_id=f"{each}", event_id=f"{each}", source=f"source {each}")
            for each in range(20)
        ]
        body = b"".join(row.encode(each) for each in [*came, row_values(source="of nobody")])
        store.insert("events", row.COLUMNS, "MsgPack", body, "outlived")
        store.delete("events", "TRUE", {})
        store.delete("visitor_touches", "visitor = sipHash64('a')", {})
        adding_shards.copy(more, lambda size: None)
        more.divide()
        named = "SELECT DISTINCT traffic_source AS number, source FROM traffic_sources"
        numbers = [each["number"] for each in store.query(named, {})]
        unused_traffic_sources.delete(store, "p", numbers, nullcontext)
        left = {each["source"] for each in store.query(named, {})}
        assert left == {f"source {each}" for each in range(20)}


def test_the_servers_own_backups_go_on(nodes: Cluster, tmp_path: Path) -> None:
    """It was started with the smaller cluster, and goes on with the larger one."""
    three, four = nodes.url("backed", "three"), nodes.url("backed")
    folder, target = tmp_path / "data", str(tmp_path / "backups")
    with Server(folder, THREADLINE_STORE=three) as server:
        Project(server).batch(log(Random(6), 60))
        assert server.stop() == 0
    started = settings_given.load(
        data=str(folder), store=three, backup_every="24h", backup_to=target
    )
    now, made, failed = [started], list[int](), list[str]()
    scheduled = backing_up.Scheduled(
        lambda: now[0],
        lambda name: server_snapshots.take_stopped(now[0], name),
        lambda: None,
        made.append,
        lambda: failed.append("once more"),
    )
    with Store(three) as store, adding.addition(store, four) as more:
        adding_shards.switch_stopped(started, more, adding_shards.copy(more, lambda size: None))
    now[0] = msgspec.structs.replace(started, store=four)
    scheduled.look()
    assert (len(made), failed) == (1, [])
