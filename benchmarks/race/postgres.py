"""A PostgreSQL of our own, as long as the race lasts: Debian's binaries, a socket in its folder."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

READY_S = 60.0
# What one sets on a machine that has nothing else to do; nothing that could lose a commit.
SETTINGS = """
listen_addresses = ''
unix_socket_directories = '{folder}'
shared_buffers = 1GB
work_mem = 64MB
maintenance_work_mem = 256MB
effective_cache_size = 4GB
max_wal_size = 4GB
random_page_cost = 1.1
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
"""
# The first of these that there is runs it where we are root, which it refuses to be.
ACCOUNTS = ("postgres", "nobody")


def missing() -> str:
    """What to do before PostgreSQL can take part; nothing if it can."""
    if not _binaries():
        return "apt-get install postgresql"
    if importlib.util.find_spec("psycopg") is None:
        return "pip install 'psycopg[binary]'"
    return ""


def _binaries() -> Path | None:
    """The newest of Debian's, else what is on the path."""
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    found = max(versions, key=lambda path: int(path.parts[-3].split(".")[0]), default=None)
    on_path = shutil.which("initdb")
    at = found or (Path(on_path).resolve() if on_path else None)
    return at.parent if at else None


class Cluster:
    """Its server and files. `folder`: where its socket lies."""

    def __init__(self) -> None:
        binaries = _binaries()
        assert binaries
        self.binaries = binaries
        # Not among the other files: who may not read those has to reach it.
        self.folder = Path(tempfile.mkdtemp(prefix="race-"))
        self._log = self.folder / "server.log"
        data = self.folder / "data"
        data.mkdir(mode=0o700)
        self._as = _account(self.folder, data)
        self._run("initdb", "-D", data, "-A", "trust", "-U", "race", "-E", "UTF8", "--locale=C")
        with (data / "postgresql.conf").open("a") as file:
            file.write(SETTINGS.format(folder=self.folder))
        self._server = subprocess.Popen(
            [str(binaries / "postgres"), "-D", str(data)],
            stdout=subprocess.DEVNULL,
            stderr=self._log.open("wb"),
            cwd="/",
            **self._as,
        )
        self._await_ready()

    def _run(self, command: str, *arguments: object) -> None:
        words = [str(self.binaries / command), *map(str, arguments)]
        subprocess.run(words, check=True, capture_output=True, cwd="/", **self._as)

    def _await_ready(self) -> None:
        ready = [str(self.binaries / "pg_isready"), "-q", "-h", str(self.folder)]
        until = time.monotonic() + READY_S
        while subprocess.run(ready).returncode:
            if self._server.poll() is not None or time.monotonic() > until:
                self._server.kill()
                raise SystemExit(f"PostgreSQL did not start:\n{self._log.read_text()}")
            time.sleep(0.02)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.send_signal(signal.SIGINT)  # who is still connected is cut off
        self._server.wait(60)
        shutil.rmtree(self.folder)

    @property
    def pid(self) -> int:
        """Of the server; those that answer are its children."""
        return self._server.pid

    def bytes_on_disk(self) -> int:
        """Of the events and their indexes, without the log that is written ahead."""
        return int(self._client("psql", "-Atc", "SELECT pg_total_relation_size('events')"))

    def execute(self, statements: str) -> None:
        self._client("psql", "-q", "-c", statements)

    def inserts_per_s(self, seconds: int, clients: int) -> float:
        """Single prepared inserts, each committed to the disk."""
        script = self.folder / "insert.sql"
        script.write_text(INSERT)
        words = f"-n -M prepared -j 1 -c {clients} -T {seconds} -f {script}".split()
        return float(self._client("pgbench", *words).split("tps = ")[1].split()[0])

    def _client(self, command: str, *arguments: str) -> str:
        """What a command says that speaks to the server."""
        words = [str(self.binaries / command), "-h", str(self.folder), "-U", "race", *arguments]
        done = subprocess.run([*words, "postgres"], capture_output=True, text=True, check=True)
        return done.stdout


# A page view as the log has them.
INSERT = """INSERT INTO events VALUES (
    gen_random_uuid()::text, now(), '$pageview', 'a' || random(), NULL, true, '/pricing',
    'https://calendar.example/pricing?gclid=x', 'https://www.google.com/', 'google', 'organic', '',
    'Organic Search', '{}'
) ON CONFLICT DO NOTHING;
"""


def _account(*folders: Path) -> dict[str, Any]:
    """As whom it runs: PostgreSQL refuses to be root."""
    if os.getuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    name = next(name for name in ACCOUNTS if name in names)
    for folder in folders:
        shutil.chown(folder, name)
    return {"user": name}
