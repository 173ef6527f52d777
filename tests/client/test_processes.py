"""The Python client through forks, crashes and outages: every event arrives, once."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.client.moody import Moody
from tests.support import ROOT, Project, Server, ids
from threadline import Client, ThreadlineError
from threadline.client.spool import Spool

EVENTS = 20_000
BEGIN = """
import multiprocessing, os, signal, sys, threadline
client = threadline.init(sys.argv[1], sys.argv[2], flush_interval_s=3600, exit_timeout_s=30)
"""


def program(script: str, key: str, url: str, *more: str) -> "subprocess.Popen[str]":
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-c", BEGIN + script, key, url, *more]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)


def run(script: str, project: Project) -> list[str]:
    """The names of what is stored after the program has ended, sorted."""
    with program(script, project.keys["sk"], project.url) as running:
        assert running.wait(60) == 0
    return sorted(row["event_name"] for row in project.stored())


def test_after_a_fork_each_process_sends_its_own(project: Project) -> None:
    script = """
client.track("before the thread was there")
client._wake()
client.track("before")
child = os.fork() == 0
client.track("child" if child else "parent")
if not child:
    assert os.wait()[1] == 0
"""
    expected = ["before", "before the thread was there", "child", "parent"]
    assert run(script, project) == expected


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_send_before_they_end(project: Project, method: str) -> None:
    script = f"""
sys.path.insert(0, {str(ROOT)!r})
from tests.client.child import work
if __name__ == "__main__":
    client.track("parent")
    context = multiprocessing.get_context({method!r})
    children = [context.Process(target=work, args=sys.argv[1:3]) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
"""
    assert run(script, project) == ["child"] * 3 + ["parent"]


def test_workers_of_gunicorn_lose_nothing(project: Project, tmp_path: Path) -> None:
    """Four of them, forked after the application was loaded and its client made."""
    env = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        "THREADLINE_SDK_KEY": project.keys["sk"],
        "THREADLINE_SDK_HOST": project.url,
    }
    bind = tmp_path / "socket"
    command = [sys.executable, "-m", "gunicorn", "--workers", "4", "--preload", "--bind"]
    command += [f"unix:{bind}", "--no-control-socket", "tests.client.child:application"]
    server = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr
        booted = 0
        for line in server.stderr:
            booted += "Booting worker" in line
            if booted == 4:
                break
        drain = threading.Thread(target=server.stderr.read)
        drain.start()

        def visit(number: int) -> str:
            connection = _UnixConnection(bind)
            connection.request("GET", f"/{number}")
            return connection.getresponse().read().decode()

        with ThreadPoolExecutor(8) as pool:
            workers = set(pool.map(visit, range(400)))
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    drain.join()
    rows = project.stored()
    assert sorted(int(row["path"][1:]) for row in rows) == list(range(400))
    assert {row["properties"] for row in rows} == {f'{{"pid":{pid}}}' for pid in workers}
    assert len(workers) > 1


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(30)
        self.sock.connect(str(self._path))


def test_thousands_of_events_across_the_death_of_the_server(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server(folder) as server:
        project = Project(server)
        port = str(urlsplit(server.url).port)
        client = Client(
            project.keys["sk"], server.url, spool=tmp_path / "spool", flush_at=1000, timeout_s=30
        )
        tries = threading.Semaphore(0)
        attempt = client._try

        def counted(batch: list[bytes]) -> tuple[ThreadlineError | None, float]:
            tries.release()
            return attempt(batch)

        monkeypatch.setattr(client, "_try", counted)
        monkeypatch.setattr(client, "_pause", lambda seconds: not client._closing.wait(0.05))
        given = [client.track("x", {"n": number}) for number in range(EVENTS // 2)]
        for _ in range(5):
            assert tries.acquire(timeout=60)
        server.stop(signal.SIGKILL)
        given += [client.track("x", {"n": number}) for number in range(EVENTS // 2)]
    with Server(folder, THREADLINE_PORT=port) as server:
        assert client.flush(120)
        project = project.again(server)
        assert project.ask("/v1/stats", metric="count")["rows"][0]["value"] == EVENTS
        stored = ids(project.stored())
        client.close()
        server.stop()
    assert len(stored) == len(set(stored)) == EVENTS
    assert set(stored) == set(given)
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_program_that_is_killed_leaves_its_events_to_the_next(
    project: Project, tmp_path: Path
) -> None:
    script = """
client = threadline.init(*sys.argv[1:3], spool=sys.argv[3])
for number in range(500):
    client.track("x", event_id=f"e{number}")
print("queued", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    spool = tmp_path / "spool"
    with program(script, "sk", "http://127.0.0.1:9", str(spool)) as running:
        assert running.wait(60) == -signal.SIGKILL
    newest = max(spool.iterdir(), key=lambda file: file.stat().st_mtime_ns)
    with newest.open("ab") as torn:
        torn.write(b'{"event": "half a li')
    with Client(project.keys["sk"], project.url, spool=spool) as client:
        assert client.flush()
    assert set(ids(project.stored())) == {f"e{number}" for number in range(500)}
    assert list(spool.iterdir()) == []


def test_a_broken_line_does_not_take_the_others_along(project: Project, tmp_path: Path) -> None:
    lines = [f'{{"event":"x","event_id":"e{number}"}}' for number in range(5)]
    lines[2] = '{"event":"x","event_i{"event":"x"}'
    (tmp_path / "left.ndjson").write_text("\n".join(lines) + "\n")
    lost: list[str] = []
    with Client(
        project.keys["sk"],
        project.url,
        spool=tmp_path,
        on_error=lambda _, events: lost.extend(event.get("line", "") for event in events),
    ) as client:
        assert client.flush()
    assert sorted(ids(project.stored())) == ["e0", "e1", "e3", "e4"]
    assert lost == [lines[2]]
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_sent_in_time_stays_on_disk(tmp_path: Path) -> None:
    with Moody() as moody:
        moody.answers = [(503, {})] * 2
        first = Client("sk", moody.url, spool=tmp_path, exit_timeout_s=0, flush_interval_s=3600)
        first.track("x")
        with Spool(tmp_path, 10**6) as others:  # what another process has is its own to send
            assert len(others) == 0
        first.close()
        assert first.dropped == 0
        with Client("sk", moody.url, spool=tmp_path) as second:
            assert second.flush()
        assert [event["event"] for event in moody.events] == ["x"]


def test_a_full_or_broken_spool_drops_and_says_so(tmp_path: Path) -> None:
    lost: list[ThreadlineError] = []
    client = Client(
        "sk",
        "http://127.0.0.1:9",
        spool=tmp_path / "spool",
        spool_max_bytes=300,
        exit_timeout_s=0,
        flush_interval_s=3600,
        on_error=lambda error, _: lost.append(error),
    )
    for _ in range(4):
        client.track("x")
    assert (client.dropped, str(lost[0])) == (2, "the queue is full")
    client.track("circle", {"again": object.__new__(type("Odd", (), {"__str__": None}))})
    assert "cannot be written as JSON" in str(lost[-1])
    client.close()
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        Client("sk", spool=tmp_path / "file")


def test_what_the_sdk_reads_does_not_stop_the_server(folder: Path) -> None:
    environ = {"THREADLINE_SDK_HOST": "http://localhost:8787", "THREADLINE_SDK_KEY": "sk"}
    with Server(folder, **environ) as server:
        assert server.stop() == 0
