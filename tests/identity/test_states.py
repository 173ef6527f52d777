"""States are what the events say; where they are not, the doctor sees it and a rebuild mends it."""

import threading
from pathlib import Path

from tests.cli.test_commands import fails, ok, run
from tests.identity.steps import TIES, wire
from tests.support import Project, Server
from threadline.store import Store, store_url


def test_the_doctor_sees_what_is_wrong_and_a_rebuild_mends_it(folder: Path) -> None:
    data = ("--data", str(folder))
    with Server(folder) as server:
        project = Project(server)
        project.batch([wire(event) for event in TIES])
        project.batch([wire(event) for event in TIES[::-1]])  # repeats, out of order
        project.track("x", anonymous_id="phone", user_id="dan")
        assert project.post("/v1/forget", {"user_id": "cy"}).status == 200
        users = project.ask("/v1/users", stitch="first")["rows"]
        assert ok("doctor", *data, "--verify-identity").count("all as the events say") == 6
        server.stop()
    assert ok("doctor", *data, "--verify-identity").count("all as the events say") == 6

    with Store(store_url("chdb", folder)) as store:
        store.delete("links", "user_id = 'dan'", {})
        store.delete("device_users", "visitor = sipHash64('phone')", {})
        store.delete("user_touches", "user_id = 'ada'", {})
        store.delete("activity", "user_hash = sipHash64('user', 'ada')", {})
        store.execute(
            "INSERT INTO visitor_touches (project_id, visitor, first_touch)"
            " SELECT project_id, visitor + 1, first_touch FROM visitor_touches LIMIT 1"
        )
        store.execute(
            "INSERT INTO user_touches (project_id, user_id, first_touch) SELECT project_id, 'bob',"
            " (toDateTime64('2001-01-01 00:00:00', 3, 'UTC'), 'e', 1, 1)"
            " FROM user_touches LIMIT 1"
        )
    done = run("doctor", *data, "--verify-identity")
    assert done.returncode == 1
    assert "links: 3 rows compared; 1 missing, 0 too many, 0 wrong" in done.stdout
    assert "device_users: 2 rows compared; 1 missing, 0 too many, 0 wrong" in done.stdout
    assert "activity: 13 rows compared; 3 missing, 0 too many, 0 wrong" in done.stdout
    assert "visitor_touches: 2 rows compared; 0 missing, 1 too many, 0 wrong" in done.stdout
    assert "user_touches: 3 rows compared; 1 missing, 0 too many, 1 wrong" in done.stdout
    assert "threadline rebuild" in done.stdout

    assert "Done" in ok("rebuild", *data)
    assert ok("doctor", *data, "--verify-identity").count("all as the events say") == 6
    assert ok("doctor", *data, "--verify-identity", "--sample", "3").count("as the events say") == 6
    with Server(folder) as server:
        project = project.again(server)
        assert project.ask("/v1/users", stitch="first")["rows"] == users
        project.track("x", anonymous_id="phone", user_id="eve")  # the views still follow
        assert "eve" in {row["user_id"] for row in project.ask("/v1/users")["rows"]}
        server.stop()


def test_a_rebuild_while_events_come_and_somebody_is_forgotten(folder: Path) -> None:
    """The server owns the store; the command comes through the operator's door."""
    data = ("--data", str(folder))
    rebuilt = threading.Event()
    sent: list[int] = []

    def send(project: Project) -> None:
        while not rebuilt.is_set():
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
        assert project.post("/v1/forget", {"user_id": "cy"}).status == 200
        assert "Done" in ok("rebuild", *data)
        assert project.post("/v1/forget", {"user_id": "bob"}).status == 200
        assert "Done" in ok("rebuild", *data)
        rebuilt.set()
        sender.join()
        assert ok("doctor", *data, "--verify-identity").count("all as the events say") == 6
        users = {user["user_id"] for user in project.pages("/v1/users", limit=1000)}
        assert users == {"ada", *(f"u{number}" for number in sent)}
        assert "e02" in ok("sql", "SELECT event_id FROM stitched_events WHERE owner = 'ada'", *data)
        assert "threadline: " in fails("sql", "SELECT nothing FROM nowhere", *data)
        server.stop()
    assert not (folder / "operator.sock").exists()
