"""The same questions to one ClickHouse server and to a cluster of shards on the same machine.

    python -m benchmarks.sharding --events 1000000

All nodes share this machine's cores, so how long an answer takes says nothing about a cluster of
machines: what counts is the CPU of the busiest node, and how much comes to the one that was asked.
Beside that stands what it is if all people are sent there, and not only those who are known.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import msgspec
from tests.clickhouse_cluster import Cluster, Node

from benchmarks.report import Report
from benchmarks.stitching import ATTRIBUTION, FUNNEL, MONTH, blocks_of
from threadline.ingest.row import COLUMNS
from threadline.questions import (
    attribution,
    funnel,
    paths,
    retention,
    sources,
    stats,
    stats_shapes,
    users,
    users_shapes,
    visits,
)
from threadline.questions.context import Context
from threadline.store import Store

PROJECT_ID = "benchmark"
SHARDS = 3
TICKS = os.sysconf("SC_CLK_TCK")

MORE = """
    INSERT INTO events
    SELECT * REPLACE (
        concat(anonymous_id, '~', toString(nth)) AS anonymous_id,
        concat(user_id, '~', toString(nth)) AS user_id,
        concat(event_id, '~', toString(nth)) AS event_id
    )
    FROM events ARRAY JOIN range(1, {times:UInt32}) AS nth"""

Ask = Callable[[Context], object]
ASKED: Mapping[str, Ask] = {
    "persons, 30 days": lambda c: stats.ask(
        c, stats_shapes.StatsParams(metric="persons", from_=MONTH)
    ),
    "persons": lambda c: stats.ask(c, stats_shapes.StatsParams(metric="persons")),
    "persons by day": lambda c: stats.ask(
        c, stats_shapes.StatsParams(metric="persons", interval="day")
    ),
    "persons by first source": lambda c: stats.ask(
        c, stats_shapes.StatsParams(metric="persons", group_by="first.source")
    ),
    "sources": lambda c: sources.ask(c, sources.SourcesParams()),
    "visits": lambda c: visits.ask(c, visits.VisitsParams()),
    "funnel of three steps": lambda c: funnel.ask(c, FUNNEL),
    "weekly retention": lambda c: retention.ask(c, retention.RetentionParams()),
    "paths": lambda c: paths.ask(c, paths.PathsParams(event="signup", direction="before")),
    "users": lambda c: users.ask(c, users_shapes.UsersParams()),
    "attribution, linear": lambda c: attribution.ask(c, ATTRIBUTION),
}


class Cost(NamedTuple):
    """CPU seconds of each node, bytes that came to the node that was asked, seconds until then."""

    cpu_s: list[float]
    bytes_in: int
    took_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--visitors", type=int, help="default: a twentieth of the events")
    parser.add_argument(
        "--times", type=int, default=1, help="so many times as many, of other visitors and users"
    )
    parser.add_argument(
        "--users", type=float, default=0.2, help="which part of the visitors become users"
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", help="questions whose names hold this")
    options = parser.parse_args()
    visitors = options.visitors or options.events // 20
    users = int(visitors * options.users)
    events, people = options.events * options.times, visitors * options.times
    report = Report(
        f"sharding-{events}-{people}-{users * options.times}",
        events=f"{events:,}",
        visitors=f"{people:,}",
        users=f"{users * options.times:,}",
        shards=SHARDS,
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        Cluster(Path(folder) / "one", shards=1, memory=6 << 30) as alone,
        Cluster(Path(folder) / "shards", shards=SHARDS, memory=6 << 30) as shards,
        Store(alone.nodes[0].url("threadline"), query_seconds=600) as one,
        Store(shards.url("threadline"), query_seconds=600) as several,
    ):
        load([one, several], options.events, visitors, options.times, users)
        for name, ask in ASKED.items():
            if options.only and options.only not in name:
                continue
            a, alone_costs = asked(one, alone.nodes, ask, options.runs)
            b, costs = asked(several, shards.nodes, ask, options.runs)
            with patch.object(Context, "is_divided", False):
                c, sending_all = asked(several, shards.nodes, ask, options.runs)
            assert a == b == c, f"{name}: answers differ"
            report_one(report, name, alone_costs, costs, sending_all)
    report.save()


def load(
    stores: list[Store], events: int, visitors: int, times: int, users: int | None = None
) -> None:
    """The same log into each of them, merged as it is after some time."""
    started = time.perf_counter()
    for number, (body, _) in enumerate(blocks_of(events, visitors, PROJECT_ID, users)):
        for store in stores:
            store.insert("events", COLUMNS, "MsgPack", body, f"benchmark-{number}")
        print(f"\rloading: block {number + 1}", end="", flush=True)
    for store in stores:
        if times > 1:
            print(f"\rmaking {times} times as many", end="", flush=True)
            store.execute(MORE, {"times": times})
        for node in store.nodes:
            rows = node.query(
                "SELECT name FROM system.tables WHERE database = currentDatabase()"
                " AND engine LIKE '%MergeTree'",
                {},
            )
            for row in rows:
                node.arrange(f"OPTIMIZE TABLE {row['name']} FINAL")
    print(f"\rloaded in {time.perf_counter() - started:,.0f} s\n", flush=True)


def asked(store: Store, nodes: list[Node], ask: Ask, runs: int) -> tuple[bytes, Cost]:
    """The answer, and the medians of what it cost, after one to warm up."""
    answer = msgspec.json.encode(ask(Context(store, PROJECT_ID, "next")))
    costs: list[Cost] = []
    for _ in range(runs):
        before, bytes_before = [cpu_s(node) for node in nodes], bytes_in(nodes[0])
        started = time.perf_counter()
        ask(Context(store, PROJECT_ID, "next"))
        took_s = time.perf_counter() - started
        cpu = [cpu_s(node) - used for node, used in zip(nodes, before, strict=True)]
        costs.append(Cost(cpu, bytes_in(nodes[0]) - bytes_before, took_s))
    costs.sort(key=lambda cost: max(cost.cpu_s))
    return answer, costs[len(costs) // 2]


def report_one(report: Report, name: str, alone: Cost, cost: Cost, sending_all: Cost) -> None:
    busiest = max(cost.cpu_s)
    report.row(
        name,
        f"{told(cost)} (all people: {told(sending_all)})",
        f"one node {alone.cpu_s[0]:.2f} s",
        f"{busiest / max(alone.cpu_s[0], 0.01):.2f}",
        "≤ 0.6",
    )


def told(cost: Cost) -> str:
    return (
        f"busiest node {max(cost.cpu_s):.2f} s, all {sum(cost.cpu_s):.2f} s,"
        f" {cost.bytes_in / 1e6:.2f} MB to the asked"
    )


def cpu_s(node: Node) -> float:
    fields = Path(f"/proc/{node.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def bytes_in(node: Node) -> int:
    sql = "SELECT value FROM system.events WHERE event = 'NetworkReceiveBytes'"
    return int(node.query(sql).strip() or 0)


if __name__ == "__main__":
    main()
