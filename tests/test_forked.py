"""A forked command is as one that was started: what it is given, and how it ends."""

import os
import signal
import subprocess
from pathlib import Path
from subprocess import PIPE

import pytest

from tests import forked
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
