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
from functools import cached_property, partial
from pathlib import Path
from textwrap import dedent, indent
from types import ModuleType
from unittest.mock import patch

import duckdb
import msgspec
from tests.support import Server

from benchmarks.deciding import report_decisions
from benchmarks.report import OUT, Report, median_s, medians_s, memory, ms, timed_s
from threadline.classify import NO_SITE
from threadline.cli.demo_log import DemoLog
from threadline.contract.bodies import Event
from threadline.contract.policies import POLICIES
from threadline.contract.times import DAY_MS, Timestamp
from threadline.control import Control
from threadline.enrich import scrubber
from threadline.identity.activity import EVERY_EVENT
from threadline.identity.compose import fill, where
from threadline.identity.kept import Keeper
from threadline.identity.resolution import PROJECT, Resolution, in_range
from threadline.identity.states import STATES
from threadline.identity.stitch import relations
from threadline.ingest.accept import accept
from threadline.ingest.context import IngestContext
from threadline.ingest.row import COLUMNS
from threadline.questions import (
    attribution,
    attribution_shapes,
    credit,
    events,
    funnel,
    identity,
    journey,
    paths,
    profile,
    retention,
    sources,
    stats,
    stats_shapes,
    time_to_conversion,
    users,
    users_shapes,
    visits,
)
from threadline.questions.context import Context
from threadline.store import Params, Store, store_url

UNTIL_MS = 1_790_812_800_000  # 2026-10-01: the log must not depend on the day it is made
BLOCK = 100_000
SCRUB = scrubber()

