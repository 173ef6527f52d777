"""`/v1/stats` and `/v1/sources` by every group and interval, in zones whose days are not all of 24
hours: always the numbers that plain Python counts."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.identity import oracle as identity
from tests.identity.steps import iso
from tests.questions import oracle
from tests.support import Json, Project, Server
from tests.width import EXAMPLES, WIDE

# Of where visits come from, `tests/visits` has the numbers.
SOURCES = ("source", "medium", "campaign")
GROUPS = "event_name source medium campaign country device_type browser os path".split()
INTERVALS = [None, "hour", "day", "week", "month"]
METRICS = ["count", "uniques", "persons", "sum"]
BREAKDOWNS = {
    "term": ["term"],
    "content": ["content"],
}

# Zones, and a moment around which something happens to their clocks.
CLOCKS = [
    ("UTC", "2026-03-31T22:00:00Z"),
    ("Europe/Berlin", "2026-03-28T20:00:00Z"),  # 23 hours
    ("Europe/Berlin", "2026-10-24T20:00:00Z"),  # 25 hours
    ("America/New_York", "2026-03-08T00:00:00Z"),
    ("America/New_York", "2025-11-02T00:00:00Z"),
    ("America/Santiago", "2025-09-06T20:00:00Z"),  # a day without midnight
    ("Asia/Kolkata", "2026-01-31T12:00:00Z"),  # 5 hours and a half
]

# What a user agent says, as: device_type, browser, os.
AGENTS = {
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/141.0.0.0 Safari/537.36": ("desktop", "chrome", "windows"),
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) Version/18.5 Mobile/15E148 Safari/604.1": ("mobile", "safari", "ios"),
    "curl/8.9": ("other", "curl", ""),
}

# Few values each, so that every group has several events.
VALUES: dict[str, list[Any]] = {
    "event_name": ["look", "buy"],
    "a": [None, "phone", "laptop", "kiosk", "kiosk"],
    "u": [None, None, "ada", "bob"],
    "source": ["mail", "x"],
    "medium": ["paid", "post"],
    "campaign": ["", "May"],
    "term": ["", "shoes"],
    "content": ["", "blue"],
    "path": ["/", "/a"],
    "country": ["DE", "AT", ""],
    "agent": list(AGENTS),
    "value": list(range(-5, 6)),
}
HOURS = 40


def make_log(random: Random, around: dt.datetime) -> list[Json]:
    log = []
    for number in range(60):
        drawn = {name: random.choice(values) for name, values in VALUES.items()}
        agent = dict(zip(("device_type", "browser", "os"), AGENTS[drawn["agent"]], strict=True))
        at = around + dt.timedelta(minutes=random.randrange(60 * HOURS))
        log.append({**drawn, **agent, "event": drawn["event_name"], "id": f"e{number}", "t": at})
    return log


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("counting")
    with Server(folder, THREADLINE_COUNTRY_HEADER="X-Country") as server:
        yield server
        assert server.stop() == 0


def send(project: Project, log: list[Json]) -> None:
    """In batches of one user agent and country each, since those are of the request."""
    requests: dict[tuple[str, str], list[Json]] = defaultdict(list)
    for each in log:
        query = "&".join(
            f"utm_{name}={each[name]}"
            for name in ("source", "medium", "campaign", "term", "content")
        )
        requests[each["agent"], each["country"]].append(
            {
                "event": each["event"],
                "event_id": each["id"],
                "timestamp": each["t"].isoformat(),
                "anonymous_id": each["a"],
                "user_id": each["u"],
                "url": f"https://shop.example{each['path']}?{query}",
                "properties": {"value": each["value"]},
            }
        )
    for (agent, country), events in requests.items():
        said = [{**event, "user_agent": agent} for event in events]
        reply = project.post("/v1/batch", {"events": said}, X_Country=country)
        assert reply.status == 202


def begins(at: dt.datetime, interval: str | None, zone: ZoneInfo) -> str | None:
    """The start of the interval, by the zone's clocks, as an instant."""
    if interval is None:
        return None
    local = at.astimezone(zone)
    if interval == "hour":
        start = local - dt.timedelta(minutes=local.minute)
        return iso((at - (local - start)).astimezone(dt.UTC))
    day = local.date()
    if interval == "week":
        day -= dt.timedelta(days=day.weekday())
    elif interval == "month":
        day = day.replace(day=1)
    return iso(dt.datetime.combine(day, dt.time(), zone).astimezone(dt.UTC))


