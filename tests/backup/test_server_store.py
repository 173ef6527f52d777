"""Backups where the events lie on a ClickHouse server or cluster: the same, and restored into
either kind of store."""

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.backup.test_backup import (
    KILLS,
    SOME,
    answers,
    backups,
    events,
    killed,
    load,
    same,
    told,
    took_s,
)
from tests.cli.test_commands import fails, ok, run
from tests.clickhouse_cluster import Cluster
from tests.support import Json, Project, Server
from threadline.backup import manifest as manifests
from threadline.runtime import server_snapshots
from threadline.store import Store, StoreError, standing

# Nodes are asked for long, and `restore --check` has asked them already.
OF_CLUSTER = ("schema", "users", "identity_stats")
KEPT = """
    SELECT name FROM system.tables
    WHERE database = currentDatabase() AND startsWith(name, 'backup_')"""


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("one"), shards=1) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("two"), shards=2) as cluster:
        yield cluster


def make(folder: Path, url: str, target: Path, *more: str) -> Json:
    command = ("backup", str(target), "--data", str(folder), "--json", *more)
    made: Json = json.loads(ok(*command, THREADLINE_STORE=url))
    return made


def left(url: str, mark: str) -> list[str]:
    """Tables that are kept, of this mark or of any."""
    with Store(url) as store:
        names = [str(row["name"]) for node in store.nodes for row in node.query(KEPT, {})]
    return [name for name in names if name.endswith(mark)]


