"""Threadline in the race: a server of this checkout, loaded and asked over HTTP."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple, Self
from urllib.parse import quote

import msgspec

from benchmarks.checkouts import Checkout, Connection, Reply, Serving
from benchmarks.race.log import Late, Log
from benchmarks.race.processes import bytes_below
from benchmarks.race.questions import TILES, Asked
from benchmarks.race.rows import Row
from threadline.control import Control

BATCH = 1000
LOADING = 4  # connections
# The server closes connections that say nothing for longer.
IDLE_S = 30.0
NEXT_CURSOR, STALE = "threadline-next-cursor", "threadline-stale"


class Threadline:
    """Starts when it is made, and is ready when entered."""

    title = "Threadline"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        checkout = Checkout(Path())
        with Control(folder) as control:
            _, keys = control.create_project("race", [])
        self.key = str(keys["sk"])
        self._serving = Serving(checkout, folder)

    def __enter__(self) -> Self:
        self._serving.__enter__()
        self._connections: SimpleQueue[_Kept] = SimpleQueue()
        for _ in TILES:
            self._connections.put(_Kept(self._serving.connection(), time.monotonic()))
        self._threads = ThreadPoolExecutor(len(TILES))
        return self

    def __exit__(self, *exc: object) -> None:
        self._threads.shutdown()
        self._serving.__exit__()

    @property
    def pids(self) -> list[int]:
        return [self._serving.pid]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._serving.port}"

    def load(self, log: Log) -> None:
        with log.sent.open("rb") as file, ThreadPoolExecutor(LOADING) as pool:
            # No more than some at a time, of a file that may be larger than memory.
            while some := list(islice(batches(file), 100)):
                for reply in pool.map(self._post, some):
                    _accepted(reply)
        self._serving.await_stored(self.key)

    def insert(self, late: Late) -> None:
        _accepted(self._post(b'{"events":[%b]}' % late.sent))
        self._serving.await_stored(self.key)

    def rows(self, asked: Asked, user: str) -> list[Row]:
        bodies = list(self._answer(asked, user))
        return [row for body in bodies for row in asked.question.rows(body)]

    def took_s(self, asked: Sequence[Asked], user: str) -> float:
        started = time.perf_counter()
        if len(asked) == 1:
            list(self._answer(asked[0], user))
        else:
            list(self._threads.map(lambda each: list(self._answer(each, user)), asked))
        return time.perf_counter() - started

    def bytes_on_disk(self) -> int:
        return bytes_below(self.folder)

    def _answer(self, asked: Asked, user: str) -> Iterator[bytes]:
        """The answer, or page by page all of it."""
        question = asked.question
        path = question.path.format(user=quote(user, safe=""))
        params = {**question.params, **({"stitch": asked.policy} if asked.policy else {})}
        while True:
            reply = self._send("GET", path, params=params)
            if reply.status != 200 or STALE in reply.headers:
                raise SystemExit(f"{asked.name}: {reply}")
            yield reply.body
            cursor = _cursor(reply) if question.paged else None
            if not cursor:
                return
            params |= {"limit": "1000", "cursor": cursor}

    def _post(self, body: bytes) -> Reply:
        return self._send("POST", "/v1/batch", body=body)

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        params: dict[str, str] | None = None,
    ) -> Reply:
        connection, used_at = self._connections.get()
        if time.monotonic() - used_at > IDLE_S:
            connection.close()  # and opened again by the next request
        try:
            return connection.send(method, path, self.key, body, params, kept=True)
        finally:
            self._connections.put(_Kept(connection, time.monotonic()))


class _Kept(NamedTuple):
    """A connection, and when it was used last."""

    connection: Connection
    used_at: float


def batches(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Bodies of `/v1/batch`, of events one a line."""
    while some := list(islice(lines, BATCH)):
        yield b'{"events":[%b]}' % b",".join(some)


def _cursor(reply: Reply) -> str | None:
    if NEXT_CURSOR in reply.headers:
        return reply.headers[NEXT_CURSOR]
    if reply.headers["content-type"].startswith("application/json"):
        return msgspec.json.decode(reply.body, type=_Page).next_cursor
    return None


class _Page(msgspec.Struct):
    """All that is read of a page on the way to the next."""

    next_cursor: str | None


def _accepted(reply: Reply) -> None:
    if reply.status != 202:
        raise SystemExit(f"The log was refused: {reply}")
