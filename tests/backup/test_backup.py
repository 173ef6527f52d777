"""A backup that is made under load, killed at any moment, and restored: it answers as the original
did at that moment."""

import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import PIPE

from tests import forked
from tests.cli.test_ask import PARAMS, over_http
from tests.cli.test_commands import CLEAN, fails, ok, run
from tests.ingest.test_crash import Sender
from tests.support import Json, Project, Server
from tests.test_story import tell

# A kill in the middle of each third of backup and restore.
ROUNDS = int(os.environ.get("THREADLINE_TEST_BACKUPS", "1"))
THIRDS = (1 / 6, 3 / 6, 5 / 6)
DECISIONS: list[tuple[str, str, Json]] = [
    ("PUT", "aliases", {"user_id": "user_43", "alias_of": "user_42"}),
    ("DELETE", "links", {"anonymous_id": "d2", "user_id": "user_43"}),
]


def answers(project: Project) -> dict[str, Json]:
    """Of every question there is, and every event."""
    found = {name: over_http(project, name) for name in PARAMS}
    return {**found, "all events": project.stored(include_bots="true")}


def told(server: Server) -> Project:
    """A project with something of everything."""
    project = Project(server)
    tell(project)
    project.track("$group", user_id="user_42", properties={"account_id": "acme"})
    project.track("$pageview", anonymous_id="d2", url="https://shop.example/?utm_source=mail")
    project.track("signup", anonymous_id="d2", user_id="user_43", event_id="s43")
    for method, path, decision in DECISIONS:
        reply = project.change(method, f"/v1/identity/{path}", decision)
        assert reply.status == 200, reply
    of = ("--data", str(server.folder), "--project", project.project_id)
    ok("goal", "set", "joined", "signup", *of)
    return project


@contextmanager
def load(project: Project) -> Iterator[list[Sender]]:
    """Events that keep coming as long as the block lasts; it begins when they do."""
    acknowledged = threading.Semaphore(0)
    senders = [Sender(number, project, acknowledged) for number in range(2)]
    for sender in senders:
        sender.up.set()
        sender.start()
    for _ in range(20):
        assert acknowledged.acquire(timeout=30)
    try:
        yield senders
    finally:
        for sender in senders:
            sender.stop()


def backups(target: Path) -> list[str]:
    return [each["backup_id"] for each in json.loads(ok("backup", "list", str(target), "--json"))]


def make(folder: Path, target: Path, *more: str) -> Json:
    said = ok("backup", str(target), "--data", str(folder), "--json", *more)
    made: Json = json.loads(said)
    return made


def killed(fraction: float, whole_s: float, *command: str) -> None:
    """The command, killed after this part of the time that all of it takes."""
    with forked.start(*command, env=CLEAN, stdout=PIPE, stderr=PIPE) as process:
        with suppress(subprocess.TimeoutExpired):  # any moment will do: none decides what is right
            process.wait(fraction * whole_s)
        process.send_signal(signal.SIGKILL)


def took_s(do: Callable[[], object]) -> float:
    started = time.monotonic()
    do()
    return time.monotonic() - started


def test_restored_answers_are_the_originals_under_load_and_kills(
    folder: Path, tmp_path: Path
) -> None:
    chance, target = random.Random(25), tmp_path / "backups"
    with Server(folder) as server:
        quiet, busy = told(server), Project(server)
        before = answers(quiet)
        with load(busy) as senders:
            whole_s = took_s(lambda: make(folder, target))
            for _ in range(ROUNDS):
                for third in THIRDS:
                    at = third + chance.uniform(-1 / 6, 1 / 6)
                    killed(at, whole_s, "backup", str(target), "--data", str(folder))
                    ok("backup", "check", str(target), "--all")
            sent_before = [sender.sent for sender in senders]
            made = make(folder, target)
            sent_after = [sender.sent + 1 for sender in senders]
        assert backups(target)[-1] == made["backup_id"]
        assert answers(quiet) == before
        assert server.stop() == 0

    restored = tmp_path / "restored"
    whole_s = took_s(lambda: ok("restore", str(target), "--to", str(tmp_path / "first")))
    for _ in range(ROUNDS):
        for third in THIRDS:
            at = third + chance.uniform(-1 / 6, 1 / 6)
            killed(at, whole_s, "restore", str(target), "--to", str(restored))
            done = run("ask", "schema", "--data", str(restored), "--project", quiet.project_id)
            # Either there is nothing yet, or all of it.
            assert (done.returncode == 0) == (restored / "control.db").exists()
            if done.returncode == 0:
                shutil.rmtree(restored)
    said = ok("restore", str(target), "--to", str(restored), "--check")
    assert "all is as it was" in said
    assert "is not empty" in fails("restore", str(target), "--to", str(restored))

    with Server(restored) as server:
        assert answers(quiet.again(server)) == before
        stored = {row["event_id"] for row in busy.again(server).stored()}
        assert server.stop() == 0
    for number, sender in enumerate(senders):
        mine = {each for each in stored if each.startswith(f"{number}-")}
        # What one sender had acknowledged, in its order, up to one moment.
        assert mine == {f"{number}-{n}" for n in range(len(mine))}
        assert sent_before[number] * 40 <= len(mine) <= sent_after[number] * 40
