"""Killed at any moment under load: what was acknowledged is there, once, in every answer."""

import http.client
import os
import random
import signal
import threading
from contextlib import closing
from pathlib import Path

from tests.ingest.leftovers import traces, until_erased
from tests.support import Json, Project, Server
from tests.width import wide
from threadline.identity import states
from threadline.ingest import receipts
from threadline.ingest.log import open_db
from threadline.runtime.socket_store import SocketStore

CRASHES = int(os.environ.get("THREADLINE_TEST_CRASHES") or wide(2, 10))
SENDERS = 4
BATCH = 40


class Sender(threading.Thread):
    """Sends batches until told to stop; what was not acknowledged is sent again, as SDKs do."""

    def __init__(self, number: int, project: Project, acknowledged: threading.Semaphore) -> None:
        super().__init__(daemon=True)
        self._number = number
        self._project = project
        self._acknowledged = acknowledged
        self._stopped = threading.Event()
        self.up = threading.Event()
        self.sent = 0

    def run(self) -> None:
        while not self._stopped.is_set():
            self.up.wait()
            connection = self._project.again()
            try:
                while not self._stopped.is_set():
                    connection.batch(self._batch(self.sent))
                    self.sent += 1
                    self._acknowledged.release()
            except (OSError, http.client.HTTPException):
                continue  # killed under this batch; on with the same one when the server is up

    def stop(self) -> None:
        self._stopped.set()
        self.up.set()
        self.join()

    def _batch(self, turn: int) -> list[Json]:
        """Four users on devices of their own: their first touch is the first event of all."""
        first = turn * BATCH
        return [
            {
                "event": "signup" if number % 10 == 9 else "$pageview",
                "event_id": f"{self._number}-{number}",
                "anonymous_id": f"device {self._number}",
                "user_id": f"user {self._number}" if number % 10 == 9 else None,
                "timestamp": f"2026-05-{1 + number // 86_400 % 28:02}T"
                f"{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z",
            }
            for number in range(first, first + BATCH)
        ]

    @property
    def acknowledged_ids(self) -> set[str]:
        return {f"{self._number}-{number}" for number in range(self.sent * BATCH)}


def test_kills_under_load_lose_and_double_nothing(folder: Path) -> None:
    chance = random.Random(7)
    acknowledged = threading.Semaphore(0)
    senders: list[Sender] = []
    for _ in range(CRASHES):
        with Server(folder) as server:
            if not senders:
                project = Project(server)
                senders = [Sender(number, project, acknowledged) for number in range(SENDERS)]
                for sender in senders:
                    sender.start()
            project.url = server.url
            for sender in senders:
                sender.up.set()
            for _ in range(chance.randrange(1, 120)):
                assert acknowledged.acquire(timeout=60)
            for sender in senders:
                sender.up.clear()
            server.stop(signal.SIGKILL)
    with Server(folder) as server:
        project.url = server.url
        for sender in senders:
            sender.up.set()
        for _ in range(SENDERS * 2):
            assert acknowledged.acquire(timeout=60)
        for sender in senders:
            sender.stop()
        stored = [row["event_id"] for row in project.stored()]
        assert len(stored) == len(set(stored)), "nothing twice"
        assert set(stored) == set().union(*(sender.acknowledged_ids for sender in senders))
        for number, sender in enumerate(senders):
            journey = project.journey(f"user {number}")
            assert len(journey) == sender.sent * BATCH
        touches = {u["user_id"]: u["first_touch"]["event_id"] for u in project.pages("/v1/users")}
        assert touches == {f"user {number}": f"{number}-0" for number in range(SENDERS)}
        server.stop()


def test_forgetting_goes_on_after_a_kill_at_any_moment(folder: Path) -> None:
    """Killed again and again while people are forgotten and come back: the forgotten are gone,
    everybody else, and who came back, is there, and every state says what the events say."""
    chance = random.Random(11)
    people, kept, back = wide((7, 3, 5), (12, 4, 6))
    with Server(folder) as server:
        project = Project(server)
        project.batch([event for number in range(people) for event in _life(number, "first")])
        project.stored()
        server.stop(signal.SIGKILL)
    for number in range(kept, people):
        with Server(folder) as server:
            again = project.again(server)
            assert again.post("/v1/forget", {"user_id": f"user {number}"}).status == 200
            if number >= back:
                again.batch(_life(number, "second"))
            # So many more requests until the end: the writer and the eraser are somewhere.
            for _ in range(chance.randrange(0, 40)):
                again.get("/metrics")
            server.stop(signal.SIGKILL)
    with Server(folder) as server:
        again = project.again(server)
        wanted = {
            event["event_id"]
            for number in range(people)
            for event in _life(number, "first" if number < kept else "second")
            if number < kept or number >= back
        }
        assert sorted(row["event_id"] for row in again.stored()) == sorted(wanted)
        until_erased(again)
        assert sorted(row["event_id"] for row in again.stored()) == sorted(wanted)
        users = {row["user_id"] for row in again.ask("/v1/users")["rows"]}
        assert users == {f"user {n}" for n in range(people) if n < kept or n >= back}
        for difference in states.verify(SocketStore(folder)):
            assert difference[2:] == (0, 0, 0), difference
        with closing(open_db(folder)) as db:
            assert [receipt.events for receipt in receipts.listed(db)] == [4] * (people - kept)
        server.stop()
    forgotten = [f"first of {number}" for number in range(kept, people)]
    assert traces(folder, *forgotten) == []


def _life(number: int, which: str) -> list[Json]:
    """Untagged, then known, on a device of their own; and on one that all share."""
    return [
        {
            "event": "x",
            "event_id": f"{which} of {number}: {turn}",
            "anonymous_id": "kiosk" if turn == 3 else f"device {number}",
            "user_id": f"user {number}" if turn else None,
            "timestamp": f"2026-05-{1 + number:02}T10:00:0{turn}Z",
        }
        for turn in range(4)
    ]
