"""The Python client against real servers: one of Threadline's, and one that fails as it is told."""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.client.moody import Moody
from tests.support import ROOT, Project, Server, ids, run_async
from threadline import APIError, AsyncClient, Client, ThreadlineError, Unreachable

NewClient = Callable[..., Client]


@pytest.fixture
def moody() -> Iterator[Moody]:
    with Moody() as running:
        yield running


@pytest.fixture
def client(moody: Moody) -> Iterator[NewClient]:
    """Clients of the moody server that wait for nothing but a flush."""
    made: list[Client] = []

    def new(**options: object) -> Client:
        given = {"flush_interval_s": 3600.0, "exit_timeout_s": 0.0, **options}
        made.append(Client("sk_test", moody.url, **given))  # type: ignore[arg-type]
        return made[-1]

    yield new
    for one in made:
        one.close()


def noting(pauses: list[float]) -> Callable[[float], bool]:
    """A pause that takes no time."""

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        return True

    return pause


def test_events_arrive_in_batches(project: Project) -> None:
    with Client(project.keys["sk"], project.url) as client:
        sent = [client.track("x", {"n": n}, anonymous_id="a") for n in range(250)]
        client.identify("u", {"name": "Ada"}, anonymous_id="a")
        assert client.flush()
        assert len(project.journey("u")) == 251
    assert set(sent) < set(ids(project.stored()))
    assert project.ask("/v1/users/u")["traits"] == {"name": "Ada"}


def test_all_fields_go_with_it(project: Project) -> None:
    with Client(project.keys["sk"], project.url) as client:
        client.track(
            "x",
            {"when": datetime(2026, 1, 2, tzinfo=UTC), "odd": float("nan"), "many": {"b", "a"}},
            event_id="e1",
            user_id=42,
            url="https://a/b",
            referrer="https://c/",
            session_id="s1",
            timestamp=datetime(2026, 5, 1, 16, tzinfo=timezone(timedelta(hours=2))),
        )
        client.page("Home", {"n": 1}, anonymous_id="v", url="https://a/?gclid=1")
        assert client.batch([{"event": "y", "event_id": "e3"}]) == ["e3"]
    rows = {row["event_name"]: row for row in project.stored()}
    assert rows.keys() == {"x", "$pageview", "y"}
    found = rows["x"]
    assert (found["event_id"], found["user_id"], found["session_id"]) == ("e1", "42", "s1")
    assert (found["path"], found["referrer"]) == ("/b", "https://c/")
    assert found["timestamp"] == "2026-05-01T14:00:00.000Z"
    assert json.loads(found["properties"]) == {
        "when": "2026-01-02T00:00:00+00:00",
        "odd": None,
        "many": ["a", "b"],
    }
    page = rows["$pageview"]
    assert json.loads(page["properties"]) == {"name": "Home", "n": 1, "gclid": "1"}
    assert page["source"] == "google"


def test_nobody_is_not_identified(moody: Moody, client: NewClient) -> None:
    sender = client()
    for nobody in (None, "", " ", "None", "undefined"):
        assert sender.identify(nobody) is None
    assert sender.flush()
    assert moody.events == []


def test_a_batch_leaves_by_number_by_time_and_by_size(moody: Moody, client: NewClient) -> None:
    by_number = client(flush_at=3)
    for _ in range(3):
        by_number.track("number")
    moody.wait_for(3)
    client(flush_interval_s=0.01).track("time")
    moody.wait_for(4)
    by_size = client(flush_bytes=1400)
    for _ in range(4):
        by_size.track("size", {"x": "y" * 600})
    assert by_size.flush()
    assert moody.batches()[-2:] == [2, 2]


def test_large_bodies_are_packed(moody: Moody, client: NewClient) -> None:
    for packed in (True, False):
        sender = client(gzip=packed)
        sender.track("x", {"x": "y" * 5000})
        assert sender.flush()
    assert [request.packed for request in moody.requests] == [True, False]
    assert len({event["properties"]["x"] for event in moody.events}) == 1


