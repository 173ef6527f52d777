"""The Python client against a real server."""

import logging
import socket
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support import Project, Server, ids
from threadline import Client


def test_events_arrive_in_batches(project: Project) -> None:
    with Client(project.keys["sk"], project.url) as client:
        sent = [client.track("x", {"n": n}, anonymous_id="a") for n in range(250)]
        client.identify("a", "u", {"name": "Ada"})
        assert client.flush()
        assert len(project.journey("u")) == 251
    assert set(sent) < set(ids(project.stored()))
    assert project.ask("/v1/users/u")["traits"] == {"name": "Ada"}


def test_all_fields_go_with_it(project: Project) -> None:
    with Client(project.keys["sk"], project.url) as client:
        client.track(
            "x",
            event_id="e1",
            user_id="u",
            url="https://a/b",
            referrer="https://c/",
            timestamp=datetime(2026, 5, 1, 14, tzinfo=UTC),
        )
    (row,) = project.stored()
    found = (row["event_id"], row["user_id"], row["path"], row["referrer"], row["timestamp"])
    assert found == ("e1", "u", "/b", "https://c/", "2026-05-01T14:00:00.000Z")


def test_a_batch_that_is_refused_is_logged(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "threadline"), Client("sk_no", project.url) as client:
        client.track("x")
    assert "1 events refused with 401" in caplog.text


def test_a_full_queue_drops_the_oldest(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    client = Client(project.keys["sk"], project.url, max_queue=2, flush_interval_s=3600)
    with caplog.at_level(logging.WARNING, "threadline"), client._changed:
        # The lock is held, so the thread that sends has to wait.
        for number in range(3):
            client.track("x", event_id=f"e{number}")
    client.close()
    assert "the oldest event was dropped" in caplog.text
    assert sorted(ids(project.stored())) == ["e1", "e2"]


def test_it_waits_for_a_server_that_comes_up_late(folder: Path) -> None:
    with Server(folder) as server:
        project = Project(server)
        server.stop()
    with socket.socket() as probe:  # nobody answers here yet
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    refused = threading.Event()
    client = Client(project.keys["sk"], f"http://127.0.0.1:{port}", flush_at=1)
    drop = client._drop_connection

    def drop_and_tell() -> None:
        drop()
        refused.set()

    client._drop_connection = drop_and_tell  # type: ignore[method-assign]
    client.track("x", event_id="e1")
    assert refused.wait(30)
    with Server(folder, THREADLINE_PORT=str(port)) as server:
        client.close()
        project.url, project._connection = server.url, None
        assert ids(project.stored()) == ["e1"]
        server.stop()


def test_the_host_has_to_be_a_url() -> None:
    with pytest.raises(ValueError, match="has to look like"):
        Client("sk", "localhost:8787")
