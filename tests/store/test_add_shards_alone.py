"""While tables are divided between more shards nobody opens the store or starts on it, whatever
rows are where; and that begins only where the servers reach each other."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.cli.test_commands import fails, ok
from tests.clickhouse_cluster import Cluster
from tests.store.test_add_shards import cut_off, dying, is_whole
from tests.store.test_cluster import log
from tests.support import Project, Server
from threadline.cli import shards
from threadline.runtime import adding_shards
from threadline.runtime.folder import FolderInUse, folder_lock
from threadline.store import Store, StoreError, adding

__all__ = ["dying"]

SHARDS = 4
# More than are looked at, by one who stays, before all others.
CROWD = """
    INSERT INTO {database}_local.events
    SELECT * EXCEPT n REPLACE (toString(n) AS event_id, '' AS project_id)
    FROM (
        SELECT *, arrayJoin(range(30000)) AS n FROM (
            SELECT * FROM {database}_local.events
            WHERE jumpConsistentHash(visitor, 4) + 1 = {shard} LIMIT 1
        )
    )"""
SECRET = re.compile("<secret>[^<]*")
ALL_RIGHTS = "<access_management>1</access_management>"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("shards"), SHARDS, also={"three": 3}) as running:
        yield running


def crowd(nodes: Cluster, database: str) -> None:
    for node in nodes.nodes[:3]:
        node.query(CROWD.format(database=database, shard=node.shard))
        node.query(f"OPTIMIZE TABLE {database}_local.events FINAL")


def test_rows_that_are_not_looked_at_are_deleted_too(
    nodes: Cluster, tmp_path: Path, dying: Callable[[int], None]
) -> None:
    """Killed between the last table that was divided and the first deletion."""
    three, four = nodes.url("crowd", "three"), nodes.url("crowd")
    with Server(tmp_path, THREADLINE_STORE=three) as server:
        Project(server).batch(log(Random(8), 100))
        assert server.stop() == 0
    crowd(nodes, "crowd")
    cut_off(tmp_path, three, four, dying, SHARDS)
    with pytest.raises(StoreError, match="being added to the cluster threadline"):
        Store(four).close()
    ok("shard", "add", four, "--data", str(tmp_path), THREADLINE_STORE=three)
    ok("rebuild", "--data", str(tmp_path), THREADLINE_STORE=four)
    is_whole(nodes, four)


def test_no_server_starts_while_a_stopped_one_changes_over(
    nodes: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would write into the shards that there were, and lose what is another's from then on."""
    three, four = nodes.url("starts", "three"), nodes.url("starts")
    with Server(tmp_path, THREADLINE_STORE=three) as server:
        Project(server).batch(log(Random(9), 60))
        assert server.stop() == 0
    started = []
    switch = adding_shards.switch_stopped

    def switch_while_one_starts(*given: Any) -> None:
        with pytest.raises(FolderInUse), folder_lock(tmp_path, ""):
            raise AssertionError
        started.append(given)
        switch(*given)

    monkeypatch.setattr(adding_shards, "switch_stopped", switch_while_one_starts)
    given = ["add", four, "--data", str(tmp_path)]
    done = CliRunner().invoke(shards.app, given, env={"THREADLINE_STORE": three})
    assert done.exit_code == 0, done
    assert started
    is_whole(nodes, four)


def misdescribed(
    folder: Path, node: int, change: Callable[[str, Cluster], str], file: str = "config.xml"
) -> Cluster:
    """Four shards, of which this one has another `remote_servers`, or other users."""
    cluster = Cluster(folder, SHARDS, also={"three": 3})
    path = cluster.nodes[node].folder / file
    path.write_text(change(path.read_text(), cluster))
    return cluster


def with_another_secret(config: str, cluster: Cluster) -> str:
    return SECRET.sub("<secret>of nobody", config)


def with_two_in_each_others_place(config: str, cluster: Cluster) -> str:
    """In the larger cluster only, which stands behind the other one."""
    third, fourth = (f"<port>{node.tcp}</port>" for node in cluster.nodes[2:])
    before, larger, after = config.partition("<threadline>")
    return (
        before + larger + after.replace(third, "-").replace(fourth, third).replace("-", fourth, 1)
    )


@pytest.mark.parametrize(
    ("node", "change", "said"),
    [
        (3, with_another_secret, "Not every node reaches every shard of the cluster threadline"),
        (0, with_two_in_each_others_place, "Describe the shards in the same order on all nodes"),
    ],
)
def test_servers_that_do_not_reach_each_other_change_nothing(
    tmp_path: Path, node: int, change: Callable[[str, Cluster], str], said: str
) -> None:
    folder = tmp_path / "data"
    with misdescribed(tmp_path / "nodes", node, change) as nodes:
        three, four = nodes.url("secret", "three"), nodes.url("secret")
        with Server(folder, THREADLINE_STORE=three) as server:
            project = Project(server)
            project.batch(log(Random(6), 60))
            refused = fails("shard", "add", four, "--data", str(folder), THREADLINE_STORE=three)
            assert re.search(said, refused), refused
            assert len(project.stored()) > 60
            assert not nodes.nodes[3].query("SHOW TABLES FROM secret_local")
            assert server.stop() == 0


def granting(*statements: str) -> Callable[[str, Cluster], str]:
    """Nothing else."""
    grants = "".join(f"<query>{each}</query>" for each in statements)
    return lambda users, cluster: users.replace(ALL_RIGHTS, f"<grants>{grants}</grants>")


@pytest.mark.parametrize(
    ("node", "grants", "missing"),
    [
        (
            3,
            ["SELECT, REMOTE, TABLE ENGINE ON *.*", "ALL ON rights_local.*"],
            "CREATE DATABASE ON rights",
        ),
        (3, ["ALL ON *.*", "REVOKE ALTER DELETE ON rights_local.links"], "ALTER DELETE ON links"),
        (1, ["ALL ON *.*", "REVOKE ALTER DELETE ON rights_local.links"], "ALTER DELETE ON links"),
    ],
    ids=["to divide", "to delete", "to delete on one that there is"],
)
def test_rights_that_are_needed_in_the_end_are_looked_at_before(
    tmp_path: Path, node: int, grants: list[str], missing: str
) -> None:
    """While tables are divided it would be an outage."""
    users = granting(*(each if "REVOKE" in each else f"GRANT {each}" for each in grants))
    with misdescribed(tmp_path, node, users, "users.xml") as nodes:
        three, four = nodes.url("rights", "three"), nodes.url("rights")
        with Store(three) as store:
            with (
                pytest.raises(StoreError, match=f"{nodes.nodes[node].http}.*{missing}"),
                adding.addition(store, four),
            ):
                raise AssertionError
            store.ping()
        assert not adding.is_begun(four)