def device(event: Json) -> tuple[str, str]:
    """Without one the user counts once, and who is nobody with each event."""
    for name in ("a", "u", "id"):
        if event[name]:
            return name, event[name]
    raise AssertionError(event)


def counted(metric: str, pairs: oracle.Owned) -> int:
    events = [event for _, event in pairs]
    if metric == "count":
        return len(events)
    if metric == "uniques":
        return len({device(event) for event in events})
    if metric == "persons":
        return len({person for person, _ in pairs})
    return sum(event["value"] for event in events)


def grouped(pairs: oracle.Owned, key: Any) -> dict[tuple[Any, ...], oracle.Owned]:
    found: dict[tuple[Any, ...], oracle.Owned] = defaultdict(list)
    for person, each in pairs:
        found[key(each)].append((person, each))
    return found


def check_whole(found: dict[tuple[Any, ...], int], interval: str, zone: ZoneInfo) -> None:
    """Each interval is there, and each group in each of them."""
    starts, groups = {key[0] for key in found}, {key[1:] for key in found}
    assert len(found) == len(starts) * len(groups)
    at = dt.datetime.fromisoformat(min(starts))
    # Finer than any interval, so that each is met.
    while (start := begins(at, interval, zone)) <= max(starts):
        assert start in starts
        at += dt.timedelta(minutes=30)


@pytest.mark.parametrize("seed", range(max(1, EXAMPLES // 3)))
@pytest.mark.parametrize("clock", CLOCKS, ids=" ".join)
def test_numbers_are_the_oracles(counting: Server, clock: tuple[str, str], seed: int) -> None:
    zone, around = ZoneInfo(clock[0]), dt.datetime.fromisoformat(clock[1])
    log = make_log(Random(f"{clock} {seed}"), around)
    project = Project(counting)
    send(project, log)
    pairs = oracle.owned(log, "next", identity.Decisions())

    for number, group in enumerate(["", *GROUPS, "path,source"]):
        names = [name for name in group.split(",") if name]
        for also, interval in enumerate(INTERVALS):
            # Of each group two intervals a clock, and over all clocks every one.
            if not WIDE and (number + also + CLOCKS.index(clock)) % len(INTERVALS) > 1:
                continue
            asked = METRICS[(number + also + seed) % len(METRICS)]
            of = ",".join(f"event_{name}" if name in SOURCES else name for name in names)
            answer = project.ask(
                "/v1/stats",
                metric=asked,
                group_by=of,
                interval=interval,
                tz=clock[0],
                property="value",
                limit=1000,
                to=(around + dt.timedelta(hours=HOURS)).isoformat(),
            )
            rows = answer["rows"]
            found = {
                (row.get("bucket"), *(row[name] for name in of.split(",") if name)): row["value"]
                for row in rows
            }
            assert answer.get("truncated") is None
            if interval:
                check_whole(found, interval, zone)
            expected = grouped(
                pairs,
                lambda each, interval=interval, names=names: (
                    begins(each["t"], interval, zone),
                    *(each[name] or None for name in names),
                ),
            )
            assert len(found) == len(rows)
            numbers = {key: counted(asked, of) for key, of in expected.items()}
            assert numbers.keys() <= found.keys()
            assert found == {**dict.fromkeys(found, 0), **numbers}, (
                asked,
                group,
                interval,
            )

    for breakdown, names in BREAKDOWNS.items():
        rows = project.ask("/v1/sources", breakdown=breakdown, limit=200)["rows"]
        expected = grouped(
            pairs, lambda each, names=names: tuple(each[name] or None for name in names)
        )
        assert {tuple(row[name] for name in names): row for row in rows} == {
            key: {
                **dict(zip(names, key, strict=True)),
                "events": counted("count", of),
                "uniques": counted("uniques", of),
                "persons": counted("persons", of),
                "paid_share": sum(each["medium"] == "paid" for _, each in of) / len(of),
            }
            for key, of in expected.items()
        }
