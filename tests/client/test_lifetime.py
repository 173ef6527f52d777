"""A client that nobody has any more, and the end of the program: nothing stays, nothing is lost
without a word."""

import gc
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.moody import PATIENCE_S, Answer, Moody
from tests.support import ROOT
from threadline import Client, ThreadlineError
from threadline.client.batches import OnWay


@pytest.fixture
def moody() -> Iterator[Moody]:
    with Moody() as running:
        yield running


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "threadline-client"]


def test_clients_that_nobody_has_go_away(moody: Moody, tmp_path: Path) -> None:
    before = set(ours())
    kept = []
    for number in range(20):
        spool = tmp_path / str(number) if number % 2 else None
        client = Client("sk", moody.url, spool=spool)
        client.track("x")
        assert client.flush()
        kept.append(weakref.ref(client))
        del client
    for thread in set(ours()) - before:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    gc.collect()
    assert [client() for client in kept] == [None] * 20
    assert len(moody.events) == 20


def test_what_is_queued_is_sent_before_a_client_goes(moody: Moody) -> None:
    client = Client("sk", moody.url, flush_interval_s=0.05)
    gone = weakref.ref(client)
    client.track("x")
    del client
    moody.wait_for(1)
    for thread in ours():
        if gone() is not None:
            thread.join(PATIENCE_S)
    gc.collect()
    assert gone() is None


SILENT = """
import logging, socket, sys, threadline
logging.basicConfig(stream=sys.stdout)
server = socket.create_server(("127.0.0.1", 0))
lost, held = [], []
clients = [
    threadline.Client("sk", f"http://127.0.0.1:{server.getsockname()[1]}", timeout_s=60,
        exit_timeout_s=0.2, on_error=lambda error, events: lost.extend(events), flush_interval_s=0)
    for _ in range(4)
]
for client in clients:
    client.track("x")
    held.append(server.accept()[0])
    held[-1].recv(1)  # its request is on its way
    client.track("y")
"""


def run(script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)


def test_what_the_end_of_the_program_costs_is_said() -> None:
    done = run(SILENT)
    assert done.returncode == 0
    for name, why in (
        ("x", "the program ended before the server answered; it may have them"),
        ("y", "the program ended before they could be sent"),
    ):
        assert done.stdout.count(f"1 events lost ('{name}'): {why}") == 4
    script = SILENT + "client.close(); import json; print(json.dumps([client.dropped, lost]))"
    (counted,) = [line for line in run(script).stdout.splitlines() if line.startswith("[")]
    dropped, lost = json.loads(counted)
    assert (dropped, [event["event"] for event in lost]) == (2, ["x", "y"])


def test_a_request_takes_no_longer_than_the_end_of_the_program() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        lost: list[ThreadlineError] = []
        client = Client(
            "sk",
            f"http://127.0.0.1:{silent.getsockname()[1]}",
            timeout_s=3600,
            exit_timeout_s=0.1,
            flush_interval_s=3600,
            on_error=lambda error, _: lost.append(error),
        )
        client.track("x")
        client.close()
    assert (client.dropped, len(lost)) == (1, 1)


def test_a_batch_is_accounted_for_once() -> None:
    on_way = OnWay([b"1", b"2", b"3", b"4"])
    assert on_way.replace([b"1", b"2"], [b"3", b"4"])
    assert on_way.part() == [b"1", b"2"]
    assert on_way.replace([])
    assert on_way.take() == [b"3", b"4"]
    assert not on_way.replace([b"3"])
    assert (on_way.part(), on_way.take()) == ([], [])


class Picky(Moody):
    """Refuses batches with an event of a name, and does not say which one it is."""

    def _take(self, events: list[dict[str, object]], packed: bool) -> Answer | None:
        bad = any(event["event"] == "bad" for event in events)
        self.answers = [(self.status if bad else 202, {})]
        return super()._take(events, packed)

    status = 400


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_batch_is_halved_until_the_bad_event_is_alone(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    lost: list[dict[str, object]] = []
    with Picky() as picky:
        picky.status = status
        with Client(
            "sk", picky.url, flush_interval_s=3600, on_error=lambda _, events: lost.extend(events)
        ) as client:
            for number in range(40):
                client.track("bad" if number == 11 else "x", event_id=str(number))
            assert client.flush()
        stored = [event["event_id"] for event in picky.events]
    assert stored == [str(n) for n in range(40) if n != 11]
    assert [event["event_id"] for event in lost] == ["11"]
    assert client.dropped == 1
    assert caplog.text.count("1 events lost ('bad')") == 1


def test_the_servers_warnings_are_said_once_for_a_kind(
    moody: Moody, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from threadline.client.wire import Reply

    odd: list[object] = [{"index": n, "message": "odd"} for n in range(3)]
    for warnings in ([*odd, {"message": "more"}, "text", {}], None, 5, {"a": 1}):
        body = json.dumps({"warnings": warnings}).encode()
        monkeypatch.setattr(Reply, "json", lambda self, body=body: json.loads(body))
        with Client("sk", moody.url) as client:
            client.track("x")
        assert client.dropped == 0
    assert caplog.text.count("event 0 of a batch, 3 in all: odd") == 1


@pytest.mark.parametrize("details", [None, [], "text", {"index": "0"}, {"index": 99}])
def test_an_odd_refusal_costs_what_it_refuses(details: object, moody: Moody) -> None:
    from threadline.client.wire import Reply

    body = json.dumps({"error": "odd", "details": details}).encode()
    error = Reply(400, {}, body).error()  # type: ignore[arg-type]
    assert (error.status, error.code, error.may_pass) == (400, "odd", False)


def test_only_the_user_may_read_a_spool(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = os.umask(0)
    try:
        spool = tmp_path / "new" / "spool"
        client = Client("sk", "http://127.0.0.1:9", spool=spool, exit_timeout_s=0)
        client.track("x")
        (file,) = spool.iterdir()
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (file, spool, spool.parent)]
        assert modes == [0o600, 0o700, 0o700]
        client.close()
        file.chmod(0o644)
        spool.chmod(0o755)
        Client("sk", "http://127.0.0.1:9", spool=spool, exit_timeout_s=0).close()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    finally:
        os.umask(before)
    assert f"others may look into the spool {spool}" in caplog.text
