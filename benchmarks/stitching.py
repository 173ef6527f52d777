"""Reading: the stitched questions against the plain join over raw events, in the same run.

    python -m benchmarks.stitching --events 10000000

The log goes through the same steps as over HTTP (decode, enrich, classify), but straight into the
store: the way in is measured by `benchmarks.ingest`.
"""

import argparse
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import duckdb
import msgspec
from tests.support import Server

from benchmarks.report import OUT, Report, median_s, medians_s, memory, ms, timed_s
from threadline.classify import NO_SITE
from threadline.cli.demo_log import DemoLog
from threadline.contract.bodies import Event
from threadline.contract.times import DAY_MS, Timestamp
from threadline.control import Control
from threadline.enrich import scrubber
from threadline.identity.activity import MOMENT_COLUMNS
from threadline.identity.reading import Reading, Reads
from threadline.identity.resolution import PROJECT, Policy, Resolution, resolve
from threadline.identity.states import STATES
from threadline.identity.stitch import first_touches, plain_events
from threadline.ingest.accept import accept
from threadline.ingest.context import IngestContext
from threadline.ingest.row import COLUMNS
from threadline.questions import (
    attribution,
    events,
    funnel,
    identity,
    journey,
    paths,
    places,
    retention,
    sessions,
    sources,
    stats,
    time_to_conversion,
    users,
)
from threadline.store import Params, Row, Store, store_url

UNTIL_MS = 1_790_812_800_000  # 2026-10-01: the log must not depend on the day it is made
BLOCK = 100_000
SCRUB = scrubber()
POLICIES: tuple[Policy, ...] = ("any", "first", "next")

# The query that the product replaces: all anonymous ids of each user, joined to all events.
PLAIN_JOIN = f"""
    WITH user_anons AS (
        SELECT DISTINCT user_id AS owner, anonymous_id
        FROM events
        WHERE {PROJECT} AND user_id IS NOT NULL AND NOT anonymous_id_made
    )
    SELECT owner, argMin((timestamp, event_id, source, medium), (timestamp, event_id)) AS touch
    FROM (
        SELECT ua.owner AS owner, e.timestamp AS timestamp, e.event_id AS event_id,
            toString(e.source) AS source, toString(e.medium) AS medium
        FROM events AS e
        INNER JOIN user_anons AS ua ON ua.anonymous_id = e.anonymous_id
        WHERE e.{PROJECT} AND (e.user_id IS NULL OR e.user_id = ua.owner)
        UNION ALL
        SELECT assumeNotNull(user_id), timestamp, event_id, toString(source), toString(medium)
        FROM events
        WHERE {PROJECT} AND user_id IS NOT NULL
    )
    GROUP BY owner"""

DUCKDB_JOIN = """
    WITH user_anons AS (
        SELECT DISTINCT user_id AS owner, anonymous_id
        FROM events
        WHERE user_id IS NOT NULL AND NOT anonymous_id_made
    )
    SELECT owner, arg_min((timestamp, event_id, source, medium), (timestamp, event_id)) AS touch
    FROM (
        SELECT ua.owner AS owner, e.timestamp, e.event_id, e.source, e.medium
        FROM events AS e
        INNER JOIN user_anons AS ua ON ua.anonymous_id = e.anonymous_id
        WHERE e.user_id IS NULL OR e.user_id = ua.owner
        UNION ALL
        SELECT user_id, timestamp, event_id, source, medium FROM events WHERE user_id IS NOT NULL
    )
    GROUP BY owner"""

NAMES = places.named("t.first_touch.place")

# Both sides give their answer to the same outer query, so only the question differs.
DIGEST = """
    SELECT count() AS users, sum(cityHash64(owner, touch.1, touch.2, touch.3, touch.4)) AS digest
    FROM ({answer})"""
