"""Shards of a cluster that are killed and frozen while events come in: is every event that was
acknowledged there once, in every state?

    python -m benchmarks.outages --kills 10 --freezes 3
"""

import argparse
import tempfile
import threading
import time
from itertools import count
from pathlib import Path
from random import Random

from tests.clickhouse_cluster import Cluster, Node
from tests.support import Project, Server

from benchmarks.report import Report
from threadline.identity import states
from threadline.store import Store

SHARDS = 3
BATCH = 100
DEVICES = 500
UP_S, FROZEN_S = 2.0, 12.0
LANDED_S = 120.0
NO_ANSWER = 0  # within a minute
EVENTS_LEFT = "SELECT count() AS events, uniqExact(event_id) AS ids FROM events"
ASTRAY = "SELECT countIf(NOT (%s)) AS astray FROM events"


class Sender(threading.Thread):
    """Sends batches until it is told to end. Every third one goes twice."""

    def __init__(self, project: Project) -> None:
        super().__init__()
        self.acknowledged = 0
        self.slowest_s = 0.0
        self.ending = threading.Event()
        self._project = project

    def run(self) -> None:
        for number in count():
            if self.ending.is_set():
                return
            batch = [event(number * BATCH + n) for n in range(BATCH)]
            started = time.monotonic()
            self._project.batch(batch)
            self.slowest_s = max(self.slowest_s, time.monotonic() - started)
            self.acknowledged += BATCH
            if number % 3 == 0:
                self._project.batch(batch)
            self.ending.wait(0.02)


def event(number: int) -> dict[str, object]:
    random = Random(number)
    device = random.randrange(DEVICES)
    known = random.random() < 0.2
    return {
        "event": random.choice(("$pageview", "signup", "purchase")),
        "event_id": f"event {number}",
        "anonymous_id": f"device {device}",
        "user_id": f"user {(device + random.randrange(2)) % 100}" if known else None,
        "url": f"https://shop.example/?utm_source=partner{random.randrange(5)}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--freezes", type=int, default=3)
    options = parser.parse_args()
    outages = ["kill"] * options.kills + ["freeze"] * options.freezes
    random = Random(1)
    random.shuffle(outages)
    report = Report("outages", shards=SHARDS, kills=options.kills, freezes=options.freezes)
    with (
        tempfile.TemporaryDirectory() as folder,
        Cluster(Path(folder) / "nodes", shards=SHARDS) as cluster,
        Server(Path(folder) / "data", THREADLINE_STORE=cluster.url("threadline")) as server,
    ):
        project = Project(server)
        sender = Sender(project.again())
        sender.start()
        answers: dict[int, int] = {}
        for number, what in enumerate(outages, start=1):
            time.sleep(UP_S)
            node = random.choice(cluster.nodes)
            _outage(node, what, project, answers)
            print(f"\r{number} of {len(outages)} outages", end="", flush=True)
        sender.ending.set()
        sender.join()
        with Store(cluster.url("threadline")) as store:
            deadline = time.monotonic() + LANDED_S
            while True:
                (found,) = store.query(EVENTS_LEFT, {})
                if found["ids"] >= sender.acknowledged or time.monotonic() > deadline:
                    break
                time.sleep(0.5)
            wrong = [each for each in states.verify(store) if each[2:] != (0, 0, 0)]
            astray = sum(n.query(ASTRAY % n.owns, {})[0]["astray"] for n in store.nodes)
        status = server.stop()
    print("\r", end="")
    assert answers.keys() <= {200, 503, NO_ANSWER}, answers
    report.row("events acknowledged", f"{sender.acknowledged:,}")
    report.row(
        "events stored, of them different",
        f"{found['events']:,}, {found['ids']:,}",
        target="all, once",
    )
    report.row("states that differ from the events", str(len(wrong)), target="0")
    report.row("events on another shard than theirs", str(astray), target="0")
    report.row("slowest batch acknowledged in", f"{sender.slowest_s:.2f} s")
    report.row(
        "answers meanwhile", ", ".join(f"{n} times {s or 'none'}" for s, n in answers.items())
    )
    report.row("the server ended with", str(status), target="0")
    report.save()


def _outage(node: Node, what: str, project: Project, answers: dict[int, int]) -> None:
    """Of one shard, and a question meanwhile."""
    if what == "kill":
        node.kill()
        _ask(project, answers)
        node.start()
        return
    node.pause()
    ended = time.monotonic() + FROZEN_S
    _ask(project, answers)
    time.sleep(max(0.0, ended - time.monotonic()))
    node.resume()


def _ask(project: Project, answers: dict[int, int]) -> None:
    headers = {"Authorization": f"Bearer {project.keys['rk']}"}
    asking = project.again()
    try:
        status = asking.send("GET", "/v1/stats?metric=persons", headers=headers).status
    except TimeoutError:
        status = NO_ANSWER
    answers[status] = answers.get(status, 0) + 1


if __name__ == "__main__":
    main()
