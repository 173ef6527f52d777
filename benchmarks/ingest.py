"""Writing: single requests and batches over HTTP, against an empty handler and the engine's limit.

python -m benchmarks.ingest --seconds 10
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from tests.support import Project, Server

from benchmarks.report import Report, memory, ms, rate
from benchmarks.stitching import UNTIL_MS
from threadline.cli.demo_log import DemoLog
from threadline.control import Control
from threadline.store import Store, store_url

CONNECTIONS = 64
BATCH_CONNECTIONS = 4
BATCH = 1000
Result = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report = Report("ingest", seconds=options.seconds, connections=CONNECTIONS)
        with Server(folder / "data") as server:
            report.row(
                "memory when ready and idle",
                memory(server.process.pid),
                target="≤ 450 MB",
            )
            measure_single(report, server, folder, options.seconds)
            written = measure_batches(report, server, folder, options.seconds)
            report.row("memory after it", memory(server.process.pid), target="≤ 1 GB")
            server.stop()
        measure_limit(report, folder / "data", written)
        measure_import(report, folder, options.seconds)
        report.save()


def measure_single(report: Report, server: Server, folder: Path, seconds: float) -> None:
    project = Project(server)
    events = map(msgspec.json.encode, _events(int(40_000 * seconds)))
    bodies = _write_bodies(folder / "single", islice(events, int(20_000 * seconds)))
    empty = _load(f"{server.url}/healthz", method="GET", seconds=seconds)
    single = _load(f"{server.url}/v1/track", project, bodies, seconds)
    assert set(single["statuses"]) == {"202"}, single
    # After the load: a question that begins now has to see every acknowledged event.
    started = time.perf_counter()
    counted = len(project.ask("/v1/query", limit=1)["rows"])
    assert counted == 1
    visible_s = time.perf_counter() - started
    report.row(
        "single track requests",
        rate(single["requests"], single["seconds"]),
        f"empty handler {rate(empty['requests'], empty['seconds'])}",
        f"{_per_second(single) / _per_second(empty):.0%} of it",
        "≥ 60 %, ≥ 8,000/s",
    )
    report.row(
        "single track, p50 and p99 at full load",
        f"{single['p50_ms']:.1f} and {single['p99_ms']:.1f} ms",
        f"empty handler {empty['p50_ms']:.1f} and {empty['p99_ms']:.1f} ms",
    )
    report.row("first query after it, all events in it", ms(visible_s))
    half = _per_second(single) / 2
    calm_bodies = _write_bodies(folder / "calm", islice(events, int(half * seconds)))
    calm = _load(f"{server.url}/v1/track", project, calm_bodies, seconds, rate=half)
    assert set(calm["statuses"]) == {"202"}, calm
    report.row(
        f"single track, p50 and p99 at {half:,.0f}/s",
        f"{calm['p50_ms']:.1f} and {calm['p99_ms']:.1f} ms",
        target="p99 ≤ 25 ms",
    )


def measure_batches(report: Report, server: Server, folder: Path, seconds: float) -> int:
    """The number of events that were acknowledged."""
    project = Project(server)
    events = _events(int(150_000 * seconds))
    batches = iter(lambda: list(islice(events, BATCH)), [])
    bodies = _write_bodies(
        folder / "batches", (msgspec.json.encode({"events": batch}) for batch in batches)
    )
    started = time.perf_counter()
    loaded = _load(f"{server.url}/v1/batch", project, bodies, seconds, BATCH_CONNECTIONS)
    assert set(loaded["statuses"]) == {"202"}, loaded
    while project.get("/v1/query", limit=1).headers.get("Threadline-Stale"):
        pass
    queryable_s = time.perf_counter() - started
    sent = loaded["requests"] * BATCH
    report.row(
        "batches of 1,000, acknowledged after fsync",
        rate(sent, loaded["seconds"]),
        target="≥ 100,000/s",
    )
    report.row("the same, until queryable", rate(sent, queryable_s))
    return int(sent)


def measure_import(report: Report, folder: Path, seconds: float) -> None:
    """A file into a folder that no server has open, until all of it is in the store."""
    count = int(100_000 * seconds)
    path = folder / "events.ndjson"
    _write_bodies(path, map(msgspec.json.encode, _events(count)))
    with Control(folder / "imported") as control:
        control.create_project("imported", [])
    command = [sys.executable, "-m", "threadline.cli.main", "import", str(path), "--data"]
    started = time.perf_counter()
    subprocess.run([*command, str(folder / "imported")], capture_output=True, check=True)
    report.row(
        "threadline import, until queryable",
        rate(count, time.perf_counter() - started),
        target="≥ the batch route",
    )


def measure_limit(report: Report, folder: Path, count: int) -> None:
    """The engine alone, on the same rows: INSERT SELECT into the same tables, states included."""
    with Store(store_url("chdb", folder)) as store:
        columns = "* EXCEPT (project_id)"
        started = time.perf_counter()
        store.execute(
            f"INSERT INTO events ({_names(store)}) SELECT 'again', {columns} FROM events"
            f" ORDER BY received_at DESC LIMIT {count}"
        )
        report.row(
            "the engine's own INSERT SELECT of the same rows",
            rate(count, time.perf_counter() - started),
        )


def _names(store: Store) -> str:
    rows = store.query("DESCRIBE TABLE events", {})
    return ", ".join(row["name"] for row in rows if row["default_type"] != "MATERIALIZED")


def _events(count: int) -> Iterator[Result]:
    log = DemoLog(count, max(1, count // 20), max(1, count // 100), seed=2, until_ms=UNTIL_MS)
    return (event for person in log.people() for _, event in person.sent)


def _write_bodies(path: Path, bodies: Iterable[bytes]) -> Path:
    """One a line."""
    with path.open("wb") as file:
        file.writelines(body + b"\n" for body in bodies)
    return path


def _load(
    url: str,
    project: Project | None = None,
    bodies: Path | None = None,
    seconds: float = 5,
    connections: int = CONNECTIONS,
    method: str = "POST",
    rate: float | None = None,
) -> Result:
    command = [
        sys.executable,
        "-m",
        "benchmarks.load_client",
        url,
        "--method",
        method,
        "--seconds",
        str(seconds),
        "--connections",
        str(connections),
    ]
    if project:
        command += ["--key", project.keys["sk"]]
    if rate:
        command += ["--rate", str(rate)]
    if bodies:
        command += ["--bodies", str(bodies)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: Result = json.loads(done.stdout)
    return result


def _per_second(result: Result) -> float:
    return float(result["requests"] / result["seconds"])


if __name__ == "__main__":
    main()
