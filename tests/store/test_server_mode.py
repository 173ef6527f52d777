"""On a ClickHouse server: the same answers, and nothing lost or doubled while it is away.

`THREADLINE_TEST_CLICKHOUSE_URL` (`clickhouse://user:password@host:8123`) runs what does not need
to kill the server against a real one as well.
"""

import os
import random
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import test_story
from tests.cli.test_commands import fails, ok
from tests.clickhouse_cluster import ClickHouse
from tests.identity import test_activity, test_vectors
from tests.support import Project, Server, ids, until
from tests.width import wide
from threadline.contract.times import format_ms
from threadline.store import Store, StoreError

REAL = os.environ.get("THREADLINE_TEST_CLICKHOUSE_URL", "").rstrip("/")
KILLS = wide(2, 3)
BATCH = 20


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    with ClickHouse(tmp_path_factory.mktemp("clickhouse")) as running:
        yield running.start()


@pytest.fixture(scope="module", params=["fixture", *(["real"] if REAL else [])])
def server(
    request: pytest.FixtureRequest,
    clickhouse: ClickHouse,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    database = f"threadline_test_{uuid.uuid4().hex}"
    url = f"{REAL}/{database}" if request.param == "real" else clickhouse.url(database)
    with Server(tmp_path_factory.mktemp("server"), THREADLINE_STORE=url) as running:
        yield running
        assert running.stop() == 0
        assert not [line for line in running.lines if '"error"' in line]
    with Store(url) as store:
        store.execute(f"DROP DATABASE {database}")


@pytest.fixture
def project(server: Server) -> Project:
    return Project(server)


def test_the_story(project: Project) -> None:
    test_story.test_an_ad_on_friday_is_credited_with_the_signup_six_days_later(project)


def test_sql_reads_one_project_only(server: Server, project: Project) -> None:
    other = Project(server)
    for each, count in ((project, 3), (other, 5)):
        each.batch([{"event": "x", "anonymous_id": f"d{n}"} for n in range(count)])
        assert len(each.stored()) == count
    where = ("--data", str(server.folder), "--project", project.project_id, "--format", "json")
    environ = {"THREADLINE_STORE": server.environ["THREADLINE_STORE"]}
    asked = ("sql", "SELECT count() AS n, uniq(project_id) AS p FROM events", *where)
    assert ok(*asked, **environ) == '[{"n":3,"p":1}]\n'
    for query in ("SELECT * FROM system.tables", "DROP TABLE events", "SELECT 1; SELECT 2"):
        assert "Columns of stitched_events" in fails("sql", query, *where, **environ)
    assert ok(*asked, **environ) == '[{"n":3,"p":1}]\n'


# In a wide run each log, and each policy three times. The embedded engine answers all of them.
SOME = [entries[n % len(entries)] for n, entries in enumerate(test_vectors.by_log())]
SOME = wide(SOME[::3], SOME)


@pytest.mark.parametrize("entry", SOME, ids=lambda e: f"{e['name']}-{e['policy']}")
def test_identity(project: Project, entry: dict[str, Any]) -> None:
    test_vectors.tell(project, entry, "shuffled")
    test_vectors.check(project, entry)


@pytest.mark.parametrize("story", [test_activity.QUIET, test_activity.BUSY, test_activity.SEVERAL])
def test_who_was_active(project: Project, story: test_activity.Story) -> None:
    project.batch(
        [
            {
                "event": "x",
                "anonymous_id": "kiosk",
                "user_id": user,
                "timestamp": format_ms(test_activity.NOON + minute * 60_000),
            }
            for minute, user in story
        ]
    )
    by_day = {"metric": "persons", "interval": "day", "limit": 1000, "stitch": "next"}
    rows = project.ask("/v1/stats", **by_day)["rows"]
    (day,) = (row for row in rows if row["value"])
    assert day["value"] == len({user for _, user in story if user})


def test_repeats_and_forgetting(project: Project) -> None:
    events = [{"event": "x", "event_id": f"e{n}", "anonymous_id": "a"} for n in range(20)]
    project.batch(events)
    project.batch([*events, {"event": "x", "event_id": "e20", "user_id": "u"}])
    assert len(project.stored()) == 21
    assert project.post("/v1/forget", {"anonymous_id": "a"}).status == 200
    assert ids(project.stored()) == ["e20"]
    project.batch(events[:1])
    assert sorted(ids(project.stored())) == ["e0", "e20"], "a forgotten id is new again"


class Sender(threading.Thread):
    """One client, one batch after the other, each event numbered."""

    def __init__(self, project: Project) -> None:
        super().__init__(daemon=True)
        self._project = project
        self._stopped = threading.Event()
        self.acknowledged = threading.Semaphore(0)
        self.sent = 0

    def run(self) -> None:
        while not self._stopped.wait(wide(0.02, 0)):
            numbers = range(self.sent, self.sent + BATCH)
            self._project.batch(
                [{"event": "x", "event_id": f"{n:06}", "anonymous_id": "a"} for n in numbers]
            )
            self.sent += BATCH
            self.acknowledged.release()

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def wait_for(self, batches: int) -> None:
        for _ in range(batches):
            assert self.acknowledged.acquire(timeout=60)


def test_a_server_that_is_killed_under_load_gets_everything_once_and_in_order(
    tmp_path: Path,
) -> None:
    chance = random.Random(7)
    with ClickHouse(tmp_path / "clickhouse") as clickhouse:
        url = clickhouse.start().url("shop")
        with Server(tmp_path / "data", THREADLINE_STORE=url) as server:
            project = Project(server)
            sender = Sender(Project(server))
            sender._project.keys = project.keys
            sender.start()
            for _ in range(KILLS):
                sender.wait_for(chance.randrange(5, 60))
                clickhouse.kill()
                sender.wait_for(20)  # acknowledged all the same
                refused = project.get("/v1/query")
                assert (refused.status, refused.error) == (503, "unavailable")
                assert refused.headers["Retry-After"]
                assert project.send("GET", "/readyz").status == 503
                clickhouse.start()
            with Store(url) as store:
                found: list[str] = []
                while len(found) < sender.sent:
                    rows = store.query("SELECT event_id FROM events ORDER BY event_id", {})
                    found = [row["event_id"] for row in rows]
                    assert found == [f"{n:06}" for n in range(len(found))], "a gap, or one twice"
                    if len(found) >= KILLS * 20 * BATCH:
                        sender.stop()
            assert len(project.stored()) == sender.sent
            assert server.stop() == 0
            lines = "".join(server.lines)
            assert 1 <= lines.count('"store_away"') <= KILLS, "a line an outage, not a line a try"
            assert lines.count('"store_back"') == lines.count('"store_away"')


def test_a_server_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    clickhouse = ClickHouse(tmp_path / "clickhouse")
    with Server(tmp_path / "data", THREADLINE_STORE=clickhouse.url("shop")) as server, clickhouse:
        project = Project(server)
        event_id = project.track("x")["event_id"]
        assert project.send("GET", "/readyz").status == 503
        assert "threadline_store_up 0.0" in project.get("/metrics").body.decode()
        clickhouse.start()
        until(lambda: project.send("GET", "/readyz").status == 200)
        assert ids(project.stored()) == [event_id]
        assert server.stop() == 0
        assert not [line for line in server.lines if "se%3Acret" in line], "no password in the log"


def test_an_event_outlives_both_servers(tmp_path: Path) -> None:
    clickhouse = ClickHouse(tmp_path / "clickhouse")
    url = clickhouse.url("shop")
    with Server(tmp_path / "data", THREADLINE_STORE=url) as server:
        project = Project(server)
        event_id = project.track("x")["event_id"]
        assert server.stop() == 0, "it does not wait for a store that is away"
    with (
        clickhouse,
        Server(tmp_path / "data", THREADLINE_STORE=clickhouse.start().url("shop")) as (server),
    ):
        project.url, project._connection = server.url, None
        assert ids(project.stored()) == [event_id]


def test_a_wrong_password_stops_the_start(clickhouse: ClickHouse) -> None:
    url = clickhouse.url("shop").replace("se%3Acret", "wrong")
    with pytest.raises(StoreError, match=r"threadline:\*\*\*@.*Authentication failed"):
        Store(url)
