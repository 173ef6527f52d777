"""What sending an event costs a Python program: on its own thread, until it has arrived, in memory.

Every library runs in a process of its own and sends to the same sink in another one; Threadline's
sends to a real server, too.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.report import Report, memory_kb, rate

EVENT = "clicked_pricing"
PROPERTIES = {"plan": "weaver", "value": 24, "currency": "EUR", "position": 3, "logged_in": True}
QUEUE = 10_000
TARGET_US = 5.0
LIBRARIES = ("threadline", "threadline with a spool", "segment-analytics-python", "posthog")


class Sink(asyncio.Protocol):
    """Reads HTTP, answers at once, and tells its first line how many requests it had."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, received: bytes) -> None:
        self._buffer += received
        while True:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            length = 0
            for line in head.split(b"\r\n")[1:]:
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            # Ours waits for 202, one of the others for 200.
            status = b"202 Accepted" if b"/v1/" in head.split(b"\r\n")[0] else b"200 OK"
            self._transport.write(
                b"HTTP/1.1 %s\r\nContent-Type: application/json\r\n"
                b"Content-Length: 2\r\n\r\n{}" % status
            )


async def run_sink() -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


Track = Callable[[], object]
Opened = tuple[Track, Callable[[], object]]


def open_library(name: str, key: str, url: str, queue: int, folder: str) -> Opened:
    """How it tracks one event, and how it sends all that is left."""
    if name.startswith("threadline"):
        from threadline import Client

        spool = Path(folder) if "spool" in name else None
        client = Client(key, url, max_queue=queue, spool=spool)
        return (
            lambda: client.track(EVENT, PROPERTIES, user_id="user_42"),
            lambda: client.flush(600),
        )
    if name == "posthog":
        from posthog import Posthog

        posthog = Posthog(key, host=url, max_queue_size=queue)
        return (
            lambda: posthog.capture(EVENT, distinct_id="user_42", properties=PROPERTIES),
            posthog.flush,
        )
    from segment.analytics.client import Client as Segment

    segment = Segment(key, host=url, max_queue_size=queue)
    return lambda: segment.track("user_42", EVENT, PROPERTIES), segment.flush


def measure(name: str, key: str, url: str, events: int) -> dict[str, float]:
    """One library, in this process: µs a call, and events a second until they arrived."""
    with tempfile.TemporaryDirectory() as folder:
        track, flush = open_library(name, key, url, events + 1, folder)
        for _ in range(100):
            track()
        flush()
        took_us = []
        began_s = time.perf_counter()
        for _ in range(events):
            start_ns = time.perf_counter_ns()
            track()
            took_us.append((time.perf_counter_ns() - start_ns) / 1000)
        called_s = time.perf_counter() - began_s
        flush()
        arrived_s = time.perf_counter() - began_s
    return {
        "median_us": statistics.median(took_us),
        "p99_us": statistics.quantiles(took_us, n=100)[98],
        "called_per_s": events / called_s,
        "arrived_per_s": events / arrived_s,
    }


def measure_memory(name: str) -> dict[str, float]:
    """A full queue, of whose events none can leave: nobody listens on that port."""
    with tempfile.TemporaryDirectory() as folder:
        track, _ = open_library(name, "sk_x", "http://127.0.0.1:9", QUEUE, folder)
        track()
        before_kb = memory_kb("self")["VmRSS"]
        for _ in range(QUEUE - 1):
            track()
        return {"bytes": (memory_kb("self")["VmRSS"] - before_kb) * 1024 / QUEUE}


def in_process(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.sdk", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def report(events: int) -> None:
    from tests.support import Project, Server

    table = Report("sdk", events=events)
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.sdk", "--sink"], stdout=subprocess.PIPE, text=True
        ) as sink,
        Server(Path(folder)) as server,
    ):
        assert sink.stdout
        url = sink.stdout.readline().strip()
        key = Project(server).keys["sk"]
        sinks = {name: (name, "sk_x", url) for name in LIBRARIES}
        sinks["threadline, to a real server"] = ("threadline", key, server.url)
        for shown, (name, its_key, its_url) in sinks.items():
            found = in_process("--one", name, its_key, its_url, "--events", str(events))
            own = name == "threadline"
            table.row(
                f"{shown}, one call",
                f"median {found['median_us']:.1f} µs, p99 {found['p99_us']:,.1f} µs",
                target=f"median ≤ {TARGET_US:.0f} µs" if own else "–",
            )
            called = rate(found["called_per_s"], 1)
            table.row(f"{shown}, arrived", f"{rate(found['arrived_per_s'], 1)}, called {called}")
        for name in LIBRARIES:
            found = in_process("--memory", name)
            table.row(
                f"{name}, a queue of {QUEUE:,}",
                f"{found['bytes'] * QUEUE / 1e6:,.1f} MB, {found['bytes']:,.0f} bytes an event",
            )
        sink.terminate()
        server.stop()
    table.save()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--sink", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sink:
        asyncio.run(run_sink())
    elif options.one:
        name, key, url = options.one
        print(json.dumps(measure(name, key, url, options.events)))
    elif options.memory:
        print(json.dumps(measure_memory(options.memory)), flush=True)
        os._exit(0)  # without waiting for what cannot be sent
    else:
        report(options.events)


if __name__ == "__main__":
    main()