def test_restored_answers_are_the_originals_under_load_and_kills(
    one: Cluster, two: Cluster, folder: Path, tmp_path: Path
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

    restored, onto = tmp_path / "restored", two.url("restored")
    for third in KILLS:
        at = third + chance.uniform(-1 / 6, 1 / 6)
        killed(at, whole_s, "restore", str(target), "--to", str(restored))
        assert_all_or_nothing(restored)
    assert "all is as it was" in ok("restore", str(target), "--to", str(restored), "--check")
    there = tmp_path / "there"
    # Tables that nobody finished to make are left alone for a minute, which is tested elsewhere.
    Store(onto).close()
    give = ("restore", str(target), "--to", str(there), "--store", onto)
    for third in KILLS:
        killed(third, whole_s, *give)
        assert_all_or_nothing(there)
    assert "all is as it was" in ok(*give, "--check")
    assert "is not empty" in fails(
        "restore", str(target), "--to", str(tmp_path / "x"), "--store", onto
    )

    for data, store, some in ((restored, "chdb", SOME), (there, onto, OF_CLUSTER)):
        with Server(data, THREADLINE_STORE=store) as server:
            same(answers(quiet.again(server), some), before)
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


def test_of_a_cluster_only_what_is_new_is_written(
    two: Cluster, one: Cluster, folder: Path, tmp_path: Path
) -> None:
    """From a cluster, with a server and without, onto one server; a killed one leaves nothing."""
    target, url, onto = tmp_path / "backups", two.url("divided"), one.nodes[0].url("whole")
    with Server(folder, THREADLINE_STORE=url) as server:
        project = Project(server)
        for number in range(8):
            project.batch(events(1000 * number, 1000))
        assert len(project.stored()) == 8000
        with Store(url) as store:
            for node in store.nodes:
                node.arrange("OPTIMIZE TABLE events FINAL")
        first = make(folder, url, target)
        project.batch(events(8000, 10))
        assert len(project.stored(event="$pageview")) == 8010
        second = make(folder, url, target, "--keep", "1")
        assert (first["rows"]["events"], second["rows"]["events"]) == (8000, 8010)
        assert second["added_bytes"] < first["added_bytes"]
        assert backups(target) == [second["backup_id"]]
        before = project.stored()
        # What a killed one kept goes within a minute, or with the next.
        mark = server_snapshots.mark_of(folder, "backup_1f2e3d4c_00000000")
        with Store(url) as store:
            standing.prepare(store, mark)
            standing.prepare(store, "0" * 32)  # of another data folder
            assert left(url, mark)
            assert server_snapshots.remove_abandoned(store, folder)
            assert not left(url, mark)
            assert left(url, "0" * 32)
            standing.drop(store, "0" * 32)
        assert server.stop() == 0
    # What lies in the log is written first where no server runs.
    third = make(folder, url, target)
    assert (third["waiting"], third["rows"]["events"]) == (0, 8010)
    assert left(url, "") == []
    restored = tmp_path / "restored"
    ok("restore", str(target), "--to", str(restored), "--store", onto, "--check")
    with Server(restored, THREADLINE_STORE=onto) as server:
        assert project.again(server).stored() == before
        # What came before is known there.
        project.again(server).batch(events(0, 10))
        assert project.again(server).stored() == before
    # Its events are not in the folder, which it says.
    assert "lie in clickhouse://" in fails("serve", "--data", str(restored))


def test_what_goes_wrong_is_said_and_leaves_no_backup(
    one: Cluster, folder: Path, tmp_path: Path
) -> None:
    target, url = tmp_path / "backups", one.nodes[0].url("trouble")
    with Server(folder, THREADLINE_STORE=url) as server:
        project = Project(server)
        project.track("x", anonymous_id="d1")
        project.stored()
        # A command that was not told of the server's store would take what is not there.
        assert "has its events in another store" in fails(
            "backup", str(target), "--data", str(folder)
        )
        assert server.stop() == 0
    assert "lie in clickhouse://" in fails("backup", str(target), "--data", str(folder))
    assert backups(target) == []
    made = make(folder, url, target)
    to = tmp_path / "restored"
    # Rows that are not what was backed up are found without --check.
    manifest = target / "backups" / f"{made['backup_id']}.json"
    whole = manifests.read(manifest.name, manifest.read_bytes())
    blobs = {
        name: msgspec.structs.replace(blob, rows=blob.rows + 1) if blob.rows else blob
        for name, blob in whole.blobs.items()
    }
    manifest.write_bytes(msgspec.structs.replace(whole, blobs=blobs).sealed())
    assert "rows, and 2 were backed up" in run("restore", str(target), "--to", str(to)).stderr
    assert "threadline restore" in fails("project", "list", "--data", str(to))
    # Tables of another schema cannot be made from here.
    schemas = {**whole.moment.schemas, "store": 1}
    older = msgspec.structs.replace(whole.moment, schemas=schemas, version="0.0.1")
    manifest.write_bytes(msgspec.structs.replace(whole, moment=older).sealed())
    assert "was made by Threadline 0.0.1" in fails("restore", str(target), "--to", str(to))
    manifest.write_bytes(whole.sealed())
    ok("restore", str(target), "--to", str(to), "--check")
    with Server(to) as server:
        assert len(project.again(server).stored()) == 1
        assert server.stop() == 0
    # Files of an embedded engine go into a folder, and from there onto a server.
    ok("backup", str(tmp_path / "embedded"), "--data", str(to))
    give = ("restore", str(tmp_path / "embedded"), "--to", str(tmp_path / "onto"), "--store", url)
    assert "threadline migrate-store chdb" in fails(*give)
    one.nodes[0].kill()
    try:
        said = run("backup", str(target), "--data", str(folder), THREADLINE_STORE=url).stderr
        assert "ClickHouse is not reached" in said
    finally:
        one.nodes[0].start()
    assert backups(target) == [made["backup_id"]]


def test_an_answer_that_breaks_off_is_no_whole_one(one: Cluster) -> None:
    """A backup of a part of the rows would be one that lies."""
    with Store(one.nodes[0].url("broken")) as store:
        sql = "SELECT number, throwIf(number = 3000000) AS thrown FROM numbers(5000000)"
        with pytest.raises(StoreError, match="broke off in the middle"):
            read_all(store, sql)


def read_all(store: Store, sql: str) -> None:
    with store.reading(sql, {}, "Native") as body:
        while body.read(2**20):
            pass
