"""A real server in a process of its own, and a small client that speaks plain HTTP to it."""

import asyncio
import copy
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from tests import forked
from threadline.control import Control
from threadline.ingest import row

Json = dict[str, Any]
T = TypeVar("T")
R = TypeVar("R")
CONNECTIONS = 4  # the store answers as many at once
ORIGIN = "https://shop.example"
IDLE_S = 30
ROOT = Path(__file__).parents[1]
# For programs that are given nothing else of this one's environment: that they are measured, too.
MEASURED = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}


class Reply(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Json:
        parsed: Json = json.loads(self.body)
        return parsed

    @property
    def error(self) -> str:
        return str(self.json["error"])


def row_values(**fields: row.Value) -> list[row.Value]:
    """A row as it lies in the log: a page view of project p on device a, but for these columns."""
    values: dict[str, row.Value] = dict.fromkeys(row.COLUMNS, "")
    values |= row.ADDED
    values |= {
        "project_id": "p",
        "event_name": "$pageview",
        "anonymous_id": "a",
        "anonymous_id_generated": False,
        "user_id": None,
        "timestamp": 1_777_644_000_000,
        "received_at": 1_777_644_000_000,
        "ip_hash": bytes(16),
    }
    return list((values | fields).values())


PATIENCE_S = 30.0
LOOK_AGAIN_S = 0.03
TRIES = 20
NOT_LOOKED = b"keys cannot be read now"


class Server:
    """`threadline serve` on a free port. Ended by its own process id."""

    module = "threadline.cli.main"

    def __init__(self, folder: Path, before: str = "", **environ: str) -> None:
        """`before`: a shell command that the server's process begins with, such as `ulimit`."""
        self.folder = folder
        self.environ = environ
        self.lines: list[str] = []
        self._read = threading.Condition()
        if "THREADLINE_PORT" not in environ:
            environ["THREADLINE_PORT"] = "0"
        self.process = self._start({**os.environ, **environ}, before)
        self.url = self._await_ready()
        self._drain = threading.Thread(target=self._keep_reading, daemon=True)
        self._drain.start()

    def _start(self, env: dict[str, str], before: str) -> forked.Process:
        arguments = ["serve", "--data", str(self.folder)]
        if not before and self.module == Server.module:
            return forked.start(*arguments, env=env, stderr=subprocess.PIPE)
        command = [sys.executable, "-m", self.module, *arguments]
        if before:
            command = ["bash", "-c", f'{before} && exec "$@"', "bash", *command]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)

    def _await_ready(self) -> str:
        assert self.process.stderr
        for line in self.process.stderr:
            self.lines.append(line)
            if '"ready"' in line:
                return str(json.loads(line)["url"])
        raise AssertionError(f"the server did not start: {''.join(self.lines)}")

    def _keep_reading(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            with self._read:
                self.lines.append(line)
                self._read.notify_all()

    def await_line(self, *parts: str) -> str:
        """The first line of the log that holds all of these; it may be on its way."""

        def found() -> list[str]:
            return [line for line in self.lines if all(part in line for part in parts)]

        with self._read:
            assert self._read.wait_for(found, timeout=30), self.lines
        return found()[0]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        status = self.process.wait(timeout=60)
        self._drain.join(timeout=10)
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.stop(signal.SIGKILL)


class Connection:
    """Requests to a server on one kept connection, nothing added to them.

    `project_id`: what the dashboard's pages are asked about, "" before there is a project."""

    project_id: str = ""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection: http.client.HTTPConnection | None = None
        self._used_at = 0.0

    def send(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Tried again, as every client of ours does it, where the server says that it cannot look
        for a new key just now: it waits but a moment for who reads keys, and on a busy machine that
        is not always enough."""
        for _ in range(TRIES):
            connection = self._connected()
            try:
                connection.request(method, path, body, dict(headers or {}))
                response = connection.getresponse()
                reply = Reply(response.status, response.headers, response.read())
            except (OSError, http.client.HTTPException):
                self._disconnect()
                raise
            if reply.status != 503 or NOT_LOOKED not in reply.body:
                break
            time.sleep(LOOK_AGAIN_S)  # as it is asked to; nothing tells when there is no need
        return reply

    def _connected(self) -> http.client.HTTPConnection:
        """The server closes connections that say nothing for a while, which on a slow machine other
        tests take."""
        if time.monotonic() - self._used_at > IDLE_S:
            self._disconnect()
        self._used_at = time.monotonic()
        if self._connection is None:
            address = urlsplit(self.url)
            self._connection = http.client.HTTPConnection(
                address.hostname or "", address.port, timeout=60
            )
        return self._connection

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None


_projects_made = 0


class Project(Connection):
    """A fresh project on a server, with its keys."""

    def __init__(self, server: Server, origins: Iterable[str] = (ORIGIN,)) -> None:
        global _projects_made
        _projects_made += 1
        super().__init__(server.url)
        database = server.environ.get("THREADLINE_CONTROL", "control.db")
        with Control(server.folder, url=database) as control:
            name = f"project {_projects_made} of {os.getpid()}"
            project, keys = control.create_project(name, list(origins))
        self.project_id = project.project_id
        self.keys = {kind: str(token) for kind, token in keys.items()}

    def again(self, server: Server | None = None) -> "Project":
        """The same project on a connection of its own: for another thread, or after a restart."""
        other = copy.copy(self)
        other._connection = None
        if server:
            other.url = server.url
        return other

    def post(self, path: str, body: object, key: str = "sk", **headers: str) -> Reply:
        given = {"Authorization": f"Bearer {self.keys[key]}", "Content-Type": "application/json"}
        if key == "pk":
            given["Origin"] = ORIGIN
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        raw = body if isinstance(body, bytes) else json.dumps(body)
        return self.send("POST", path, raw, {**given, **named})

    def change(self, method: str, path: str, body: object, key: str = "sk") -> Reply:
        """PUT or DELETE with a JSON body."""
        headers = {"Authorization": f"Bearer {self.keys[key]}", "Content-Type": "application/json"}
        return self.send(method, path, json.dumps(body), headers)

    def get(self, path: str, key: str = "rk", **params: Any) -> Reply:
        return self.fetch(path, params, key)

    def fetch(
        self,
        path: str,
        params: Mapping[str, Any],
        key: str = "rk",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        query = {name.rstrip("_"): value for name, value in params.items() if value is not None}
        headers = {"Authorization": f"Bearer {self.keys[key]}", **(headers or {})}
        # The server waits some seconds for what was acknowledged before; on a slow disk, again.
        for _ in range(11):
            reply = self.send("GET", f"{path}?{urlencode(query)}", headers=headers)
            if not reply.headers.get("Threadline-Stale"):
                break
        return reply

    def ask(self, path: str, **params: Any) -> Json:
        """The answer to a question that has to succeed."""
        reply = self.get(path, **params)
        assert reply.status == 200, reply
        return reply.json

    def track(self, event: str, **fields: object) -> Json:
        """Send an event that has to be accepted."""
        reply = self.post("/v1/track", {"event": event, **fields})
        assert reply.status == 202, reply
        return reply.json

    def batch(self, events: list[Json]) -> Json:
        reply = self.post("/v1/batch", {"events": events})
        assert reply.status == 202, reply
        return reply.json

    def stored(self, **filters: Any) -> list[Json]:
        """All stored rows, newest first, page by page."""
        return self.pages("/v1/query", limit=1000, **filters)

    def journey(self, user_id: str, **params: Any) -> list[Json]:
        return self.pages(f"/v1/users/{quote(user_id, safe='')}/events", limit=1000, **params)

    def pages(self, path: str, **params: Any) -> list[Json]:
        answer = self.ask(path, **params)
        rows: list[Json] = answer["rows"]
        while answer["next_cursor"]:
            answer = self.ask(path, cursor=answer["next_cursor"], **params)
            rows += answer["rows"]
        return rows


def until(true: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Look until it is so, now and then: looking takes the processor from what is waited for.
    Machines that test are busy with other things, too: how long it takes is no part of what is
    tested."""
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(LOOK_AGAIN_S)


def side_by_side(ask: Callable[[Project, T], R], project: Project, asked: Iterable[T]) -> list[R]:
    """What comes of asking each of these, in their order, over some connections at once."""
    own = threading.local()

    def ask_one(one: T) -> R:
        if not hasattr(own, "project"):
            own.project = project.again()
        return ask(own.project, one)

    with ThreadPoolExecutor(CONNECTIONS) as threads:
        return list(threads.map(ask_one, asked))


def ids(rows: list[Json]) -> list[str]:
    return [row["event_id"] for row in rows]


def run_async(asked: Coroutine[Any, Any, T]) -> T:
    """On a thread of its own: this one may have a loop already, of a browser's driver."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, asked).result()