# The query that the product replaces: all anonymous ids of each user, joined to all events.
PLAIN_JOIN = f"""
    WITH user_anons AS (
        SELECT DISTINCT user_id AS owner, anonymous_id
        FROM events
        WHERE {PROJECT} AND user_id IS NOT NULL AND NOT anonymous_id_generated
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
        WHERE user_id IS NOT NULL AND NOT anonymous_id_generated
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

# Both sides give their answer to the same outer query, so only the question differs.
DIGEST = """
SELECT count() AS users, sum(cityHash64(owner, touch.1, touch.2, touch.3, touch.4)) AS digest
FROM touches"""
AS_JOIN = f"WITH touches AS (\n{indent(dedent(PLAIN_JOIN), '    ')}\n)\n{DIGEST.strip()}"
AS_STATES = f"""
WITH touches AS (
    SELECT t.user_id AS owner,
        (t.first_touch.timestamp, t.first_touch.event_id, n.source, n.medium) AS touch
    FROM first_touches AS t
    LEFT ANY JOIN named_sources AS n ON n.traffic_source = t.first_touch.traffic_source
)
{DIGEST.strip()}"""
# What `person_events` is where nobody asks whose an event is.
DEVICE_EVENTS = "SELECT visitor AS person, * EXCEPT (visitor, user_hash) FROM considered"


class Unstitched(Context):
    """The same questions with devices in the place of people."""

    @cached_property
    def _relations(self) -> dict[str, str]:
        return {**relations(self.resolution), "person_events": DEVICE_EVENTS}


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
        report_decisions(report, store, project_id, options.runs, MONTH)
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
    raw_bytes = 0
    started = time.perf_counter()
    with Store(store_url("chdb", folder)) as store:
        for number, (body, size) in enumerate(blocks_of(count, visitors, project_id)):
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


def blocks_of(
    count: int, visitors: int, project_id: str, users: int | None = None
) -> Iterator[tuple[bytes, int]]:
    """A log: encoded rows, about `BLOCK` at a time, and the size of the same events as JSON.
    `users`: how many sign up; a fifth of the visitors, where nothing is said."""
    made = visitors // 5 if users is None else users
    log = DemoLog(count, visitors, made, seed=1, until_ms=UNTIL_MS)
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
    (state,) = store.query(f"{sql} AND table = 'half_hours'", {})
    report.row(
        "disk of half hours, which visits come from",
        f"{state['size'] / 2**20:.0f} MiB",
        f"{row['size'] / 2**20:.0f} MiB of all",
        f"{state['size'] / count:.1f} bytes an event",
    )
    report.row(
        "disk per event, states included",
        f"{row['size'] / count:.0f} bytes",
        f"{raw_bytes / count:.0f} bytes of JSON",
        f"1/{raw_bytes / row['size']:.1f}",
        "≤ 1/8",
    )


def report_first_touch(report: Report, store: Store, project_id: str, runs: int) -> None:
    plain = (AS_JOIN, {"project_id": project_id})
    questions = [plain, *(Context(store, project_id, p).query(AS_STATES) for p in POLICIES)]
    found, expected = store.query(*questions[1]), store.query(*plain)
    assert found == expected, f"answers differ: {found} instead of {expected}"
    asks = [partial(store.query, *query) for query in questions]
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
    columns = "anonymous_id, anonymous_id_generated, user_id, timestamp, event_id, source, medium"
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
    on = Context(store, project_id, "next", keeper=Keeper(store, beside=lambda work: work()))
    devices = Unstitched(store, project_id, "next")
    persons = stats_shapes.StatsParams(metric="persons", from_=MONTH)
    values = {"project_id": project_id, "from_": "2026-09-01 00:00:00"}
    uniques = f"""SELECT uniq(anonymous_id) FROM events
        WHERE {PROJECT} AND NOT is_bot AND timestamp >= {{from_:DateTime64(3, 'UTC')}}"""
    asks: dict[str, tuple[ModuleType, Callable[[Context], object], str]] = {
        "funnel of three steps": (funnel, lambda c: funnel.ask(c, FUNNEL), "≤ 1.5 times"),
        "weekly retention": (
            retention,
            lambda c: retention.ask(c, retention.RetentionParams()),
            "≤ 1.5 times",
        ),
        "attribution, linear": (attribution, lambda c: attribution.ask(c, ATTRIBUTION), "–"),
    }
    pairs: dict[str, tuple[Callable[[], object], Callable[[], object], str]] = {
        "persons, 30 days": (
            lambda: stats.ask(on, persons),
            lambda: store.query(uniques, values),
            "≤ 1.2 times",
        ),
        **{
            name: (partial(ask, on), partial(_unstitched(question, ask), devices), target)
            for name, (question, ask, target) in asks.items()
        },
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
FUNNEL = funnel.FunnelParams(steps="$pageview,signup,purchase", window="30d")
ATTRIBUTION = attribution_shapes.AttributionParams(conversion="signup", model="linear")


def _from_events(on: Resolution, values: Params, *_: object, **__: object) -> str:
    inside = where(in_range("timestamp", values))
    return fill(EVERY_EVENT, {"inside": inside, "of_events": ""})


def _unstitched(question: ModuleType, ask: Callable[[Context], object]) -> Callable[..., object]:
    """The question asked of devices, and of events where it could do with less."""

    def asked(devices: Context) -> object:
        with ExitStack() as patched:
            if hasattr(question, "active"):
                patched.enter_context(patch.object(question, "active", _from_events))
            return ask(devices)

    return asked


def report_pages(report: Report, store: Store, project_id: str, runs: int) -> None:
    # As the server asks: owners of devices are in memory.
    keeper = Keeper(store, beside=lambda work: work())
    contexts = {policy: Context(store, project_id, policy, keeper=keeper) for policy in POLICIES}
    anyone = contexts["any"]
    listed = users.ask(anyone, users_shapes.UsersParams(limit=1000)).rows
    some = random.Random(1).sample([user.user_id for user in listed], 50)
    for policy in POLICIES:
        took = []
        for user_id in some:
            took.append(
                median_s(
                    lambda u=user_id, p=policy: (  # type: ignore[misc]
                        journey.ask(contexts[p], journey.JourneyParams(user_id=u))
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
        "one user's profile": lambda: profile.ask(anyone, profile.ProfileParams(user_id=one)),
        "users, 100 newest": lambda: users.ask(anyone, users_shapes.UsersParams()),
        "users, 100 newest with conversion": lambda: users.ask(
            anyone, users_shapes.UsersParams(conversion="signup")
        ),
        "users from facebook / paid": lambda: users.ask(
            anyone, users_shapes.UsersParams(source="facebook", medium="paid")
        ),
        "attribution, last non-direct, 30 days": lambda: attribution.ask(
            contexts["next"], attribution_shapes.AttributionParams(conversion="signup", from_=MONTH)
        ),
        "funnel of three steps, 30 days": lambda: funnel.ask(
            contexts["next"], msgspec.structs.replace(FUNNEL, from_=MONTH)
        ),
        "paths before signup, 30 days": lambda: paths.ask(
            contexts["next"], paths.PathsParams(event="signup", direction="before", from_=MONTH)
        ),
        "visits by source": lambda: visits.ask(
            contexts["next"], visits.VisitsParams(group_by="source")
        ),
        "attribution, one model": lambda: attribution.ask(
            contexts["next"], attribution_shapes.AttributionParams(conversion="signup")
        ),
        "attribution, all six side by side": lambda: attribution.ask(
            contexts["next"],
            attribution_shapes.AttributionParams(
                conversion="signup", model=",".join(credit.MODELS)
            ),
        ),
        "weekly retention": lambda: retention.ask(contexts["next"], retention.RetentionParams()),
        "persons by day and source, 30 days": lambda: stats.ask(
            contexts["next"],
            stats_shapes.StatsParams(
                metric="persons",
                from_=MONTH,
                interval="day",
                group_by="source",
            ),
        ),
        "sources, 30 days": lambda: sources.ask(
            contexts["next"], sources.SourcesParams(from_=MONTH)
        ),
        "identity stats": lambda: identity.stats(contexts["next"], identity.IdentityStatsParams()),
        "shared devices": lambda: identity.shared_devices(
            contexts["next"], identity.SharedDevicesParams()
        ),
        "events, 100 newest": lambda: events.ask(anyone, events.EventsParams()),
        "time to conversion by source, any": lambda: time_to_conversion.ask(
            anyone,
            time_to_conversion.TimeToConversionParams(
                conversion="signup", group_by="source,medium"
            ),
        ),
        "time to conversion by source, next": lambda: time_to_conversion.ask(
            contexts["next"],
            time_to_conversion.TimeToConversionParams(
                conversion="signup", group_by="source,medium"
            ),
        ),
    }
    for name, ask in pages.items():
        target = TARGETS.get(name, "≤ 500 ms at 10 M")
        report.row(name, ms(median_s(ask, runs)), target=target)


# Of pages that have one of their own.
TARGETS = {
    "visits by source": "≤ 300 ms at 10 M",
    "attribution, one model": "≤ 400 ms at 10 M",
    "attribution, all six side by side": "≤ 700 ms at 10 M",
}


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
