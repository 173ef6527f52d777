"""States are what the events say; where they are not, the doctor sees it and a rebuild mends it;
and one that is interrupted is finished."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from subprocess import PIPE

import pytest

from tests import forked
from tests.cli.test_commands import fails, ok, run
from tests.dying import TABLES, Dying, Killed, listed, load, made, unsynced_store, wrong
from tests.identity.steps import TIES, wire
from tests.support import Json, Project, Server, until
from tests.width import PACE_S, wide
from threadline.identity import states
from threadline.ingest.recovery import alone, finish_rebuilds
from threadline.jobs.locks import INSERTING, is_held, wait_for
from threadline.runtime.socket_store import SocketStore
from threadline.settings import Settings
from threadline.store import (
    REBUILD,
    Params,
    Store,
    begin,
    finish,
    store_url,
    unfinished,
)

# Of every state: what spoils it, and what the doctor says then.
SPOILED = {
    "links": (
        ["DELETE FROM links WHERE user_id = 'dan'"],
        "3 rows compared; 1 missing, 0 too many, 0 wrong",
    ),
    "device_users": (
        ["DELETE FROM device_users WHERE visitor = sipHash64('phone')"],
        "2 rows compared; 1 missing, 0 too many, 0 wrong",
    ),
    "half_hours": (
        ["DELETE FROM half_hours WHERE user_hash = sipHash64('user', 'ada')"],
        "13 rows compared; 3 missing, 0 too many, 0 wrong",
    ),
    "visitor_touches": (
        [
            "INSERT INTO visitor_touches (project_id, visitor, first_touch)"
            " SELECT project_id, visitor + 1, first_touch FROM visitor_touches LIMIT 1"
        ],
        "2 rows compared; 0 missing, 1 too many, 0 wrong",
    ),
    "user_touches": (
        [
            "DELETE FROM user_touches WHERE user_id = 'ada'",
            "INSERT INTO user_touches (project_id, user_id, first_touch) SELECT project_id, 'bob',"
            " (FALSE, toDateTime64('2001-01-01 00:00:00', 3, 'UTC'), 'e', 1, 1)"
            " FROM user_touches LIMIT 1",
        ],
        "3 rows compared; 1 missing, 0 too many, 1 wrong",
    ),
    "traffic_sources": (
        [
            "INSERT INTO traffic_sources (project_id, traffic_source, source)"
            " SELECT project_id, 1, 'nowhere' FROM events LIMIT 1",
            "DELETE FROM traffic_sources WHERE source = 'google'",
            "DELETE FROM traffic_sources WHERE source = 'direct'",
            "INSERT INTO traffic_sources (project_id, traffic_source, source)"
            " SELECT project_id, traffic_source, 'elsewhere' FROM events"
            " WHERE source = 'direct' LIMIT 1",
        ],
        "3 rows compared; 1 missing, 1 too many, 1 wrong",
    ),
    "names": (
        [
            "DELETE FROM names WHERE name = ''",
            "INSERT INTO names (project_id, event_name, name, type)"
            " SELECT project_id, 'never', 'came', 34 FROM events LIMIT 1",
        ],
        "5 rows compared; 4 missing, 1 too many, 0 wrong",
    ),
    "traits": (
        [
            "INSERT INTO traits (project_id, user_id, trait, said)"
            " SELECT project_id, 'dan', 'plan', (timestamp, event_id, 'pro') FROM events LIMIT 1"
        ],
        "1 row compared; 0 missing, 1 too many, 0 wrong",
    ),
    "account_links": (
        [
            "INSERT INTO account_links (project_id, account_id, visitor, timestamp)"
            " SELECT project_id, 'acme', visitor, timestamp FROM events LIMIT 1"
        ],
        "1 row compared; 0 missing, 1 too many, 0 wrong",
    ),
}


def test_the_doctor_sees_what_is_wrong_and_a_rebuild_mends_it(folder: Path) -> None:
    data = ("--data", str(folder))
    with Server(folder) as server:
        project = Project(server)
        project.batch([wire(event) for event in TIES])
        project.batch([wire(event) for event in TIES[::-1]])  # repeats, out of order
        project.track("x", anonymous_id="phone", user_id="dan")
        assert project.post("/v1/forget", {"user_id": "cy"}).status == 200
        users = project.ask("/v1/users", stitch="first")["rows"]
        assert ok("doctor", *data, "--verify-identity").count("all as the events say") == len(
            TABLES
        )
        server.stop()

    assert SPOILED.keys() == set(TABLES)
    with Store(store_url("chdb", folder)) as store:
        assert wrong(store) == set()
        for statements, _ in SPOILED.values():
            for statement in statements:
                store.execute(statement)
    done = run("doctor", *data, "--verify-identity")
    assert done.returncode == 1
    for table, (_, said) in SPOILED.items():
        assert f"{table}: {said}" in done.stdout
    assert "threadline rebuild" in done.stdout

    assert "Done" in ok("rebuild", *data)
    assert ok("doctor", *data, "--verify-identity").count("all as the events say") == len(TABLES)
    assert ok("doctor", *data, "--verify-identity", "--sample", "3").count(
        "as the events say"
    ) == len(TABLES)
    with Server(folder) as server:
        project = project.again(server)
        assert project.ask("/v1/users", stitch="first")["rows"] == users
        project.track("x", anonymous_id="phone", user_id="eve")  # the views still follow
        assert "eve" in {row["user_id"] for row in project.ask("/v1/users")["rows"]}
        server.stop()


def test_a_rebuild_while_events_come_and_somebody_is_forgotten(folder: Path) -> None:
    """The server owns the store; the command comes through the admin socket."""
    data = ("--data", str(folder))
    rebuilt = threading.Event()
    sent: list[int] = []
    gone = wide({"cy"}, {"cy", "bob"})

    def send(project: Project) -> None:
        while not (sent and rebuilt.wait(PACE_S)):
            number = len(sent)
            device = {"anonymous_id": f"d{number}"}
            project.batch(
                [{"event": "x", **device}, {"event": "x", **device, "user_id": f"u{number}"}]
            )
            sent.append(number)

    with Server(folder) as server:
        project = Project(server)
        project.batch([wire(event) for event in TIES])
        sender = threading.Thread(target=send, args=(project.again(),))
        sender.start()
        for somebody in gone:
            assert project.post("/v1/forget", {"user_id": somebody}).status == 200
            assert "Done" in ok("rebuild", *data)
        rebuilt.set()
        sender.join()
        assert ok("doctor", *data, "--verify-identity").count("all as the events say") == len(
            TABLES
        )
        users = {user["user_id"] for user in project.pages("/v1/users", limit=1000)}
        assert users == {"ada", "bob", "cy", *(f"u{number}" for number in sent)} - gone
        assert "e02" in ok("sql", "SELECT event_id FROM stitched_events WHERE owner = 'ada'", *data)
        assert "threadline: " in fails("sql", "SELECT nothing FROM nowhere", *data)
        server.stop()
    assert not (folder / "admin.sock").exists()


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    """With somebody in it."""
    with unsynced_store(folder) as store:
        load(store)
        yield store


def test_a_rebuild_killed_at_any_statement_is_listed_and_finished(
    store: Store, folder: Path
) -> None:
    """No state is wrong at any moment; what is left behind is listed, and finished. Of one state
    that is made beside inserts; with another one behind it in a wide run."""
    ended, ever_left, statements = False, False, 0
    chosen = wide(["links"], ["links", "traffic_sources"])
    while not ended:
        try:
            states.rebuild(
                Dying(store, statements, folder),
                chosen,
                no_inserts=lambda: wait_for(folder / INSERTING),
            )
            ended = True
        except Killed:
            statements += 1
        assert wrong(store, *chosen) == set(), statements
        ever_left = ever_left or bool(made(store))
        assert listed(store) or not made(store), statements
        finish_rebuilds(store, Settings(data=str(folder)), lambda: False)
        assert (wrong(store, *chosen), listed(store), made(store)) == (set(), set(), [])
    assert wrong(store) == set()
    assert statements > wide(8, 15)
    assert ever_left, "else nothing was tried"


def test_finishing_that_is_killed_is_finished(store: Store, folder: Path) -> None:
    """Each attempt goes one statement further than the one before, over what that left. Of one
    state that is made while nobody inserts; behind one that is made otherwise in a wide run."""
    chosen = wide(["half_hours"], ["device_users", "half_hours"])
    begin(store, REBUILD, chosen)
    statements = 0
    while listed(store):
        try:
            dying = Dying(store, statements, folder)
            finish_rebuilds(dying, Settings(data=str(folder)), lambda: False)
        except Killed:
            statements += 1
            assert wrong(store, *chosen) <= listed(store), statements
    assert (wrong(store), made(store)) == (set(), [])


def test_a_state_is_made_once_more_when_somebody_was_forgotten_meanwhile(
    store: Store, folder: Path
) -> None:
    forgotten = iter(["nobody", "ada", "ada", "ada", "ada and bob", "ada and bob"])
    asked: list[str] = []
    progress: list[str] = []

    class Listening(Dying):
        def execute(self, sql: str, params: Params | None = None) -> None:
            asked.append(sql)
            super().execute(sql, params)

    listening = Listening(store, 1000, folder)
    chosen = ["links", "traffic_sources"]
    states.rebuild(listening, chosen, lambda: next(forgotten), progress.append)
    exchanged = [sql.split()[2] for sql in asked if sql.startswith("EXCHANGE")]
    assert exchanged == ["links", "links", "traffic_sources", "traffic_sources"]
    assert progress == chosen
    assert (wrong(store), listed(store)) == (set(), set())


def test_no_insert_loses_the_table_that_it_writes_into(store: Store, folder: Path) -> None:
    """It would fail, with its events in some states and not in others."""
    taken = 0

    class Taking(Dying):
        def execute(self, sql: str, params: Params | None = None) -> None:
            nonlocal taken
            if sql.startswith("EXCHANGE"):
                assert is_held(folder / INSERTING), sql
                taken += 1
            super().execute(sql, params)

    taking = Taking(store, 1000, folder)
    states.rebuild(taking, no_inserts=lambda: wait_for(folder / INSERTING))
    assert taken == len(states.STATES)


def test_work_of_a_wider_reach_stays_listed(store: Store) -> None:
    begin(store, "reclassify", ["p"])
    begin(store, "reclassify", ["p", "q"], "2026-05-01T00:00:00.000Z")
    begin(store, "reclassify", ["p"], "2026-05-02T00:00:00.000Z")
    finish(store, "reclassify", "p", "2026-05-01T00:00:00.000Z")
    assert [(work.subject, work.reach) for work in unfinished(store)] == [
        ("p", ""),
        ("q", "2026-05-01T00:00:00.000Z"),
    ]
    finish(store, "reclassify", "p")
    assert [work.subject for work in unfinished(store)] == ["q"]


@contextmanager
def senders(project: Project) -> Iterator[None]:
    """Connections that write all the time."""
    stopped = threading.Event()

    def send(sender: Project, connection: int) -> None:
        for number in count():
            if stopped.wait(PACE_S):
                return
            device = {"anonymous_id": f"d{connection}-{number}"}
            known = {**device, "user_id": f"u{connection}-{number}"}
            try:
                sender.batch([{"event": "x", **device}, {"event": "x", **known}])
            except OSError:  # the server was killed
                return

    threads = [threading.Thread(target=send, args=(project.again(), n)) for n in range(wide(1, 3))]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def rebuild_and_kill(folder: Path, at: str, how: signal.Signals) -> str:
    """A rebuild that is killed once it says that it is at this state; what it says after that."""
    with forked.start("rebuild", "--data", str(folder), stderr=PIPE) as rebuilding:
        assert rebuilding.stderr
        for line in rebuilding.stderr:
            if at in line:
                break
        rebuilding.send_signal(how)
        return rebuilding.stderr.read()


def await_line(server: Server, *parts: str) -> str:
    """Also where a rebuild under load takes minutes."""
    for _ in range(9):
        with suppress(AssertionError):
            return server.await_line(*parts)
    return server.await_line(*parts)


def test_killed_under_load_it_is_finished_by_the_server(folder: Path) -> None:
    """First the command is killed, then the command and the server; then the command is stopped by
    hand. Each time the server finishes it without being told."""
    with Server(folder) as server:
        project = Project(server)
        with senders(project):
            rebuild_and_kill(folder, "device_users", signal.SIGKILL)
            assert "device_users" in await_line(server, "rebuild_resumed")
            await_line(server, "rebuild_finished")
            rebuild_and_kill(folder, "half_hours", signal.SIGKILL)
            server.stop(signal.SIGKILL)
    with Server(folder) as server:
        project = project.again(server)
        with senders(project):
            assert "half_hours" in await_line(server, "rebuild_resumed")
            await_line(server, "rebuild_finished")
            said = rebuild_and_kill(folder, "traffic_sources", signal.SIGINT)
            assert "Stopped. The server finishes it in the background." in said
            await_line(server, "rebuild_resumed", '["traffic_sources"]')
            await_line(server, "rebuild_finished", '["traffic_sources"]')
        found = ok("doctor", "--data", str(folder), "--verify-identity")
        assert found.count("all as the events say") == len(TABLES)
        assert "nothing was interrupted" in found
        assert server.stop() == 0


def test_what_is_in_the_middle_is_told_everywhere(folder: Path) -> None:
    data = ("--data", str(folder))
    with Server(folder) as server:
        project = Project(server)
        assert project.send("GET", "/readyz").json == {"ok": True}
        with alone(Settings(data=str(folder))):  # as a command that is at work
            begin(SocketStore(folder), REBUILD, ["links"])

            def ready() -> Json:
                reply = project.send("GET", "/readyz")
                assert reply.status == 200
                return reply.json

            until(lambda: "unfinished" in ready())
            (work,) = ready()["unfinished"]
            assert work["name"] == "rebuild"
            assert work["since"].endswith("Z")
            assert "The rebuild of links was not finished" in work["left"]
            assert "threadline_unfinished_work 1.0" in project.get("/metrics").body.decode()
            assert "under way: rebuild of links since 2" in ok("doctor", *data)
            assert "is running in" in fails("rebuild", *data)
        await_line(server, "rebuild_finished", '["links"]')
        assert project.send("GET", "/readyz").json == {"ok": True}
        assert "threadline_unfinished_work 0.0" in project.get("/metrics").body.decode()
        assert server.stop() == 0
    with Store(store_url("chdb", folder)) as store:
        begin(store, REBUILD, ["links"])
    found = run("doctor", *data)
    assert found.returncode == 1
    assert "interrupted: rebuild of links since 2" in found.stdout
    assert "answers about people may be wrong" in found.stdout
    ok("rebuild", *data)
    assert "nothing was interrupted" in ok("doctor", *data)
