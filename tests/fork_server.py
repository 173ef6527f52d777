"""A process that has imported `threadline`, and forks for each command and each server that a test
starts: importing takes longer than most of what they do.

Run by `tests/forked.py`, which asks it. It takes its requests from a socket:

- an array of JSON, `[arguments, environment, folder to be in]`, with three descriptors, the
  command's standard input, output and error. It answers with the process id in a line, and with the
  exit status in another as soon as there is one. The process is waited for when whoever asked hangs
  up, so that its id is nobody else's until then.

It ends when its standard input does: with whoever started it, whatever happened to that.
"""

import atexit
import gc
import io
import json
import os
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from ctypes import CDLL
from importlib import import_module
from importlib.util import find_spec

# What commands import when they need it. Not chDB: it starts threads, and who has some cannot fork.
MODULES = ["threadline.cli.expected", "threadline.cli.help", "threadline.http.serve",
           "threadline.runtime.logs", "rich.console", "rich.table",
           # Typer's, at its first argument; the driver's, for the embedded engine.
           "typer._adapters", "xml.etree.ElementTree", "encodings.idna",
           "cryptography.hazmat.primitives.ciphers.aead"]  # fmt: skip
STANDARD = (0, 1, 2)
WIDE = bool(os.environ.get("THREADLINE_TEST_WIDE"))  # as in `tests.width`
LENGTH = 8
DEEPBIND = 0x00008  # RTLD_DEEPBIND


def load_engine() -> None:
    """The library as `chdb` loads it, half a gigabyte to be bound; not what that starts then."""
    found = find_spec("chdb")
    assert found
    for folder in found.submodule_search_locations or ():
        library = os.path.join(folder, "_chdb.abi3.so")
        if os.path.exists(library):
            CDLL(library, mode=sys.getdlopenflags() | DEEPBIND)
            return


class Forks:
    """Takes requests, one after the other, and tells what became of their processes."""

    def __init__(self, path: str) -> None:
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(path)
        self._listening.listen(64)
        # A byte in here for each signal: something to wait for beside requests.
        self._woken, self._waking = socket.socketpair()
        self._woken.setblocking(False)
        self._waking.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._waking.fileno())
        self._selector = selectors.DefaultSelector()
        for what in (self._listening, self._woken, sys.stdin.fileno()):
            self._selector.register(what, selectors.EVENT_READ)
        # By the connection of who asked: the process, and whether it was told that it ended.
        self._forked: dict[socket.socket, int] = {}
        self._untold: set[socket.socket] = set()
        # Who hung up early; their processes go on.
        self._unwaited: set[int] = set()

    def serve(self) -> bool:
        """Until nobody wants it any more: False; or, in the process of a command: True."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listening:
                    if self._take():
                        return True
                elif key.fileobj is self._woken:
                    self._woken.recv(4096)
                elif key.fileobj in self._forked:
                    self._hung_up(key.fileobj)
                else:
                    return False
            self._tell()

    def _take(self) -> bool:
        asking, _ = self._listening.accept()
        request, descriptors = received(asking)
        pid = os.fork()
        if pid == 0:
            self._leave(asking)
            become(*request, descriptors)
            return True
        for descriptor in descriptors:
            os.close(descriptor)
        asking.sendall(b"%d\n" % pid)
        self._forked[asking] = pid
        self._untold.add(asking)
        self._selector.register(asking, selectors.EVENT_READ)
        return False

    def _leave(self, asking: socket.socket) -> None:
        """In a process of a command, which has nothing of this one's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._selector.close()
        for connection in (asking, self._listening, self._woken, self._waking, *self._forked):
            connection.close()

    def _tell(self) -> None:
        for asking in list(self._untold):
            ended = os.waitid(os.P_PID, self._forked[asking], os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended:
                self._untold.remove(asking)
                status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
                with suppress(OSError):  # has just hung up
                    asking.sendall(b"%d\n" % status)
        for pid in list(self._unwaited):
            if os.waitpid(pid, os.WNOHANG)[0]:
                self._unwaited.remove(pid)

    def _hung_up(self, asking: socket.socket) -> None:
        self._selector.unregister(asking)
        self._untold.discard(asking)
        pid = self._forked.pop(asking)
        if not os.waitpid(pid, os.WNOHANG)[0]:
            self._unwaited.add(pid)
        asking.close()


def received(asking: socket.socket) -> tuple[tuple[list[str], dict[str, str], str], list[int]]:
    length, descriptors, _, _ = socket.recv_fds(asking, LENGTH, len(STANDARD))
    with asking.makefile("rb") as file:
        return json.loads(file.read(int(length))), descriptors


def become(
    arguments: list[str], environment: dict[str, str], folder: str, descriptors: list[int]
) -> None:
    """As a process that was just started so."""
    for descriptor, standard in zip(descriptors, STANDARD, strict=True):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    # As the interpreter opens them where no language is set; errors have to be said.
    sys.stdin = _opened(0, "r", "surrogateescape")
    sys.stdout = _opened(1, "w", "surrogateescape")
    sys.stderr = _opened(2, "w", "backslashreplace")
    sys.stderr.reconfigure(line_buffering=True)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv = ["threadline", *arguments]


def end_soon(main: Callable[[], None]) -> None:
    """Run a command, and end without taking apart what was imported: in this process that copies
    every page of it. In a wide run not where the engine was, whose end is worth a look."""
    try:
        main()
    except SystemExit as ended:
        if (WIDE and "chdb" in sys.modules) or not isinstance(ended.code, int | None):
            raise
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:  # who reads has gone: what that means is the interpreter's to say
            raise ended from None
        os._exit(ended.code or 0)


def _opened(standard: int, mode: str, errors: str) -> io.TextIOWrapper:
    # It stays open for as long as the command runs, whose standard stream it is.
    file = open(standard, f"{mode}b", closefd=False)  # noqa: SIM115
    return io.TextIOWrapper(file, "utf-8", errors)


def ask(
    path: str, arguments: list[str], environment: dict[str, str], folder: str, files: list[int]
) -> socket.socket:
    """A connection that tells of the process."""
    asking = socket.socket(socket.AF_UNIX)
    asking.connect(path)
    request = json.dumps([arguments, environment, folder]).encode()
    socket.send_fds(asking, [b"%*d" % (LENGTH, len(request))], files)
    asking.sendall(request)
    return asking


def run_in_shell(path: str, arguments: list[str]) -> int:
    """As if this process were the command; its exit status as a shell gives it."""
    asking = ask(path, arguments, dict(os.environ), os.getcwd(), list(STANDARD))
    with asking, asking.makefile() as told:
        next(told)
        status = int(next(told))
    return status if status >= 0 else 128 - status


def serve(path: str) -> None:
    # Whoever stops the tests by hand stops what they started; this ends when they have.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import shutil

    from threadline.classify import classify
    from threadline.cli import main as cli
    from threadline.enrich import read_agent

    for module in [*(f"threadline.cli.{it.module}" for it in cli.COMMANDS.values()), *MODULES]:
        import_module(module)
    load_engine()
    # As a server does before it says that it is ready.
    read_agent("Mozilla/5.0")
    classify("https://example.com/", "https://example.org/")
    assert threading.active_count() == 1, "who has threads cannot fork"
    gc.collect()
    gc.freeze()  # nobody need go through it again
    forks = Forks(path)
    print("ready", flush=True)
    if forks.serve():
        end_soon(cli.main)
    else:
        shutil.rmtree(os.path.dirname(path))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        sys.exit(run_in_shell(sys.argv[2], sys.argv[3:]))
