"""Two Threadlines that write into one store, of which one after the other is killed while both get
the same events: is every event that either acknowledged there once, in every state?

    python -m benchmarks.nodes --kills 10
"""

import argparse
import http.client
import shutil
import signal
import tempfile
import threading
import time
from itertools import count
from pathlib import Path
from random import Random

from tests.clickhouse_cluster import Cluster
from tests.postgres import Postgres
from tests.support import Project, Server

from benchmarks.outages import BATCH, EVENTS_LEFT, LANDED_S, event
from benchmarks.report import Report
from threadline.identity import states
from threadline.store import Store

UP_S = 2.0
NAMES = ("one", "other")


class Nodes:
    """Both, and how to start one again."""

    def __init__(self, folder: Path, control: str, store: str) -> None:
        self._folder = folder
        self._environ = {"THREADLINE_CONTROL": control, "THREADLINE_STORE": store}
        self.servers: dict[str, Server] = {}

    def start(self, name: str) -> Server:
        folder, first = self._folder / name, self._folder / NAMES[0]
        if name != NAMES[0] and not folder.exists():
            folder.mkdir()
            shutil.copy2(first / "pepper", folder / "pepper")
        self.servers[name] = Server(folder, **self._environ)
        return self.servers[name]


class Sender(threading.Thread):
    """Sends each batch to both nodes, three times in all, until it is told to end."""

    def __init__(self, project: Project, nodes: Nodes, first: int) -> None:
        super().__init__()
        self.acknowledged = self.refused = 0
        self.ending = threading.Event()
        self._project = project
        self._nodes = nodes
        self._first = first
        self._random = Random(first)

    def run(self) -> None:
        for number in count(self._first, 2):
            if self.ending.is_set():
                return
            batch = [event(number * BATCH + n) for n in range(BATCH)]
            to = [*NAMES, self._random.choice(NAMES)]
            self._random.shuffle(to)
            taken = [self._send(name, batch) for name in to]
            self.acknowledged += BATCH if any(taken) else 0
            self.refused += len(to) - sum(taken)

    def _send(self, name: str, batch: list[dict[str, object]]) -> bool:
        node = self._project.again(self._nodes.servers[name])
        try:
            return node.post("/v1/batch", {"events": batch}).status == 202
        except (OSError, http.client.HTTPException):
            return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--shards", type=int, default=1)
    options = parser.parse_args()
    report = Report("nodes", nodes=2, kills=options.kills, shards=options.shards)
    random = Random(1)
    with (
        tempfile.TemporaryDirectory() as folder,
        Postgres() as postgres,
        Cluster(Path(folder) / "shards", shards=options.shards) as cluster,
    ):
        several = options.shards > 1
        store = cluster.url("threadline") if several else cluster.nodes[0].url("threadline")
        nodes = Nodes(Path(folder), postgres.database(), store)
        project = Project(nodes.start(NAMES[0]))
        nodes.start(NAMES[1])
        senders = [Sender(project, nodes, first) for first in (0, 1)]
        for sender in senders:
            sender.start()
        for number in range(1, options.kills + 1):
            time.sleep(UP_S)
            name = random.choice(NAMES)
            nodes.servers[name].stop(signal.SIGKILL)
            nodes.start(name)
            print(f"\r{number} of {options.kills} kills", end="", flush=True)
        for sender in senders:
            sender.ending.set()
            sender.join()
        acknowledged = sum(sender.acknowledged for sender in senders)
        statuses = [server.stop() for server in nodes.servers.values()]
        with Store(store) as opened:
            deadline = time.monotonic() + LANDED_S
            while True:
                (found,) = opened.query(EVENTS_LEFT, {})
                if found["ids"] >= acknowledged or time.monotonic() > deadline:
                    break
                time.sleep(0.5)
            wrong = [each for each in states.verify(opened) if each[2:] != (0, 0, 0)]
    print("\r", end="")
    report.row("events acknowledged by either", f"{acknowledged:,}")
    report.row(
        "events stored, of them different",
        f"{found['events']:,}, {found['ids']:,}",
        target="all, once",
    )
    report.row("states that differ from the events", str(len(wrong)), target="0")
    report.row("batches refused while a node was gone", str(sum(s.refused for s in senders)))
    report.row("the servers ended with", ", ".join(map(str, statuses)), target="0")
    report.save()


if __name__ == "__main__":
    main()
