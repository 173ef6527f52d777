"""The rest of the race: single events beside an empty application and PostgreSQL, batches, memory,
the start, the command line."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

from tests.support import Server

from benchmarks.ingest import measure_batches
from benchmarks.race import postgres, sql
from benchmarks.race.log import Log
from benchmarks.race.postgres import Cluster
from benchmarks.race.processes import bytes_below, cpu_s
from benchmarks.race.threadline import Threadline
from benchmarks.report import Report, memory, timed_s

CONNECTIONS = 32
ROUNDS = 3
STARTS = 5
# More than a server like ours takes; of the empty application, more than it takes.
MOST_PER_S = 20_000
MOST_EMPTY_PER_S = 60_000
THREADLINE = [sys.executable, "-m", "threadline.cli.main"]
SMALL = {"THREADLINE_MEMORY": "256M"}
EVENT_ID = b'"event_id":"'


class Loaded(NamedTuple):
    """What a server did. `cpu_us`: of its CPU for a request, in microseconds."""

    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


def measure(log: Log, loaded: Path, seconds: float, folder: Path) -> None:
    """`loaded`: the data folder that the questions were asked on, closed. `folder`: for files."""
    report = Report("race-writing", seconds=seconds, connections=CONNECTIONS)
    size = bytes_below(loaded) / log.events
    report.row("folder, all files", f"{size:.0f} bytes an event", target="≤ 45 at 1 M")
    measure_starts(report, loaded)
    measure_singles(report, log, seconds, folder)
    with Server(folder / "batches-data") as server:
        measure_batches(report, server, folder, seconds)
    report.save()


def measure_starts(report: Report, loaded: Path) -> None:
    helped = [_help() for _ in range(STARTS)]
    report.row("threadline --help", _seconds(helped), target="≤ 0.25 s")
    started = [_serve(loaded, {}) for _ in range(STARTS)]
    report.row("start to ready, the log loaded", _seconds(started), target="≤ 0.9 s")
    report.row("resident, idle", started[-1].memory, target="≤ 280 MB")
    small = _serve(loaded, SMALL)
    report.row("the same, THREADLINE_MEMORY=256M", small.memory, target="≤ 200 MB")


class Started(NamedTuple):
    """How long a command took until it was ready, and of CPU; the memory it had then, or why it
    never was."""

    wall_s: float
    cpu_s: float
    memory: str = ""


def _seconds(started: list[Started]) -> str:
    wall_s = statistics.median(each.wall_s for each in started)
    spent_s = statistics.median(each.cpu_s for each in started)
    return f"{wall_s:.2f} s, {spent_s:.2f} of CPU"


def _help() -> Started:
    before = os.times()
    took_s, _ = timed_s(
        lambda: subprocess.run([*THREADLINE, "--help"], capture_output=True, check=True)
    )
    after = os.times()
    spent_s = after.children_user + after.children_system
    return Started(took_s, spent_s - before.children_user - before.children_system)


def _serve(folder: Path, environ: dict[str, str]) -> Started:
    """Start a server, and end it as soon as it is ready."""
    begun = time.perf_counter()
    with subprocess.Popen(
        [*THREADLINE, "serve", "--data", str(folder)],
        env={**os.environ, "THREADLINE_PORT": "0", **environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stderr
        for line in server.stderr:
            if '"ready"' in line:
                took_s = time.perf_counter() - begun
                found = Started(took_s, cpu_s([server.pid]), memory(server.pid))
                server.terminate()
                break
            found = Started(0, 0, line.strip())
        server.stderr.read()
    return found


def measure_singles(report: Report, log: Log, seconds: float, folder: Path) -> None:
    """In turns: an empty application, Threadline, and what PostgreSQL takes by itself."""
    took: dict[str, list[Loaded]] = {"empty": [], "ours": [], "half": []}
    inserts: list[float] = []
    bodies = _bodies(log)
    with ExitStack() as opened:
        threadline = opened.enter_context(Threadline(folder / "singles-data"))
        empty = opened.enter_context(_empty())
        cluster = None
        if todo := postgres.missing():
            print(f"PostgreSQL takes no part: {todo}, and run this again.")
        else:
            cluster = opened.enter_context(Cluster())
            cluster.execute(sql.schema("postgres"))
        for _ in range(ROUNDS):
            path = folder / "bodies"
            _write(path, islice(bodies, int(MOST_EMPTY_PER_S * seconds)))
            took["empty"].append(_load(empty.url, path, empty.pid, seconds))
            _write(path, islice(bodies, int(MOST_PER_S * seconds)))
            url, pid = f"{threadline.url}/v1/track", threadline.pids[0]
            took["ours"].append(_load(url, path, pid, seconds, threadline.key))
            half = took["ours"][-1].per_s / 2
            _write(path, islice(bodies, int(half * seconds)))
            took["half"].append(_load(url, path, pid, seconds, threadline.key, half))
            if cluster:
                inserts.append(cluster.inserts_per_s(max(1, int(seconds)), CONNECTIONS))
    empty_found, ours, calm = (_median(loads) for loads in took.values())
    report.row(
        f"single events, {CONNECTIONS} connections",
        f"{ours.per_s:,.0f}/s",
        f"empty application {empty_found.per_s:,.0f}/s",
        f"{ours.per_s / empty_found.per_s:.0%} of it",
        "≥ 9,000/s, ≥ 30 %",
    )
    report.row(
        "the same, CPU of the server for each",
        f"{ours.cpu_us:,.0f} µs",
        f"empty application {empty_found.cpu_us:,.0f} µs",
        f"{empty_found.cpu_us / ours.cpu_us:.0%} of it",
    )
    report.row(
        f"p50 and p99 at half of it, {ours.per_s / 2:,.0f}/s",
        f"{calm.p50_ms:.1f} and {calm.p99_ms:.1f} ms",
        target="p99 ≤ 25 ms",
    )
    if inserts:
        of_postgres = statistics.median(inserts)
        report.row(
            "single events beside prepared inserts",
            f"{ours.per_s:,.0f}/s",
            f"PostgreSQL {of_postgres:,.0f}/s",
            f"{ours.per_s / of_postgres:.2f} times",
            "≥ 0.9 times",
        )


class Empty(NamedTuple):
    """Where an empty application answers."""

    url: str
    pid: int


@contextmanager
def _empty() -> Iterator[Empty]:
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.race.empty"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdin
        yield Empty(f"http://127.0.0.1:{int(process.stdout.readline())}/", process.pid)
        process.stdin.close()


def _bodies(log: Log) -> Iterator[bytes]:
    """Events of the log without end, each with an id of its own: a server that knows repeats would
    do less for the second."""
    lines = log.sent.read_bytes().splitlines()
    for number, line in enumerate(cycle(lines)):
        yield line.replace(EVENT_ID, b"%b%d-" % (EVENT_ID, number), 1)


def _write(path: Path, bodies: Iterator[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(body + b"\n" for body in bodies)


def _load(
    url: str, bodies: Path, pid: int, seconds: float, key: str = "", rate: float | None = None
) -> Loaded:
    command = [sys.executable, "-m", "benchmarks.race.load", url, str(bodies), "--key", key]
    command += ["--connections", str(CONNECTIONS), "--seconds", str(seconds)]
    if rate:
        command += ["--rate", str(rate)]
    before_s = cpu_s([pid])
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    spent_s = cpu_s([pid]) - before_s
    found: dict[str, Any] = json.loads(done.stdout)
    assert set(found["statuses"]) == {"202"}, found
    many = found["requests"]
    return Loaded(
        many / found["seconds"], found["p50_ms"], found["p99_ms"], spent_s / many * 1_000_000
    )


def _median(loads: list[Loaded]) -> Loaded:
    return Loaded(*(statistics.median(values) for values in zip(*loads, strict=True)))
