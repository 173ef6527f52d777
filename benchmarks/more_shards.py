"""A fourth shard is added to three while events come in and questions are asked: how long does
anything wait?

    python -m benchmarks.more_shards --events 1000000
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from os import environ
from pathlib import Path

from tests.clickhouse_cluster import Cluster
from tests.support import Json, Project, Server

from benchmarks.outages import event
from benchmarks.report import Report
from benchmarks.sharding import load
from threadline.identity import states
from threadline.store import Store

BATCH, PAUSE_S = 20, 0.1


class Again(threading.Thread):
    """A step again and again until it is told to end; how long each took, in seconds."""

    def __init__(self, step: Callable[[int], object]) -> None:
        super().__init__()
        self.took_s: list[float] = []
        self.ending = threading.Event()
        self._step = step

    def run(self) -> None:
        while not self.ending.wait(PAUSE_S):
            started = time.monotonic()
            self._step(len(self.took_s))
            self.took_s.append(time.monotonic() - started)

    def end(self) -> float:
        """The slowest, in seconds."""
        self.ending.set()
        self.join()
        return max(self.took_s)


def batch(number: int) -> list[Json]:
    return [event(number * BATCH + each) for each in range(BATCH)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    options = parser.parse_args()
    visitors = options.events // 20
    report = Report(f"more-shards-{options.events}", events=f"{options.events:,}", shards="3 to 4")
    with (
        tempfile.TemporaryDirectory() as folder,
        Cluster(Path(folder) / "nodes", shards=4, also={"three": 3}) as cluster,
    ):
        three, four = cluster.url("threadline", "three"), cluster.url("threadline")
        with Store(three, query_seconds=600) as store:
            load([store], options.events, visitors, 1)
        with Server(Path(folder) / "data", THREADLINE_STORE=three) as server:
            project = Project(server)
            sending, asking = project.again(), project.again()
            sender = Again(lambda number: sending.batch(batch(number)))
            asker = Again(lambda number: asking.ask("/v1/stats", metric="persons"))
            for each in (sender, asker):
                each.start()
            started = time.monotonic()
            command = [sys.executable, "-m", "threadline.cli.main", "shard", "add", four]
            subprocess.run(
                [*command, "--data", str(server.folder)],
                env={**environ, "THREADLINE_STORE": three},
                check=True,
                stdout=subprocess.DEVNULL,
            )
            took_s = time.monotonic() - started
            slowest_s = sender.end(), asker.end()
            kept = len(project.stored()) == BATCH * len(sender.took_s)
            server.stop()
        with Store(four, query_seconds=600) as store:
            (counted,) = store.nodes[3].query("SELECT count() AS n FROM events", {})
            wrong = [each for each in states.verify(store) if each[2:] != (0, 0, 0)]
    report.row("the command took", f"{took_s:.1f} s")
    report.row("events moved", f"{counted['n']:,}")
    report.row("slowest batch acknowledged in", f"{slowest_s[0]:.2f} s")
    report.row("slowest question", f"{slowest_s[1]:.2f} s")
    report.row("all that came meanwhile is there once", "yes" if kept else "no", target="yes")
    report.row("states that differ from the events", str(len(wrong)), target="0")
    report.save()


if __name__ == "__main__":
    main()
