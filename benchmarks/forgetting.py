"""Forgetting beside everything else: how long others wait for it, and how long a hundred take.

    python -m benchmarks.forgetting --events 1000000

Events come at a steady rate and small questions are asked, first with nothing beside them, then
while one person is forgotten. A request's time counts from when it was due.
"""

import argparse
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.support import Server

from benchmarks.checkouts import Connection
from benchmarks.report import OUT, Report
from benchmarks.stitching import load
from threadline.control import Control

TOGETHER = 100
SENDERS = 10
WRITES_PER_S = 50.0
READS_PER_S = 5.0
WAITED_S = 600.0
# What is done of a forget: it is in no answer any more; and it is off the disk.
PENDING, ON_DISK = "threadline_forgets_pending", "threadline_forgets_on_disk"

Send = Callable[[Connection, int], int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=20, help="of traffic in each phase")
    options = parser.parse_args()
    folder = OUT / f"forgetting-{options.events}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with Control(folder) as control:
        project, tokens = control.create_project("benchmark", [])
    visitors = options.events // 20
    load(folder, project.project_id, options.events, visitors, 1)
    report = Report("forgetting", events=f"{options.events:,}", seconds=options.seconds)
    reader, one, *users = (f"user_{n}" for n in range(1, min(visitors // 5, TOGETHER + 2) + 1))
    with Server(folder) as server:
        beside = Beside(server, str(tokens["sk"]), reader)
        beside.measure_one(report, one, options.seconds)
        beside.measure_together(report, users)
        server.stop()
    report.save()
    shutil.rmtree(folder)


class Beside:
    """Requests to a server with something else going on beside them."""

    def __init__(self, server: Server, key: str, reader: str) -> None:
        """`reader`: a user whose journey is asked for."""
        self._port = urlsplit(server.url).port or 0
        self._key = key
        self._reader = reader

    def measure_one(self, report: Report, user_id: str, seconds: float) -> None:
        with self._traffic():  # warm
            time.sleep(min(seconds, 3))
        with self._traffic() as alone:
            time.sleep(seconds)
        with self._traffic() as together:
            time.sleep(seconds / 4)
            done_s, erased_s = self._forget([user_id])
            time.sleep(max(0.0, seconds * 3 / 4 - erased_s))
        report.row("one forget, until no answer shows it", f"{done_s:.2f} s")
        report.row("one forget, until it is off the disk", f"{erased_s:.2f} s")
        for kind in alone:
            slowest_ms, slowest_alone_ms = together[kind][-1], alone[kind][-1]
            report.row(
                f"{kind}, slowest, while one is forgotten",
                f"{slowest_ms:,.1f} ms",
                f"with nothing beside {slowest_alone_ms:,.1f} ms",
                f"{slowest_ms - slowest_alone_ms:+,.1f} ms",
                "≤ 100 ms more",
            )
            report.row(
                f"{kind}, p99, while one is forgotten",
                f"{_p99(together[kind]):,.1f} ms",
                f"with nothing beside {_p99(alone[kind]):,.1f} ms",
            )

    def measure_together(self, report: Report, users: list[str]) -> None:
        done_s, erased_s = self._forget(users)
        asked = f"{len(users)} forgets together"
        report.row(f"{asked}, until no answer shows them", f"{done_s:.2f} s", target="≤ 10 s")
        report.row(f"{asked}, until all is off the disk", f"{erased_s:.2f} s", target="≤ 10 s")

    def _forget(self, users: list[str]) -> tuple[float, float]:
        """Seconds from the first request until all are done, and until all are off the disk."""
        started = time.perf_counter()

        def ask(user_id: str) -> None:
            connection = Connection(self._port)
            reply = connection.send("POST", "/v1/forget", self._key, {"user_id": user_id})
            assert reply.status == 200, reply
            connection.close()

        with ThreadPoolExecutor(SENDERS) as pool:
            list(pool.map(ask, users))
        done_s = 0.0
        connection = Connection(self._port)
        while time.perf_counter() - started < WAITED_S:
            left = self._left(connection)
            took_s = time.perf_counter() - started
            if not left[PENDING]:
                done_s = done_s or took_s
                if not left[ON_DISK]:
                    return done_s, took_s
            time.sleep(0.02)
        raise AssertionError(f"not done within {WAITED_S} s: {left}")

    def _left(self, connection: Connection) -> dict[str, float]:
        lines = connection.send("GET", "/metrics", self._key).body.decode().splitlines()
        pairs = [line.split() for line in lines if line.startswith((PENDING, ON_DISK))]
        return {name: float(value) for name, value in pairs}

    @contextmanager
    def _traffic(self) -> Iterator[dict[str, list[float]]]:
        """Steady requests while the block lasts; then the milliseconds of each kind, sorted."""
        kinds: dict[str, tuple[Send, float]] = {
            "one event": (self._write, WRITES_PER_S),
            "a small question": (self._read, READS_PER_S),
            "healthz": (lambda c, _: c.send("GET", "/healthz").status, READS_PER_S),
        }
        took: dict[str, list[float]] = {kind: [] for kind in kinds}
        stopped = threading.Event()
        threads = [
            threading.Thread(target=self._send, args=(send, per_s, stopped, took[kind]))
            for kind, (send, per_s) in kinds.items()
        ]
        for thread in threads:
            thread.start()
        try:
            yield took
        finally:
            stopped.set()
            for thread in threads:
                thread.join()
        for times in took.values():
            times.sort()

    def _send(self, send: Send, per_s: float, stopped: threading.Event, took: list[float]) -> None:
        connection = Connection(self._port)
        begun, number = time.perf_counter(), 0
        while not stopped.is_set():
            due = begun + number / per_s
            time.sleep(max(0.0, due - time.perf_counter()))
            status = send(connection, number)
            assert status in (200, 202), status
            took.append((time.perf_counter() - due) * 1000)
            number += 1
        connection.close()

    def _write(self, connection: Connection, number: int) -> int:
        event = {"event": "$pageview", "anonymous_id": f"beside-{number % 1000}"}
        return connection.send("POST", "/v1/track", self._key, event).status

    def _read(self, connection: Connection, number: int) -> int:
        return connection.send("GET", f"/v1/users/{self._reader}/events?limit=5", self._key).status


def _p99(times: list[float]) -> float:
    return times[len(times) * 99 // 100]


if __name__ == "__main__":
    main()
