"""Moving all events into another store and back: the same answers, whatever is killed meanwhile."""

import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from tests import forked
from tests.backup.test_backup import answers, same, told
from tests.cli.test_commands import CLEAN, fails, ok, run
from tests.clickhouse_cluster import Cluster, Node
from tests.dying import Killed
from tests.support import Project, Server, ids
from threadline import settings_given
from threadline.identity import states
from threadline.runtime import events_store, moving
from threadline.runtime.comparing import compare
from threadline.store import Params, Row, Store, store_url
from threadline.store import moving as partitions
from threadline.store.address import without_password

ANY_EVENT = "SELECT 1 FROM events LIMIT 1"


@pytest.fixture(scope="module")
def one_shard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("clickhouse"), shards=1) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def node(one_shard: Cluster) -> Node:
    return one_shard.nodes[0]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Project]:
    """A stopped folder with something of everything in its own store."""
    folder = tmp_path_factory.mktemp("full") / "data"
    with Server(folder) as server:
        project = told(server)
        rates = folder.parent / "rates.csv"
        rates.write_text("Date,USD,\n2026-05-01,1.1,\n2026-05-04,1.2,\n")
        ok("rates", "import", str(rates), "--data", str(folder))
        project.track("x", anonymous_id="gone", event_id="gone")
        project.track("x", anonymous_id="stays", event_id="old", timestamp="2019-03-01T12:00:00Z")
        assert project.post("/v1/forget", {"anonymous_id": "gone"}).status == 200
        project.stored()
        assert server.stop() == 0
    return folder, project


@pytest.fixture
def copied(full: tuple[Path, Project], folder: Path) -> Path:
    shutil.copytree(full[0], folder, symlinks=True)
    return folder


