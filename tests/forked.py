"""Commands and servers of ours as processes that need not import it all again: they are forked from
one that has (`tests/fork_server.py`), as long as nothing needs an interpreter of its own."""

import atexit
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import IO, Self

from tests import fork_server

COMMAND = [sys.executable, "-m", "threadline.cli.main"]
SCRIPT = str(Path(fork_server.__file__))
# What an interpreter or its loader reads when it starts; another value needs another process.
OF_INTERPRETER = ("PYTHON", "LD_")
ROOT = Path(__file__).parents[1]


class ForkServer:
    """Started when it is first needed."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        # Its path has to be short. The fork server takes the folder away when it ends.
        self.path = f"{tempfile.mkdtemp(prefix='threadline-')}/socket"
        kept = (*OF_INTERPRETER, "COVERAGE_", "PATH", "TMPDIR", "THREADLINE_TEST_WIDE")
        environ = {name: value for name, value in os.environ.items() if name.startswith(kept)}
        self._process = subprocess.Popen(
            # Without this script's folder on the path.
            [sys.executable, "-P", SCRIPT, "serve", self.path],
            stdin=PIPE,
            stdout=PIPE,
            cwd=ROOT,
            env={**environ, "OPENBLAS_NUM_THREADS": "1"},  # who has threads cannot fork
        )
        assert self._process.stdout
        assert self._process.stdout.readline() == b"ready\n"

    def stop(self) -> None:
        self._process.communicate()


_server: ForkServer | None = None
_starting = threading.Lock()


def fork_path() -> str:
    """The socket of this process's fork server."""
    global _server
    with _starting:
        if _server is None or _server.pid != os.getpid():
            _server = ForkServer()
        return _server.path


@atexit.register
def stop() -> None:
    """End it, if there is one. Processes that it forked go on."""
    global _server
    if _server is not None and _server.pid == os.getpid():
        _server.stop()
    _server = None


class Forked:
    """A command or a server, with what is used here of `subprocess.Popen`."""

    def __init__(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str],
        cwd: str | os.PathLike[str] | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> None:
        self.args = list(arguments)
        self.returncode: int | None = None
        with open(os.devnull) as nothing, ExitStack() as given:
            self.stdout, out = _end(stdout, 1, given)
            self.stderr, err = _end(stderr, 2, given)
            self._told = fork_server.ask(
                fork_path(), self.args, dict(env), os.path.abspath(cwd or "."),
                [nothing.fileno(), out, err],
            )  # fmt: skip
            # Unbuffered: a status that comes along with the id would be read with it, and then
            # nothing is left in the socket to wait for.
            self._lines = self._told.makefile("rb", buffering=0)
            self.pid = int(self._lines.readline())
        self._waiting = threading.Lock()

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):  # it runs, which is an answer
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if not self._waiting.acquire(timeout=-1 if timeout is None else timeout):
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        try:
            if self.returncode is None:
                ready = select.poll()  # `select` knows no numbers from 1,024 on
                ready.register(self._told, select.POLLIN)
                if not ready.poll(None if timeout is None else timeout * 1000):
                    raise subprocess.TimeoutExpired(self.args, timeout or 0)
                self.returncode = int(self._lines.readline())
                # It is waited for now; after that its id may be another's.
                self._told.shutdown(socket.SHUT_WR)
                assert self._lines.read() == b""
                self._lines.close()
                self._told.close()
            return self.returncode
        finally:
            self._waiting.release()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that it prints until it ends. Raises `TimeoutExpired`."""
        printed = {1: "", 2: ""}

        def read(number: int, file: IO[str]) -> None:
            with file:
                printed[number] = file.read()

        pipes = {1: self.stdout, 2: self.stderr}
        readers = [
            threading.Thread(target=read, args=(number, file), daemon=True)
            for number, file in pipes.items()
            if file
        ]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return printed[1], printed[2]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for file in (self.stdout, self.stderr):
            if file:
                file.close()
        self.wait()


Process = Forked | subprocess.Popen[str]


def _end(wanted: int | None, own: int, given: ExitStack) -> tuple[IO[str] | None, int]:
    """What is read from here, and what the process gets, which is open until that is done."""
    if wanted != PIPE:
        return None, own if wanted is None else wanted
    ours, theirs = os.pipe()
    given.callback(os.close, theirs)
    return open(ours), theirs


def start(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
) -> Process:
    """`threadline` with these arguments, and nothing to read. `stdout`, `stderr`: `PIPE`, a
    descriptor, or None for this process's own."""
    env = dict(os.environ if env is None else env)
    if all(
        value == os.environ.get(name)
        for name, value in env.items()
        if name.startswith(OF_INTERPRETER) and value
    ):
        return Forked(arguments, env, cwd, stdout, stderr)
    return subprocess.Popen(
        [*COMMAND, *arguments],
        env=env,
        cwd=cwd,
        stdin=DEVNULL,
        stdout=stdout,
        stderr=stderr,
        text=True,
    )


def run(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """`threadline` with these arguments until it ends: what it printed."""
    with start(*arguments, env=env, cwd=cwd, stdout=PIPE, stderr=PIPE) as process:
        try:
            out, err = process.communicate(timeout=60)
        except BaseException:
            process.kill()
            raise
        return subprocess.CompletedProcess(process.args, process.wait(), out, err)


def in_shell() -> str:
    """What a shell calls `threadline` by."""
    return f'{sys.executable} -S -E {SCRIPT} ask {fork_path()} "$@"'
