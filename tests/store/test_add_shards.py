"""Shards are added while events come in and questions are asked: the answers are those of one
machine at every step, whatever is cut off."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.cli.test_commands import fails, ok, run
from tests.clickhouse_cluster import Cluster
from tests.store.test_cluster import BEGAN, USERS, answer, log
from tests.support import Json, Project, Server
from tests.width import PACE_S, wide
from threadline import settings_given
from threadline.contract.times import DAY_MS, format_ms
from threadline.identity import states
from threadline.runtime import adding_shards
from threadline.runtime.socket_store import SocketStore
from threadline.store import (
    REBUILD,
    Store,
    StoreError,
    adding,
    begin,
    cluster,
    standing,
    without_password,
)

QUESTIONS = (
    "stats_persons", "sources", "funnel", "retention", "attribution", "paths", "users"
)  # fmt: skip
# What comes while shards are added comes after what is asked about.
UNTIL = format_ms(BEGAN + 9 * DAY_MS)


def strangers(number: int) -> list[Json]:
    """A batch of events that come while shards are added, of people who are nobody else."""
    return [
        {
            "event": "late",
            "event_id": f"late {number} {each}",
            "timestamp": format_ms(BEGAN + 10 * DAY_MS + number),
            "anonymous_id": f"stranger {number % 40} {each}",
            "user_id": f"latecomer {number % 7}" if each == 3 else None,
        }
        for each in range(5)
    ]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three shards in use, and a fourth that they know under the larger cluster's name."""
    with Cluster(tmp_path_factory.mktemp("shards"), shards=4, also={"three": 3}) as running:
        yield running


def filled(server: Server) -> Project:
    project = Project(server)
    made = log(Random(7), 900)
    for start in range(0, len(made), 300):
        project.batch(made[start : start + 300])
    asked = {"user_id": "user 1", "alias_of": "user 2"}
    assert project.change("PUT", "/v1/identity/aliases", asked).status == 200
    pair = {"anonymous_id": "kiosk", "user_id": "user 5"}
    assert project.change("DELETE", "/v1/identity/links", pair).status == 200
    return project


def answers(project: Project) -> dict[str, Any]:
    return {name: answer(project, name, stitch="next", to=UNTIL) for name in QUESTIONS}


@contextmanager
def beside(step: Any) -> Iterator[list[int]]:
    """The step again and again, on a thread, as long as the block lasts; how often."""
    stop, times, failed = threading.Event(), [0], []

    def keep_on() -> None:
        try:
            while not stop.wait(PACE_S):
                step(times[0])
                times[0] += 1
        except BaseException as error:  # noqa: BLE001 - said where the block ends
            failed.append(error)

    thread = threading.Thread(target=keep_on)
    thread.start()
    try:
        yield times
    finally:
        stop.set()
        thread.join()
    if failed:
        raise failed[0]


def test_a_fourth_shard_under_load(nodes: Cluster, tmp_path: Path) -> None:
    three, four = nodes.url("shop", "three"), nodes.url("shop")
    with Server(tmp_path / "one") as one:
        wanted = answers(filled(one))
    with Server(tmp_path / "data", THREADLINE_STORE=three) as server:
        project = filled(server)
        assert answers(project) == wanted

        sending, asking = project.again(), project.again()

        def send(number: int) -> None:
            sending.batch(strangers(number))

        def ask(number: int) -> None:
            name = QUESTIONS[number % len(QUESTIONS)]
            assert answer(asking, name, stitch="next", to=UNTIL) == wanted[name], name

        with beside(send) as sent, beside(ask) as asked:
            said = ok(
                "shard", "add", four, "--data", str(tmp_path / "data"), THREADLINE_STORE=three
            )
            before = asked[0], sent[0]
        assert before > (0, 0)
        assert f"Set THREADLINE_STORE={without_password(four)}" in said
        assert answers(project) == wanted
        # Whom it has, it forgets, also on the new shard.
        assert project.post("/v1/forget", {"user_id": "user 7"}).status == 200
        assert sorted(
            row["event_id"] for row in project.stored() if row["event_name"] == "late"
        ) == (sorted(event["event_id"] for number in range(sent[0]) for event in strangers(number)))
        assert server.stop() == 0
        assert not [line for line in server.lines if '"store_failed"' in line]
    is_whole(nodes, four)
    refused = fails("sql", "SELECT 1", "--data", str(tmp_path / "data"), THREADLINE_STORE=three)
    assert "divided between 4 shards (cluster threadline)" in refused
    with Server(tmp_path / "data", THREADLINE_STORE=four) as server:
        assert answers(project.again(server))["sources"] != wanted["sources"], "one is forgotten"
        assert server.stop() == 0


def is_whole(nodes: Cluster, url: str) -> None:
    with Store(url) as store:
        counted = [
            node.query("SELECT count() AS n FROM events", {})[0]["n"] for node in store.nodes
        ]
        assert all(counted), counted
        for node in store.nodes:
            sql = f"SELECT count() AS n FROM events WHERE NOT ({node.owns})"
            assert node.query(sql, {})[0]["n"] == 0
        assert [each for each in states.verify(store) if each[2:] != (0, 0, 0)] == []