@pytest.fixture(scope="module")
def before(full: tuple[Path, Project], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What it answers."""
    folder = tmp_path_factory.mktemp("asked") / "data"
    shutil.copytree(full[0], folder, symlinks=True)
    with Server(folder) as server:
        found = answers(full[1].again(server))
        assert server.stop() == 0
    return found


@pytest.fixture(scope="module")
def moved_once(
    full: tuple[Path, Project], node: Node, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """A folder whose events were moved, and where to. Tests take copies of it."""
    folder, url = tmp_path_factory.mktemp("moved") / "data", node.url("moved_once")
    shutil.copytree(full[0], folder, symlinks=True)
    ok("migrate-store", "chdb", url, "--data", str(folder))
    return folder, url


@pytest.fixture
def moved_away(moved_once: tuple[Path, str], tmp_path: Path) -> tuple[Path, str]:
    folder = tmp_path / "moved"
    shutil.copytree(moved_once[0], folder, symlinks=True)
    return folder, moved_once[1]


def database(node: Node, request: pytest.FixtureRequest) -> str:
    """The URL of a database of this test's own."""
    return node.url(request.node.name.partition("[")[0])


def test_there_and_back_the_answers_are_the_same(
    full: tuple[Path, Project],
    copied: Path,
    node: Node,
    before: dict[str, Any],
    request: pytest.FixtureRequest,
) -> None:
    project, url = full[1], database(node, request)
    with Server(copied) as server:
        # What waits in the log when the server is killed is moved, too.
        last = project.again(server).track("x", anonymous_id="late", event_id="late")
        server.stop(signal.SIGKILL)
    said = ok("migrate-store", "chdb", url, "--data", str(copied))
    shown = without_password(url)
    assert f"Set THREADLINE_STORE={shown}" in said
    assert f"rm -r {copied / 'store'}" in said
    assert "All is equal." in said
    assert "se%3Acret" not in said
    with Server(copied, THREADLINE_STORE=url) as server:
        there = project.again(server)
        assert last["event_id"] in ids(there.stored())
        there.post("/v1/forget", {"anonymous_id": "late"})
        same(answers(there), before)
        # What came before the move is known there.
        there.track("x", anonymous_id="stays", event_id="old")
        assert ids(there.stored()).count("old") == 1
        there.track("x", anonymous_id="new", event_id="new")
        then = answers(there)
        assert server.stop() == 0
        assert not [line for line in server.lines if '"error"' in line]
    refused = fails("migrate-store", url, "chdb", "--data", str(copied))
    assert "chdb is not empty" in refused
    assert f"rm -r {copied / 'store'}" in refused
    shutil.rmtree(copied / "store")
    said = ok("migrate-store", url, "chdb", "--data", str(copied))
    assert "Set THREADLINE_STORE=chdb where" in said
    assert "DROP DATABASE" in said
    with Server(copied) as server:
        same(answers(project.again(server)), then)


def test_into_a_cluster_and_onto_another_number_of_shards(
    full: tuple[Path, Project],
    copied: Path,
    one_shard: Cluster,
    tmp_path: Path,
    before: dict[str, Any],
) -> None:
    """Each move compares every row, and answers, by itself. The second one begins while the server
    runs, and events come in."""
    project = full[1]
    with Cluster(tmp_path / "two", shards=2) as two:
        stores = ["chdb", two.url("threadline"), one_shard.url("threadline")]
        for source, target in pairwise(stores):
            if source != "chdb":
                with Server(copied, THREADLINE_STORE=source) as running:
                    late = Project(running)
                    ahead = ("migrate-store", source, target, "--ahead", "--data", str(copied))
                    late.track("before")
                    assert "Copied. Now stop the server" in ok(*ahead)
                    late.track("after")
                    assert running.stop() == 0
            done = run("migrate-store", source, target, "--data", str(copied))
            said = done.stdout
            assert "All is equal." in said, done.stderr
            makes = "Recomputing user_touches on each node from its own events ..."
            assert (makes in done.stderr) == ("cluster=" in target)
            with Store(target) as store:
                assert not any(each[2:] != (0, 0, 0) for each in states.verify(store))
                assert all(node.query(ANY_EVENT, {}) for node in store.nodes)
        assert "DROP DATABASE `threadline` and DROP DATABASE `threadline_local` on" in said
        shutil.rmtree(copied / "store")
        ok("migrate-store", stores[-1], "chdb", "--data", str(copied))
    with Server(copied) as server:
        same(answers(project.again(server)), before)
        assert {row["event_name"] for row in late.again(server).stored()} == {"before", "after"}


class Dying(Store):
    """A store whose process is killed before the nth statement that changes it."""

    left = -1  # not before it is told

    def execute(self, sql: str, params: Params | None = None) -> None:
        self._next()
        super().execute(sql, params)

    def insert_stream(self, table: str, columns: Sequence[str], *rest: object) -> None:
        self._next()
        super().insert_stream(table, columns, *rest)  # type: ignore[arg-type]

    def _next(self) -> None:
        if not self.left:
            raise Killed
        self.left -= 1


def nothing(done: int, total: int) -> None:
    pass


def moved(folder: Path, source: Store, target: Store) -> None:
    chosen = settings_given.load(data=str(folder))
    moving.claim(folder, source, target)
    moving.drain(chosen, source)
    moving.move(source, target, chosen, nothing)
    found = compare(source, target, chosen, nothing)
    assert not found.problems
    assert not found.skipped
    assert found.answers
    assert found.journeys
    moving.finish(folder, source, target)


def rows(store: Store) -> dict[tuple[str, str], partitions.Digest]:
    described = partitions.described(store)
    return {
        each[:2]: partitions.digest(store, described[each.table], each.partition)
        for each in partitions.partitions(store)
    }


def test_a_move_that_is_killed_before_any_statement_goes_on(
    copied: Path, node: Node, request: pytest.FixtureRequest
) -> None:
    url, deaths = database(node, request), 0
    with Store(store_url("chdb", copied)) as source:
        while True:
            with Dying(url) as target:
                target.open()
                target.left = deaths
                try:
                    moved(copied, source, target)
                    break
                except Killed:
                    deaths += 1
                    if deaths == 5:  # the old store was used in between
                        source.execute(CAME)
                    assert events_store.read(copied) == events_store.Note("chdb")
        assert deaths > 10
        with Store(url) as target:
            assert rows(target) == rows(source)
            left = {row["name"] for row in target.query(partitions.NAMES, {})}
            assert not [name for name in left if name.startswith(("moving_", "unfinished_move"))]


CAME = """
    INSERT INTO events (project_id, timestamp, event_id, event_name, anonymous_id, received_at)
    SELECT 'p', toDateTime64('2026-05-05 10:00:00', 3), 'between', 'x', 'a', now64(3)"""


def test_a_command_that_is_killed_in_the_middle_goes_on(
    full: tuple[Path, Project],
    copied: Path,
    node: Node,
    before: dict[str, Any],
    request: pytest.FixtureRequest,
) -> None:
    project, url = full[1], database(node, request)
    command = ("migrate-store", "chdb", url, "--data", str(copied))
    name = url.rpartition("/")[2]
    for table in ("events", "half_hours", "visitor_touches"):
        with forked.start(*command, env=CLEAN, stdout=PIPE, stderr=PIPE) as process:
            beside = "database = {name:String} AND startsWith(name, {table:String})"
            sql = f"SELECT count() FROM system.tables WHERE {beside}"
            while process.poll() is None:
                if node.query(sql, {"name": name, "table": f"moving_{table}"}).strip() != "0":
                    process.send_signal(signal.SIGKILL)
                    break
    # It may not be served from the half of it, and may from the old one.
    starting = run("serve", "--data", str(copied), THREADLINE_STORE=url, THREADLINE_PORT="0")
    assert starting.returncode == 1
    assert "was interrupted" in starting.stderr
    assert "Continuing a move" in run(*command).stderr
    with Server(copied, THREADLINE_STORE=url) as server:
        same(answers(project.again(server)), before)


def test_a_store_that_goes_away_in_the_middle_is_gone_on_with(copied: Path, tmp_path: Path) -> None:
    with Cluster(tmp_path / "nodes", shards=1) as cluster:
        node = cluster.nodes[0]
        command = ("migrate-store", "chdb", node.url("shop"), "--data", str(copied))
        made = "SELECT count() FROM system.tables WHERE startsWith(name, 'moving_')"
        with forked.start(*command, env=CLEAN, stdout=PIPE, stderr=PIPE) as process:
            while node.query(made).strip() == "0":
                assert process.poll() is None
            node.kill()
            _, said = process.communicate()
            assert process.wait() == 1
        assert "The same command continues where it stopped." in said
        node.start()
        assert "All is equal." in ok(*command)


def test_what_is_there_already_is_never_mixed(
    copied: Path, tmp_path: Path, node: Node, request: pytest.FixtureRequest
) -> None:
    url, other = database(node, request), tmp_path / "other"
    with Server(other, THREADLINE_STORE=url) as server:
        project = Project(server)
        project.track("x", event_id="theirs")
        assert ids(project.stored()) == ["theirs"]
        assert server.stop() == 0
    refused = fails("migrate-store", "chdb", url, "--data", str(copied))
    assert "is not empty (events: 1 rows)" in refused
    assert "DROP DATABASE" in refused
    # Nor is a store taken from a folder that it does not belong to.
    elsewhere = f"{url}_elsewhere"
    refused = fails("migrate-store", url, elsewhere, "--data", str(copied))
    assert f"The events of {copied} lie in chdb" in refused
    with Store(url) as store:
        assert [row["event_id"] for row in store.query("SELECT event_id FROM events", {})] == [
            "theirs"
        ]


def test_another_move_into_the_same_store_is_refused(
    copied: Path, node: Node, request: pytest.FixtureRequest
) -> None:
    url = database(node, request)
    with Store(url) as target:
        partitions.begin(target, "another", "clickhouse://db:8123/other")
    refused = fails("migrate-store", "chdb", url, "--data", str(copied))
    assert "A move from clickhouse://db:8123/other into" in refused


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("chdb", "chdb", "FROM and TO are the same store"),
        ("chdb", "chdb:///elsewhere/store", "cp -a"),
        ("chdb", "clickhouse://u:geheim@a:1,b:2/x", "several hosts need ?cluster=NAME"),
        ("chdb", "clickhouse://u:geheim@a:1/x?shards=3", "?shards= is not a parameter"),
        ("chdb", "postgres://db", "is not supported: write chdb"),
        (
            "chdb:///nowhere/at/all",
            "clickhouse://db:8123/x",
            "There is no store at chdb:///nowhere",
        ),
        ("chdb", "clickhouse://u:geheim@127.0.0.1:1/x", "not reached: Connection refused"),
        ("clickhouse://u:geheim@127.0.0.1:1/x", "chdb", "not reached: Connection refused"),
    ],
)
def test_what_cannot_be_moved_is_said(copied: Path, source: str, target: str, said: str) -> None:
    done = run("migrate-store", source, target, "--data", str(copied))
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "geheim" not in done.stderr
    assert not Path("/nowhere").exists()


