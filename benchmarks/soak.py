"""A week in an hour, or in whatever time there is: does anything grow that should not?

    python -m benchmarks.soak                     a week in two minutes
    python -m benchmarks.soak --seconds 3600

A server whose clock goes faster is sent events and asked questions all the time. At its midnights
salts change and events that are older than two days go; every day it backs itself up, of which the
newest two stay, keys are rotated, somebody is forgotten and somebody else made anonymous. Four
times a day it is looked at: memory, handles and what they are of, threads, parts, disk, log,
backups. From the fourth day on as much goes as comes, and all of it has to be flat: exit status 1
if something is not. The last backup has to restore. What Threadline prints is its standard error,
which whoever starts it rotates: there is no file of it.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

from tests.support import Json, Project, Server

from benchmarks.report import OUT, Report, memory_kb
from threadline.control import Control
from threadline.runtime.socket_store import SocketStore

DAYS, DAY_S = 7, 86_400
LOOKS_A_DAY = 4
KEEP_DAYS = 2
EVENTS_AT_ONCE = 50
VISITORS_A_DAY = 200
PARTS = """
    SELECT count() AS parts FROM system.parts WHERE active AND database = currentDatabase()"""
EVENTS = "SELECT count() AS events FROM events"
QUESTIONS: tuple[tuple[str, dict[str, str]], ...] = (
    ("/v1/stats", {"metric": "persons", "group_by": "source"}),
    ("/v1/stats", {"metric": "visits", "interval": "day"}),
    ("/v1/users", {"limit": "20"}),
    ("/v1/funnel", {"steps": "$pageview,purchase"}),
    ("/v1/attribution", {"conversion": "purchase"}),
)
# The days that are compared, and how much more there may be in the second.
BEFORE, AFTER = (3.0, 4.0), (6.0, 7.0)
MORE = {
    "memory_mb": 1.25,
    "handles": 1.25,
    "threads": 1.25,
    "parts": 1.5,
    "disk_mb": 1.5,
    "log_mb": 1.5,
    # Ids of events are remembered for seven days, so with these they grow until the week is over.
    "backups_mb": 7 / 3,
}


class SoakedServer(Server):
    """Ours, by its own clock."""

    module = "benchmarks.soaked_server"


class Looked(NamedTuple):
    """What there is of the server at one moment. `day`: by its clock, since it began."""

    day: float
    memory_mb: float
    handles: int
    threads: int
    parts: int
    disk_mb: float
    log_mb: float
    backups_mb: float
    events: int
    handles_of: str
    """What handles are of, and how many of each."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="for the week")
    parser.add_argument("--events-a-second", type=float, default=300)
    options = parser.parse_args()
    folder = OUT / "soak"
    shutil.rmtree(folder, ignore_errors=True)
    report = Report("soak", seconds=options.seconds, keep_days=KEEP_DAYS)
    began_ns, speed = time.time_ns(), DAYS * DAY_S / options.seconds
    backups = OUT / "soak-backups"
    shutil.rmtree(backups, ignore_errors=True)
    environ = {
        "SOAK_SPEED": str(speed),
        "SOAK_BEGAN": str(began_ns),
        "THREADLINE_BACKUP_EVERY": "1d",
        "THREADLINE_BACKUP_TO": str(backups),
        "THREADLINE_BACKUP_KEEP": "2",
    }
    with SoakedServer(folder, **environ) as server:
        soak = Soak(server, backups, speed, options.events_a_second)
        looked = []
        for each in soak.run():
            looked.append(each)
            cells = [
                f"{name} {value:,.0f}" for name, value in each._asdict().items() if name in MORE
            ]
            cells += [f"{each.events:,} events", f"handles of {each.handles_of}"]
            report.row(f"day {each.day:.2f}", ", ".join(cells))
        status = server.stop()
        errors = [line for line in server.lines if '"error"' in line]
    report.row("sent and asked", f"{soak.sent:,} events, {soak.asked:,} questions")
    for what, event in (("retention", "events_expired"), ("backups", "backup_made")):
        report.row(what, f"{sum(event in line for line in server.lines)} times")
    report.save()
    wrong = [f"the server ended with {status}"] if status else []
    wrong += [*errors[:5], *grown(looked), *unrestored(backups, environ)]
    shutil.rmtree(folder)
    shutil.rmtree(backups)
    sys.exit("\n".join(wrong) if wrong else 0)


def grown(looked: Sequence[Looked]) -> Iterator[str]:
    """Whatever is not flat."""
    for name, most in MORE.items():
        before, after = (
            statistics.median(getattr(each, name) for each in looked if a <= each.day <= z)
            for a, z in (BEFORE, AFTER)
        )
        if after > before * most:
            yield f"{name} grew from {before:,.1f} to {after:,.1f}"


