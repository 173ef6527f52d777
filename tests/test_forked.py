"""A forked command is as one that was started: what it is given, and how it ends."""

import os
import signal
import socket
import subprocess
import threading
from pathlib import Path
from subprocess import PIPE

import pytest

from tests import fork_server, forked
from tests.support import Server


@pytest.mark.parametrize(
    ("how", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_server_ends_as_it_is_told(folder: Path, how: signal.Signals, status: int) -> None:
    with Server(folder) as server:
        assert isinstance(server.process, forked.Forked)
        assert server.process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(0)
        assert server.stop(how) == status
        assert server.process.poll() == status
        with pytest.raises(ProcessLookupError):
            os.kill(server.process.pid, 0)


def test_it_has_what_it_is_given_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "threadline.toml").write_text('data = "here"\n')
    for environ, said in (({"THREADLINE_DATA": "there"}, "there"), ({}, "here")):
        done = forked.run("doctor", cwd=tmp_path, env=environ)
        assert done.returncode == 1
        assert f"data = {said}" in done.stdout


def test_another_interpreter_is_started_where_it_is_another(tmp_path: Path) -> None:
    other = {**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{tmp_path}"}
    with forked.start("--version", env=other, stdout=PIPE) as started:
        assert isinstance(started, subprocess.Popen)
        assert started.communicate(timeout=60)[0].startswith("threadline ")


def test_one_that_has_ended_before_anybody_looks_is_told_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its id and its exit status come at once, where the machine is busy."""
    ours, theirs = socket.socketpair()
    theirs.sendall(b"4711\n3\n")

    def hang_up() -> None:
        """As the fork server, once whoever asked has."""
        with theirs:
            theirs.recv(1)

    monkeypatch.setattr(fork_server, "ask", lambda *asked: ours)
    process = forked.Forked(["--version"], {})
    hanging_up = threading.Thread(target=hang_up, daemon=True)
    hanging_up.start()
    assert (process.pid, process.wait(5)) == (4711, 3)
    hanging_up.join(5)