class Killed(BaseException):
    """Nothing after it was done."""


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Tables are divided anew, and rows deleted, so many times; then the process is killed."""
    left = [-1]
    lock = threading.Lock()

    def next_one() -> None:
        with lock:
            if not left[0]:
                raise Killed
            left[0] -= 1

    distribute, delete = cluster.distribute, Store.delete

    def divided(*given: Any, **named: Any) -> None:
        next_one()
        distribute(*given, **named)

    def deleted(*given: Any) -> None:
        next_one()
        delete(*given)

    def die_after(steps: int) -> None:
        left[0] = steps

    monkeypatch.setattr(cluster, "distribute", divided)
    monkeypatch.setattr(Store, "delete", deleted)
    return die_after


def cut_off(folder: Path, three: str, four: str, dying: Callable[[int], None], steps: int) -> None:
    """Add the fourth shard without a server, and be killed so many steps into changing over."""
    chosen = settings_given.load(data=str(folder), store=three)
    with Store(three) as store, adding.addition(store, four) as more:
        known = adding_shards.copy(more, lambda size: None)
        dying(steps)
        with pytest.raises(Killed):
            adding_shards.switch_stopped(chosen, more, known)
        dying(-1)


def test_a_change_that_is_cut_off_is_an_outage_until_it_goes_on(
    nodes: Cluster, tmp_path: Path, dying: Callable[[int], None]
) -> None:
    """Killed before the first step, while tables are divided, and while rows are deleted."""
    for steps in wide((9,), (0, 1, 2, 3, 4, 5, 12, 20, 30)):
        database, folder = f"cut{steps}", tmp_path / str(steps)
        three, four = nodes.url(database, "three"), nodes.url(database)
        with Server(folder, THREADLINE_STORE=three) as server:
            project = Project(server)
            project.batch(log(Random(steps), 200))
            wanted = answers(project)
            assert server.stop() == 0
        cut_off(folder, three, four, dying, steps)
        # Once two of the four nodes are divided anew, neither cluster may answer.
        for url in (three, four) if steps > 1 else ():
            with pytest.raises(StoreError, match="shard add"):
                Store(url).close()
        ok("shard", "add", four, "--data", str(folder), THREADLINE_STORE=three)
        is_whole(nodes, four)
        with Server(folder, THREADLINE_STORE=four) as server:
            assert answers(project.again(server)) == wanted
            assert server.stop() == 0
        said = ok("shard", "add", four, "--data", str(folder), THREADLINE_STORE=four)
        assert "are divided between the shards of threadline already. Set THREADLINE_STORE=" in said
        for node in nodes.nodes:
            node.query(f"DROP DATABASE {database} SYNC")
            node.query(f"DROP DATABASE {database}_local SYNC")


def earlier() -> list[Json]:
    """Of another month, by nobody."""
    return [
        {
            "event": "early",
            "event_id": f"early {each}",
            "timestamp": "2026-03-01T12:00:00Z",
            "anonymous_id": f"early bird {each}",
        }
        for each in range(40)
    ]


def test_who_was_forgotten_meanwhile_does_not_come_back(nodes: Cluster, tmp_path: Path) -> None:
    """Rows that were brought already are deleted again, with what was made of them."""
    three, four = nodes.url("gone", "three"), nodes.url("gone")
    with Server(tmp_path, THREADLINE_STORE=three) as server:
        project = Project(server)
        project.batch([*log(Random(3), 300), *earlier()])
        with Store(three) as store, adding.addition(store, four) as more:
            known = adding_shards.copy(more, lambda size: None)
            assert project.post("/v1/forget", {"user_id": "ada"}).status == 200
            assert project.stored(user_id="ada") == []
            standing.await_deletions(store, 60)
            brought = more.bring(known, lambda size: None)
            assert (brought.months, brought.deleted) == (["202605"], True), "not what is as it was"
            for user in USERS[:20]:
                assert project.post("/v1/forget", {"user_id": user}).status == 200
            wanted = answers(project)
            SocketStore(tmp_path).add_shards(four, known)
        assert answers(project) == wanted
        with Store(four) as store:
            for node in store.nodes:
                sql = "SELECT 1 FROM {table:Identifier} WHERE has({users:Array(String)}, user_id)"
                for table in ("user_touches", "traits", "links"):
                    assert not node.query(sql, {"table": table, "users": USERS[:20]}), table
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("chdb", "is not a cluster"),
        ("clickhouse://u:p@127.0.0.1:1/shop", "is not a cluster"),
        ("three", "are divided between the shards of three already"),
    ],
)
def test_what_cannot_be_added_is_said(nodes: Cluster, tmp_path: Path, url: str, said: str) -> None:
    three = nodes.url("refused", "three")
    with Server(tmp_path, THREADLINE_STORE=three) as server:
        Project(server)
        url = url if ":" in url or url == "chdb" else nodes.url("refused", url)
        done = run("shard", "add", url, "--data", str(tmp_path), THREADLINE_STORE=three)
        assert said in done.stdout + done.stderr
        assert done.stderr.count("\n") <= 1
        assert server.stop() == 0


def test_another_user_is_refused(nodes: Cluster) -> None:
    """As another one may not read what is to be moved."""
    other = nodes.url("order").replace("threadline:se%3Acret", "default:")
    with (
        Store(nodes.url("order", "three")) as store,
        pytest.raises(StoreError, match="a name of its own"),
        adding.addition(store, other),
    ):
        pass


def test_a_node_with_something_else_on_it_is_left_alone(nodes: Cluster) -> None:
    three, four = nodes.url("taken", "three"), nodes.url("taken")
    with Store(nodes.nodes[3].url("taken_local")) as store:
        begin(store, REBUILD, ["names"])
    with (
        Store(three) as store,
        pytest.raises(StoreError, match=r"is not empty \(unfinished_work\)"),
        adding.addition(store, four),
    ):
        pass