def test_a_database_that_is_not_there_is_not_made_to_be_read(
    copied: Path, node: Node, request: pytest.FixtureRequest
) -> None:
    url = database(node, request)
    assert "There is no store at" in fails("migrate-store", url, "chdb", "--data", str(copied))
    assert url.rpartition("/")[2] not in node.query("SHOW DATABASES").split()
    wrong = url.replace("se%3Acret", "geheim")
    for stores in ((wrong, "chdb"), ("chdb", wrong)):
        refused = fails("migrate-store", *stores, "--data", str(copied))
        assert "Authentication failed" in refused
        assert "geheim" not in refused


def test_a_folder_that_is_served_is_left_alone(
    copied: Path, node: Node, request: pytest.FixtureRequest
) -> None:
    with Server(copied) as server:
        refused = fails("migrate-store", "chdb", database(node, request), "--data", str(copied))
        assert f"is in use by a running server ({server.url}, process " in refused
        assert "Stop it" in refused


def ask_sql(folder: Path, store: str) -> str:
    asked = ("sql", "SELECT count() AS n FROM events", "--data", str(folder))
    return fails(*asked, THREADLINE_STORE=store)


def serve(folder: Path, store: str) -> str:
    done = run("serve", "--data", str(folder), THREADLINE_STORE=store, THREADLINE_PORT="0")
    assert done.returncode == 1
    return done.stderr


