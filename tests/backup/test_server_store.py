"""Backups where the events lie on a ClickHouse server or cluster: the same, and restored into
either kind of store."""

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backup.test_backup import KILLS, answers, backups, killed, load, same, told, took_s
from tests.cli.test_commands import fails, ok, run
from tests.clickhouse_cluster import Cluster
from tests.support import Json, Project, Server
from threadline.store import Store, moving

KEPT = """
    SELECT name FROM system.tables WHERE database = currentDatabase() AND startsWith(name, 'backup_')"""
BACKUP_TABLES = "SELECT count() FROM system.tables WHERE startsWith(name, 'backup_events_')"
POURING = "SELECT count() FROM system.tables WHERE startsWith(name, 'moving_events_')"


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("one"), shards=1) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("three"), shards=3) as cluster:
        yield cluster


def make(folder: Path, url: str, target: Path, *more: str) -> Json:
    command = ("backup", str(target), "--data", str(folder), "--json", *more)
    made: Json = json.loads(ok(*command, THREADLINE_STORE=url))
    return made


def left(url: str) -> list[str]:
    with Store(url) as store:
        return [row["name"] for node in store.nodes for row in node.query(KEPT, {})]


def test_restored_answers_are_the_originals_under_load_and_kills(
    one: Cluster, three: Cluster, folder: Path, tmp_path: Path
) -> None:
    """From one server, under load, into a folder and onto a cluster."""
    chance, target, url = random.Random(25), tmp_path / "backups", one.nodes[0].url("loaded")
    command = ("backup", str(target), "--data", str(folder))
    with Server(folder, THREADLINE_STORE=url) as server:
        quiet, busy = told(server), Project(server)
        quiet.track("x", anonymous_id="gone", event_id="gone")
        quiet.stored()
        assert quiet.post("/v1/forget", {"anonymous_id": "gone"}).status == 200
        before = answers(quiet)
        with load(busy) as senders:
            whole_s = took_s(lambda: make(folder, url, target))
            for third in KILLS:
                at = third + chance.uniform(-1 / 6, 1 / 6)
                killed(at, whole_s, *command, THREADLINE_STORE=url)
            sent_before = [sender.sent for sender in senders]
            made = make(folder, url, target)
            sent_after = [sender.sent + 1 for sender in senders]
        assert backups(target)[-1] == made["backup_id"]
        same(answers(quiet), before)
        assert server.stop() == 0
        assert not [line for line in server.lines if '"error"' in line]
    ok("backup", "check", str(target), "--all")
    assert made["schemas"]["store"] > 0

    restored, onto = tmp_path / "restored", three.url("restored")
    for third in KILLS:
        at = third + chance.uniform(-1 / 6, 1 / 6)
        killed(at, whole_s, "restore", str(target), "--to", str(restored))
        assert_all_or_nothing(restored)
    assert "all is as it was" in ok("restore", str(target), "--to", str(restored), "--check")
    there = tmp_path / "there"
    give = ("restore", str(target), "--to", str(there), "--store", onto)
    for third in KILLS:
        killed(third, whole_s, *give)
        assert_all_or_nothing(there)
    assert "all is as it was" in ok(*give, "--check")
    assert "is not empty" in fails(
        "restore", str(target), "--to", str(tmp_path / "x"), "--store", onto
    )

    for at, store in ((restored, "chdb"), (there, onto)):
        with Server(at, THREADLINE_STORE=store) as server:
            same(answers(quiet.again(server)), before)
            stored = {row["event_id"] for row in busy.again(server).stored()}
            assert server.stop() == 0
        for number in range(len(senders)):
            mine = {each for each in stored if each.startswith(f"{number}-")}
            # What one sender had acknowledged, in its order, up to one moment.
            assert mine == {f"{number}-{n}" for n in range(len(mine))}
            assert sent_before[number] * 40 <= len(mine) <= sent_after[number] * 40


def assert_all_or_nothing(folder: Path) -> None:
    """And nothing is in the way of the next try."""
    done = run("project", "list", "--data", str(folder))
    whole = (folder / "control.db").exists() and not (folder / ".restoring").exists()
    assert (done.returncode == 0) == whole
    if whole:
        shutil.rmtree(folder)