FIRST_TOUCHES = """
    SELECT user_id AS owner,
        (first_touch.timestamp, first_touch.event_id, names.source, names.medium) AS touch
    FROM ({touches}) AS t
    {names}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--visitors", type=int, help="default: a twentieth of the events")
    parser.add_argument(
        "--times", type=int, default=1, help="so many times the events of the same visitors"
    )
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--load", action="store_true", help="make the data folder, and no more")
    parser.add_argument("--keep", action="store_true", help="keep the data folder for another run")
    options = parser.parse_args()
    visitors = options.visitors or options.events // 20
    count = options.events * options.times
    folder = OUT / f"stitching-{count}-{visitors}"
    project_id = "benchmark"
    size = folder / "raw_bytes"  # of the same events as JSON; there when all is loaded
    if not size.exists():
        shutil.rmtree(folder, ignore_errors=True)
        raw_bytes = load(folder, project_id, options.events, visitors, options.times)
        size.write_text(str(raw_bytes))
    if options.load:
        return
    report = Report(
        f"stitching-{count}-{visitors}",
        events=f"{count:,}",
        visitors=f"{visitors:,}",
        users=f"{visitors // 5:,}",
    )
    with Store(store_url("chdb", folder), query_seconds=300) as store:  # for the plain join
        report_disk(report, store, int(size.read_text()), count)
        report_first_touch(report, store, project_id, options.runs)
        report_duckdb(report, store, project_id)
        report_counting(report, store, project_id, options.runs)
        report_pages(report, store, project_id, options.runs)
    report_start(report, folder)
    report.save()
    if not options.keep:
        shutil.rmtree(folder)


# Everything once more and again, some minutes later each time.
MORE = """
    INSERT INTO events
    SELECT * REPLACE (
        timestamp + toIntervalSecond(661 * nth) AS timestamp,
        concat(event_id, '-', toString(nth)) AS event_id
    )
    FROM events ARRAY JOIN range(1, {times:UInt32}) AS nth"""


def load(folder: Path, project_id: str, count: int, visitors: int, times: int) -> int:
    """Fill a data folder; the size of the same events as JSON lines."""
    log = DemoLog(count, visitors, visitors // 5, seed=1, until_ms=UNTIL_MS)
    raw_bytes = 0
    started = time.perf_counter()
    with Store(store_url("chdb", folder)) as store:
        for number, (body, size) in enumerate(_blocks(log, project_id)):
            store.insert("events", COLUMNS, "MsgPack", body, f"benchmark-{number}")
            raw_bytes += size
            print(f"\rloading: {min(count, (number + 1) * BLOCK):,}", end="", flush=True)
        print(f"\rloaded {count:,} events in {time.perf_counter() - started:,.0f} s")
        if times > 1:
            print(f"making {times} times as many of them")
            store.execute(MORE, {"times": times})
        # Merged as a store of some age is, so that two runs compare.
        for table in ("events", *(state.table for state in STATES)):
            store.execute(f"OPTIMIZE TABLE {table} FINAL")
    return raw_bytes * times


def _blocks(log: DemoLog, project_id: str) -> Iterator[tuple[bytes, int]]:
    """Encoded rows, about `BLOCK` at a time, and the size of the same events as JSON lines."""
    senders: dict[str, IngestContext] = {}
    bodies: list[bytes] = []
    seen: set[str] = set()
    size = 0
    for person in log.people():
        for agent, event in person.sent:
            if event["event_id"] in seen:
                continue
            seen.add(event["event_id"])
            if agent not in senders:
                senders[agent] = IngestContext(
                    project_id=project_id,
                    site=NO_SITE,
                    scrub=SCRUB,
                    browser_key=False,
                    address="",
                    address_hash=bytes(16),
                    user_agent=agent,
                    country="",
                    salt=bytes(32),
                    id_key=0,
                    now_ms=UNTIL_MS,
                )
            line = msgspec.json.encode(event)
            size += len(line) + 1
            decoded = msgspec.json.decode(line, type=Event)
            bodies.append(accept([decoded], senders[agent], in_batch=False).rows.body)
        seen.clear()  # repeats are within one person
        if len(bodies) >= BLOCK:
            yield b"".join(bodies), size
            bodies, size = [], 0
    yield b"".join(bodies), size


def report_disk(report: Report, store: Store, raw_bytes: int, count: int) -> None:
    sql = """SELECT sum(bytes_on_disk) AS size FROM system.parts
        WHERE active AND database = currentDatabase()"""
    (row,) = store.query(sql, {})
    report.row(
        "disk per event, states included",
        f"{row['size'] / count:.0f} bytes",
        f"{raw_bytes / count:.0f} bytes of JSON",
        f"1/{raw_bytes / row['size']:.1f}",
        "≤ 1/8",
    )


def report_first_touch(report: Report, store: Store, project_id: str, runs: int) -> None:
    bound = {"project_id": project_id}
    plain = DIGEST.format(answer=PLAIN_JOIN)
    questions = [plain]
    for policy in POLICIES:
        touches = first_touches(resolve(store, project_id, policy))
        questions.append(DIGEST.format(answer=FIRST_TOUCHES.format(touches=touches, names=NAMES)))
    found, expected = store.query(questions[1], bound), store.query(plain, bound)
    assert found == expected, f"answers differ: {found} instead of {expected}"
    asks = [lambda sql=sql: store.query(sql, bound) for sql in questions]
    plain_s, *took = medians_s(asks, max(5, runs))
    for policy, took_s in zip(POLICIES, took, strict=True):
        report.row(
            f"first touch of all users, {policy}",
            ms(took_s),
            f"plain join {ms(plain_s)}",
            f"{plain_s / took_s:.1f} times faster",
            "≥ 20 times" if policy == "any" else "–",
        )


def report_duckdb(report: Report, store: Store, project_id: str) -> None:
    """The plain join on another engine, over the columns it needs, in its own format."""
    columns = "anonymous_id, anonymous_id_made, user_id, timestamp, event_id, source, medium"
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "events.parquet"
        sql = f"SELECT {columns} FROM events WHERE {PROJECT}"
        store.save(sql, {"project_id": project_id}, "Parquet", path)
        with duckdb.connect(str(Path(name) / "db")) as db:
            db.execute(f"CREATE TABLE events AS SELECT * FROM '{path}'")
            digest = f"SELECT count(*), sum(hash(owner, touch)::HUGEINT) FROM ({DUCKDB_JOIN})"
            took_s = median_s(lambda: db.execute(digest).fetchall(), 3)
    report.row("first touch of all users, plain join on DuckDB", ms(took_s))


def report_counting(report: Report, store: Store, project_id: str, runs: int) -> None:
    """People against devices: the same questions, with and without asking whose an event is."""
    reading, on = Reading(store, project_id), resolve(store, project_id, "next")
    persons = stats.Params(metric="persons", from_=MONTH)
    bound = {"project_id": project_id, "from_": "2026-09-01 00:00:00"}
    devices = f"""SELECT uniq(anonymous_id) FROM events
        WHERE {PROJECT} AND NOT is_bot AND timestamp >= {{from_:DateTime64(3, 'UTC')}}"""
    pairs: dict[str, tuple[Callable[[], object], Callable[[], object], str]] = {
        "persons, 30 days": (
            lambda: stats.ask(reading, on, persons),
            lambda: store.query(devices, bound),
            "≤ 1.2 times",
        ),
        "funnel of three steps": (
            lambda: funnel.ask(reading, on, FUNNEL),
            _unstitched(funnel, lambda: funnel.ask(reading, on, FUNNEL)),
            "≤ 1.5 times",
        ),
        "weekly retention": (
            lambda: retention.ask(reading, on, retention.Params()),
            _unstitched(retention, lambda: retention.ask(reading, on, retention.Params())),
            "≤ 1.5 times",
        ),
        "attribution, linear": (
            lambda: attribution.ask(reading, on, ATTRIBUTION),
            _unstitched(attribution, lambda: attribution.ask(reading, on, ATTRIBUTION)),
            "–",
        ),
    }
    for name, (stitched, plain, target) in pairs.items():
        plain_s, stitched_s = medians_s([plain, stitched], runs)
        report.row(
            f"{name}, next",
            ms(stitched_s),
            f"by anonymous_id {ms(plain_s)}",
            f"{stitched_s / plain_s:.2f} times",
            target,
        )


MONTH = Timestamp(UNTIL_MS - 30 * DAY_MS)  # the last 30 days
FUNNEL = funnel.Params(steps="$pageview,signup,purchase", window="30d")
ATTRIBUTION = attribution.Params(conversion="signup", model="linear")


def _unstitched(question: ModuleType, ask: Callable[[], object]) -> Callable[[], object]:
    """The same question with devices in the place of people, read from the events."""
    devices = {"person_events": _device_events, "ask_moments": _device_moments}

    def asked() -> object:
        with ExitStack() as patched:
            for name in devices.keys() & vars(question).keys():
                patched.enter_context(patch.object(question, name, devices[name]))
            return ask()

    return asked


def _device_events(on: Resolution, columns: dict[str, str], where: str = "TRUE") -> str:
    return plain_events(on, {"person": "e.visitor", **columns}, where)


def _device_moments(
    reads: Reads, on: Resolution, sql: Callable[[str], str], bound: Params, *_: object, **__: object
) -> list[Row]:
    return reads.query(sql(_device_events(on, MOMENT_COLUMNS)), bound)


def report_pages(report: Report, store: Store, project_id: str, runs: int) -> None:
    reading = Reading(store, project_id)
    grounds = {policy: resolve(store, project_id, policy) for policy in POLICIES}
    anyone = grounds["any"]
    listed = users.ask(reading, anyone, users.Params(limit=1000)).rows
    some = random.Random(1).sample([user.user_id for user in listed], 50)
    for policy in POLICIES:
        took = []
        for user_id in some:
            took.append(
                median_s(
                    lambda u=user_id, p=policy: (  # type: ignore[misc]
                        journey.ask(reading, grounds[p], journey.Params(), u)
                    ),
                    3,
                )
            )
        report.row(
            f"one user's journey, {policy}: median of 50 users",
            ms(sorted(took)[25]),
            target="≤ 30 ms at 10 M",
        )
        report.row(f"one user's journey, {policy}: slowest of 50", ms(max(took)))
    one = some[0]
    pages = {
        "one user's profile": lambda: users.profile(reading, anyone, one),
        "users, 100 newest": lambda: users.ask(reading, anyone, users.Params()),
        "users, 100 newest with conversion": lambda: users.ask(
            reading, anyone, users.Params(conversion="signup")
        ),
        "users from facebook / paid": lambda: users.ask(
            reading, anyone, users.Params(source="facebook", medium="paid")
        ),
        "attribution, last non-direct, 30 days": lambda: attribution.ask(
            reading, grounds["next"], attribution.Params(conversion="signup", from_=MONTH)
        ),
        "funnel of three steps, 30 days": lambda: funnel.ask(
            reading, grounds["next"], msgspec.structs.replace(FUNNEL, from_=MONTH)
        ),
        "paths before signup, 30 days": lambda: paths.ask(
            reading, grounds["next"], paths.Params(event="signup", direction="before", from_=MONTH)
        ),
        "sessions by source": lambda: sessions.ask(
            reading, grounds["next"], sessions.Params(group_by="source")
        ),
        "weekly retention": lambda: retention.ask(reading, grounds["next"], retention.Params()),
        "persons by day and source, 30 days": lambda: stats.ask(
            reading,
            grounds["next"],
            stats.Params(
                metric="persons",
                from_=MONTH,
                interval="day",
                group_by="source",
            ),
        ),
        "sources, 30 days": lambda: sources.ask(
            reading, grounds["next"], sources.Params(from_=MONTH)
        ),
        "identity stats": lambda: identity.stats(reading, grounds["next"], 0),
        "shared devices": lambda: identity.shared_devices(
            reading, grounds["next"], identity.SharedParams()
        ),
        "events, 100 newest": lambda: events.ask(reading, project_id, events.Params()),
        "time to conversion by source, any": lambda: time_to_conversion.ask(
            reading,
            anyone,
            time_to_conversion.Params(conversion="signup", group_by="source,medium"),
        ),
        "time to conversion by source, next": lambda: time_to_conversion.ask(
            reading,
            grounds["next"],
            time_to_conversion.Params(conversion="signup", group_by="source,medium"),
        ),
    }
    for name, ask in pages.items():
        report.row(name, ms(median_s(ask, runs)), target="≤ 500 ms at 10 M")


def report_start(report: Report, folder: Path) -> None:
    with Control(folder) as control:
        if not control.projects():
            control.create_project("benchmark", [])

    took_s, server = timed_s(lambda: Server(folder))
    with server:
        report.row("start to ready", f"{took_s:.2f} s", target="≤ 3 s at 10 M")
        report.row(
            "memory when ready and idle",
            memory(server.process.pid),
            target="≤ 450 MB",
        )
        server.stop()


if __name__ == "__main__":
    main()