@pytest.mark.parametrize("start", [serve, ask_sql])
def test_a_start_with_another_store_says_where_the_events_are(
    start: Callable[[Path, str], str],
    copied: Path,
    moved_away: tuple[Path, str],
    node: Node,
    request: pytest.FixtureRequest,
) -> None:
    said = start(copied, database(node, request) + start.__name__)
    assert f"The events of {copied} lie in chdb" in said
    assert "Set THREADLINE_STORE=chdb, or move them: threadline migrate-store chdb" in said
    moved, _ = moved_away
    said = start(moved, "chdb")
    assert f"The events of {moved} were moved from chdb to clickhouse://127.0.0.1:" in said
    assert "Set THREADLINE_STORE=clickhouse://USER:PASSWORD@127.0.0.1:" in said
    assert "se%3Acret" not in said
    assert "does not answer" in start(moved, "clickhouse://u:geheim@127.0.0.1:1/x")


def test_whoever_has_lost_the_new_store_goes_on_with_the_old_one(
    moved_away: tuple[Path, str],
) -> None:
    folder, url = moved_away
    assert "were moved from chdb" in run("doctor", "--data", str(folder)).stdout
    assert "were moved from chdb" in fails("backup", str(folder.parent), "--data", str(folder))
    with Server(folder, THREADLINE_STORE=url) as server:
        assert server.stop() == 0
    (folder / "store.json").unlink()
    with Server(folder) as server:
        assert server.stop() == 0
    assert events_store.read(folder) == events_store.Note("chdb")


def test_the_same_store_under_another_name_is_the_same(moved_away: tuple[Path, str]) -> None:
    folder, url = moved_away
    renamed = url.replace("127.0.0.1", "localhost")
    with Server(folder, THREADLINE_STORE=renamed) as server:
        assert server.stop() == 0
    note = events_store.read(folder)
    assert note is not None
    assert note.store == events_store.name_of(renamed, folder)


def test_before_the_first_event_any_store_will_do(
    folder: Path, node: Node, request: pytest.FixtureRequest
) -> None:
    for store in ("chdb", database(node, request)):
        with Server(folder, THREADLINE_STORE=store) as server:
            assert server.stop() == 0
    note = events_store.read(folder)
    assert note is not None
    assert note.store.startswith("clickhouse://")


def test_rows_that_are_deleted_do_not_come_along(
    copied: Path, node: Node, request: pytest.FixtureRequest
) -> None:
    url = database(node, request)
    with Store(store_url("chdb", copied)) as source, Store(url) as target:
        source.delete("events", "timestamp < toDateTime64('2020-01-01 00:00:00', 3)", {})
        moved(copied, source, target)
        found: list[Row] = target.query("SELECT event_id FROM events WHERE event_id = 'old'", {})
        assert found == []


def test_a_month_is_never_in_memory_as_a_whole(copied: Path, node: Node) -> None:
    for url in (store_url("chdb", copied), node.url()):
        with Store(url) as store:
            sql = "SELECT number FROM system.numbers LIMIT 1000000000"
            with store.reading(sql, {}, "Native") as body:  # which would be 8 GB
                assert len(body.read(1024)) == 1024