def unrestored(backups: Path, environ: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the last backup, by the clock that it was made by: by an earlier one what
    it holds is in the future."""
    command = [sys.executable, "-m", SoakedServer.module, "restore", str(backups), "--check"]
    with tempfile.TemporaryDirectory(dir=OUT) as folder:
        restored = subprocess.run(
            [*command, "--to", f"{folder}/data"],
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            check=False,
        )
    if restored.returncode:
        yield f"the last backup: {restored.stderr or restored.stdout}"


class Soak:
    """What is done to the server, one thing after the other."""

    def __init__(self, server: Server, backups: Path, speed: float, rate: float) -> None:
        """`rate`: events a second of ours."""
        self._server = server
        self._backups = backups
        self._speed = speed
        self._rate = rate
        self._began = time.monotonic()
        self._project = Project(server)
        path = f"/v1/projects/{self._project.project_id}"
        keeping = {"keep_days": KEEP_DAYS, "keep_days_by_event": {"$pageview": 1}}
        assert self._project.change("PUT", path, keeping).status == 200
        self.sent = self.asked = 0

    @property
    def _day(self) -> float:
        return (time.monotonic() - self._began) * self._speed / DAY_S

    def run(self) -> Iterator[Looked]:
        """A look a few times a day, and work in between."""
        looks = 0
        while self._day < DAYS:
            self._send()
            self._ask()
            if self._day * LOOKS_A_DAY >= looks + 1:
                looks = int(self._day * LOOKS_A_DAY)
                yield self._look()
                if looks % LOOKS_A_DAY == 0:
                    self._once_a_day(looks // LOOKS_A_DAY)
        yield self._look()

    def _send(self) -> None:
        while self.sent < (time.monotonic() - self._began) * self._rate:
            self._project.batch([self._event(self.sent + n) for n in range(EVENTS_AT_ONCE)])
            self.sent += EVENTS_AT_ONCE

    def _event(self, number: int) -> Json:
        who = f"{int(self._day)} {number % VISITORS_A_DAY}"
        event: Json = {
            "event": "purchase" if number % 20 == 0 else "$pageview",
            "event_id": f"event {number}",
            "anonymous_id": f"device {who}",
            "url": f"https://shop.example/{number % 30}?utm_source=s{number % 7}",
            "properties": {"amount": number % 100},
        }
        if number % 3 == 0:
            event["user_id"] = f"user {who}"
        return event

    def _ask(self) -> None:
        path, params = QUESTIONS[self.asked % len(QUESTIONS)]
        try:
            self._project.get(path, **params)
        except (OSError, HTTPException):  # kept for longer than its clock allows
            self._project = self._project.again()
        self.asked += 1

    def _once_a_day(self, day: int) -> None:
        """Keys are new, and two people of the day before go."""
        with Control(self._server.folder) as control:
            for kind, key in list(self._project.keys.items()):
                token, _ = control.rotate_key("_".join(key.split("_")[:3]))
                self._project.keys[kind] = str(token)
        for whom in ({"user_id": f"user {day - 1} 0"}, {"user_id": f"user {day - 1} 3"}):
            anonymise = whom["user_id"].endswith("3")
            reply = self._project.post("/v1/forget", {**whom, "anonymise": anonymise})
            assert reply.status == 200, reply

    def _look(self) -> Looked:
        pid, store = self._server.process.pid, SocketStore(self._server.folder)
        files = _files(self._server.folder)
        log = [path for path in files if path.name.startswith("log.db")]
        of = Counter(_kind(path) for path in Path(f"/proc/{pid}/fd").iterdir())
        return Looked(
            self._day,
            memory_kb(pid)["RssAnon"] / 1024,
            of.total(),
            len(list(Path(f"/proc/{pid}/task").iterdir())),
            store.query(PARTS, {})[0]["parts"],
            _mb(files),
            _mb(log),
            _mb(_files(self._backups)),
            store.query(EVENTS, {})[0]["events"],
            " ".join(f"{kind} {count}" for kind, count in sorted(of.items())),
        )


def _files(folder: Path) -> list[Path]:
    # Folders may go while it is walked through, which `rglob` does not bear.
    return [Path(root) / name for root, _, names in os.walk(folder) for name in names]


def _kind(handle: Path) -> str:
    """`socket`, `pipe`, or the ending of a file's name."""
    try:
        target = str(handle.readlink())
    except FileNotFoundError:
        return "gone"
    return target.partition(":")[0] if ":" in target else Path(target).suffix or "file"


def _mb(files: Sequence[Path]) -> float:
    """Of those that are still there."""
    size = 0
    for path in files:
        try:
            size += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return size / 1024**2


if __name__ == "__main__":
    main()