def test_what_fails_for_a_while_is_sent_again(
    moody: Moody, client: NewClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    moody.answers = [(503, {}), (429, {"Retry-After": "0"}), None, (408, {}), (500, {})]
    sender = client()
    monkeypatch.setattr(sender, "_pause", lambda seconds: True)
    event_id = sender.track("x")
    assert sender.flush()
    assert sender.dropped == 0
    tries = [event["event_id"] for request in moody.requests for event in request.events]
    assert tries == [event_id] * 6  # one of them was cut off before it was answered


def test_an_outage_may_be_long(
    moody: Moody, client: NewClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    sender = client()
    attempt = sender._try
    away = Unreachable("nobody answers")
    monkeypatch.setattr(
        sender, "_try", lambda batch: (away, 0.0) if len(pauses) < 1100 else attempt(batch)
    )
    monkeypatch.setattr(sender, "_pause", noting(pauses))
    sender.track("x")
    assert sender.flush()
    assert (len(pauses), len(moody.events), sender.dropped) == (1100, 1, 0)
    assert 15 <= max(pauses) <= 30


def test_a_bug_does_not_end_the_sending(
    moody: Moody, client: NewClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = client()
    attempt = sender._try
    failing = iter([True])

    def first_fails(batch: list[bytes]) -> tuple[ThreadlineError | None, float]:
        if next(failing, False):
            raise RuntimeError("a bug")
        return attempt(batch)

    monkeypatch.setattr(sender, "_try", first_fails)
    sender.track("x")
    assert sender.flush()
    sender.track("y")
    assert sender.flush()
    assert [event["event"] for event in moody.events] == ["y"]


def test_the_server_says_how_long_to_wait(
    moody: Moody, client: NewClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    sender = client()
    monkeypatch.setattr(sender, "_pause", noting(pauses))
    long_ago = "Thu, 01 Jan 1970 00:00:00 GMT"
    moody.answers = [(429, {"Retry-After": "7"}), (503, {"Retry-After": "86400"})]
    moody.answers += [(503, {"Retry-After": long_ago}), (503, {"Retry-After": "soon"})]
    sender.track("x")
    assert sender.flush()
    assert pauses[:2] == [7.0, 300.0]
    assert 1 <= pauses[2] <= 2 <= pauses[3] <= 4  # twice as long each time, and some chance


def test_one_bad_event_does_not_take_the_others_along(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    lost: list[tuple[ThreadlineError, list[dict[str, object]]]] = []
    circle: dict[str, object] = {}
    circle["again"] = circle
    with Client(
        project.keys["sk"], project.url, on_error=lambda *given: lost.append(given)
    ) as client:
        client.track("good")
        client.track("x" * 129)
        client.track("large", {"x": "y" * 9000})
        client.track("circle", circle)
        client.track("surrogate \ud800")
        client.track("good")
    names = [row["event_name"] for row in project.stored()]
    assert names == ["good", "surrogate \ufffd", "good"]
    assert client.dropped == len(lost) == 3
    assert caplog.text.encode()  # nothing in it that a log cannot hold
    assert {type(error).__name__ for error, _ in lost} == {"APIError", "Dropped"}
    assert sorted(str(events[0]["event"])[:5] for _, events in lost) == [
        "circl",
        "large",
        "xxxxx",
    ]


def test_a_key_that_is_refused_is_logged(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "threadline"), Client("sk_no", project.url) as client:
        client.track("signup")
    assert "1 events lost ('signup'): 401 malformed_api_key" in caplog.text


def test_an_error_in_on_error_stops_nothing(moody: Moody, client: NewClient) -> None:
    def broken(_error: ThreadlineError, _events: list[dict[str, object]]) -> None:
        raise RuntimeError("the program's own")

    sender = client(on_error=broken)
    moody.answers = [(403, {})]
    sender.track("x")
    assert sender.flush()
    sender.track("y")
    assert sender.flush()
    assert [event["event"] for event in moody.events] == ["y"]


@pytest.mark.parametrize(("policy", "kept"), [("drop_oldest", "1234"), ("drop_newest", "0123")])
def test_a_full_queue_drops_and_counts(
    policy: str, kept: str, moody: Moody, client: NewClient
) -> None:
    lost: list[ThreadlineError] = []
    sender = client(
        max_queue=4, flush_at=100, when_full=policy, on_error=lambda error, _: lost.append(error)
    )
    for number in range(5):
        sender.track(str(number))
    assert sender.flush()
    assert "".join(event["event"] for event in moody.events) == kept
    assert (sender.dropped, [str(error) for error in lost]) == (1, ["the queue is full"])


def test_the_end_of_the_program_does_not_wait_for_ever(client: NewClient, moody: Moody) -> None:
    moody.answers = [(503, {})] * 100
    lost: list[str] = []
    sender = client(flush_at=2, on_error=lambda error, _: lost.append(str(error)))
    for _ in range(5):
        sender.track("x")
    sender.close()
    assert sender.dropped == 5
    assert len(moody.requests) < 4  # not once for each batch
    assert lost[-1] == "the program ended before they could be sent"
    sender.track("y")
    assert (sender.dropped, lost[-1]) == (6, "the client is closed")


def test_sync_sends_before_it_returns(moody: Moody, client: NewClient) -> None:
    sender = client(sync=True)
    sender.track("x")
    assert [event["event"] for event in moody.events] == ["x"]
    moody.answers = [(503, {})]
    sender.track("y")
    assert sender.dropped == 1
    assert sender._thread is None


def test_disabled_sends_nothing() -> None:
    client = Client(disabled=True)
    assert client.track("x")
    assert client.flush()
    assert client.alias("a", "b") is False
    client.close()


def test_the_host_has_to_be_a_url_and_the_key_has_to_be_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ValueError, match="has to look like"):
        Client("sk", "localhost:8787")
    monkeypatch.delenv("THREADLINE_SDK_KEY", raising=False)
    with pytest.raises(ValueError, match="needs a key"):
        Client()
    monkeypatch.setenv("THREADLINE_SDK_KEY", "sk_test")
    Client().close()
    with pytest.raises(ValueError, match="sync and spool"):
        Client("sk", sync=True, spool="spool")


def test_debugging_shows_what_is_sent(
    moody: Moody, client: NewClient, caplog: pytest.LogCaptureFixture
) -> None:
    sender = client(debug=True)
    sender.track("signup", {"plan": "weaver"})
    assert sender.flush()
    assert "'plan': 'weaver'" in caplog.text
    assert "sent 1 events: 202" in caplog.text


def bare_python(script: str) -> "subprocess.CompletedProcess[str]":
    """Without anything that is installed beside it."""
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        [sys.executable, "-S", "-c", script], capture_output=True, text=True, env=env
    )


def test_it_needs_nothing_but_python() -> None:
    script = "import sys, threadline, threadline.testing, threadline.client.wsgi;"
    script += "import threadline.client.asgi; threadline.Client('sk').close();"
    script += "print([name for name in sys.modules if 'site-packages' in"
    script += " str(getattr(sys.modules[name], '__file__', ''))])"
    assert bare_python(script).stdout.strip() == "[]"
    command = bare_python("from threadline.cli.main import main; main()")
    assert command.returncode == 1
    assert "`pip install '.[server]'` in a clone" in command.stderr
    assert "Traceback" not in command.stderr


def test_decisions_are_made_at_once(project: Project) -> None:
    with Client(project.keys["sk"], project.url) as client:
        client.track("x", user_id="old")
        assert client.flush()
        assert client.alias("old", "new") is True
        assert client.alias("old", "new") is False
        with pytest.raises(APIError) as refused:
            client.alias("new", "old")
        assert (refused.value.status, refused.value.code) == (409, "alias_cycle")
        assert client.forget("old")
        # What programs pass that do not look at types.
        client.track("x", user_id=42.0)  # type: ignore[arg-type]
        assert client.forget(42.0)  # type: ignore[arg-type]  # as pandas has whole numbers
        client.track("x", user_id=b"u5")  # type: ignore[arg-type]
        assert client.flush()
        assert client.alias(b"u5", "new") is True  # type: ignore[arg-type]
        assert client.users.get(b"u5").user_id == "new"  # type: ignore[arg-type]
        project.ask("/v1/query")
        assert client.forget(anonymous_id="nobody")
    with pytest.raises(Unreachable):
        Client("sk", "http://127.0.0.1:9", exit_timeout_s=0).alias("a", "b")


def test_questions_answer_in_objects_and_frames(project: Project) -> None:
    with Client(project.keys["sk"], project.url) as client:
        url = "https://shop.example/?gclid=1"
        client.page(url=url, anonymous_id="v", timestamp=datetime(2026, 5, 1, tzinfo=UTC))
        for number in range(5):
            moment = datetime(2026, 5, 1, 1, number, tzinfo=UTC)
            client.track("click", {"n": number}, anonymous_id="v", timestamp=moment)
        client.identify("u 1/2", {"name": "Ada"}, anonymous_id="v")
        client.flush()

        user = client.users.get("u 1/2")
        assert user.traits == {"name": "Ada"}
        assert user.first_touch.timestamp == datetime(2026, 5, 1, tzinfo=UTC)
        assert (user.first_touch.source, user.devices[0].anonymous_id) == ("google", "v")
        with pytest.raises(APIError) as refused:
            client.users.get("nobody")
        assert refused.value.code == "not_found"

        journey = client.users.journey("u 1/2", phase="before", limit=2)
        assert [event.event_name for event in journey] == ["$pageview", *["click"] * 5]
        assert [len(page) for page in journey.pages()] == [2, 2, 2]
        assert [event.properties.get("n") for event in journey][1:] == [0, 1, 2, 3, 4]
        frame = journey.to_pandas()
        assert (len(frame), frame["source"][0]) == (6, "google")
        assert journey.to_polars()["event_name"].to_list()[0] == "$pageview"

        (row,) = client.users.list(source="google")
        assert (row.user_id, row.devices, row.converted_at) == ("u 1/2", 1, None)
        (row,) = client.users.list(conversion="click")
        assert row.seconds_to_conversion
        assert len(list(client.events(event="click"))) == 5

        stats = client.stats("count", group_by="event_name")
        assert {row["event_name"]: row["value"] for row in stats}["click"] == 5
        assert stats.to_pandas()["value"].sum() == 7
        assert client.stats("persons", from_=datetime(2026, 5, 1, tzinfo=UTC)).rows[0]["value"] == 1
        assert client.sources().rows[0]["source"]
        assert client.attribution("click", "first_touch").answer["conversion"] == "click"
        steps = client.funnel(["$pageview", "click"], window="365d").rows
        assert [step["persons"] for step in steps] == [1, 1]
        assert client.retention().answer
        cohort = client.retention(interval="day").rows[0]
        people = client.retention_people(cohort["cohort"], 0, interval="day", limit=1)
        assert len(people) == cohort["persons"]
        assert client.paths(start="$pageview", end="click").answer["reached"] == 1
        (way,) = client.paths("$pageview").rows
        assert len(client.paths_people("$pageview", way=way["path"])) == way["persons"]
        assert len(client.paths_people("$pageview", way=[])) == 0
        assert len(client.paths_people("$pageview", node="click", step=1)) == 1
        table = client.users.table(["user_id", "last_seen"], search="A", limit=1)
        assert all(set(row) == {"user_id", "last_seen"} for row in table)
        assert client.time_to_conversion("click").rows[0]["persons"] == 1
        assert client.ask("/v1/paths", event="click")["rows"] is not None


def test_the_same_on_an_event_loop(project: Project) -> None:
    async def use() -> None:
        async with AsyncClient(project.keys["sk"], project.url) as client:
            client.track("x", anonymous_id="v")
            client.identify("u", anonymous_id="v")
            assert await client.flush()
            assert (await client.users.get("u")).user_id == "u"
            found = [event.event_name async for event in client.users.journey("u")]
            assert found == ["x", "$identify"]
            assert [row.user_id async for row in client.users.list()] == ["u"]
            assert [event.event_name async for event in client.events(event="x")] == ["x"]
            assert (await client.stats()).rows[0]["value"] == 2
            assert (await client.table(Client.sources)).rows
            assert (await client.ask("/v1/sources"))["rows"]
            assert await client.alias("u", "w") is True
            assert await client.forget("u")
            assert client.dropped == 0

    run_async(use())


def test_it_waits_for_a_server_that_comes_up_late(
    folder: Path, moody: Moody, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server(folder) as server:
        project = Project(server)
        server.stop()
    port = moody.stop()  # nobody answers here any more
    client = Client(project.keys["sk"], f"http://127.0.0.1:{port}", flush_at=1)
    failed = threading.Event()
    pause = client._pause

    def told(seconds: float) -> bool:
        failed.set()
        return pause(seconds)

    monkeypatch.setattr(client, "_pause", told)
    client.track("x", event_id="e1")
    assert failed.wait(30)
    with Server(folder, THREADLINE_PORT=str(port)) as server:
        client.close()
        project.url, project._connection = server.url, None
        assert ids(project.stored()) == ["e1"]
        server.stop()
