"""`from` and `to` as lengths of time before now, or before `as_of`, by the clocks of `tz`."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import get_args
from zoneinfo import ZoneInfo

import pytest

from tests.support import Project
from threadline.contract.times import Timestamp, format_ms
from threadline.questions.intervals import Kind, before, between, nth, start
from threadline.questions.intervals import bucket as bucket_sql
from threadline.store import Store, store_url

NOON = int(datetime(2026, 5, 31, 12, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("now", "UTC", "2026-05-31T12:00:00.000Z"),
        ("today", "UTC", "2026-05-31T00:00:00.000Z"),
        ("today", "Pacific/Kiritimati", "2026-05-31T10:00:00.000Z"),
        ("yesterday", "Asia/Kolkata", "2026-05-29T18:30:00.000Z"),
        ("mtd", "UTC", "2026-05-01T00:00:00.000Z"),
        ("mtd", "Pacific/Kiritimati", "2026-05-31T10:00:00.000Z"),
        ("ytd", "Europe/Berlin", "2025-12-31T23:00:00.000Z"),
        ("12h", "Europe/Berlin", "2026-05-31T00:00:00.000Z"),
        ("7d", "UTC", "2026-05-24T12:00:00.000Z"),
        # Two o'clock there, before and after the clocks were changed.
        ("90d", "Europe/Berlin", "2026-03-02T13:00:00.000Z"),
        ("2w", "UTC", "2026-05-17T12:00:00.000Z"),
        # A day that the month does not have is its last.
        ("1mo", "UTC", "2026-04-30T12:00:00.000Z"),
        ("3mo", "UTC", "2026-02-28T12:00:00.000Z"),
        ("12mo", "UTC", "2025-05-31T12:00:00.000Z"),
        ("27mo", "UTC", "2024-02-29T12:00:00.000Z"),
        ("1y", "UTC", "2025-05-31T12:00:00.000Z"),
        ("99999y", "UTC", "1970-01-01T00:00:00.000Z"),
        ("99999h", "UTC", "2015-01-02T21:00:00.000Z"),
    ],
)
def test_a_relative_time(text: str, zone: str, expected: str) -> None:
    found = Timestamp.parse_any(text).resolved(ZoneInfo(zone), NOON)
    assert format_ms(found.ms) == expected


RANGED = [
    ("/v1/query", {}),
    ("/v1/stats", {}),
    ("/v1/sources", {}),
    ("/v1/visits", {}),
    ("/v1/users", {}),
    ("/v1/attribution", {"conversion": "x"}),
    ("/v1/time-to-conversion", {"conversion": "x"}),
    ("/v1/funnel", {"steps": "x,y"}),
    ("/v1/retention", {}),
    ("/v1/paths", {"event": "x"}),
]


@pytest.mark.parametrize(("path", "params"), RANGED)
def test_every_question_takes_them_and_says_what_they_came_to(
    project: Project, path: str, params: dict[str, str]
) -> None:
    project.track("x", anonymous_id="d")
    answer = project.ask(path, from_="yesterday", tz="Asia/Kolkata", **params)
    zone = ZoneInfo("Asia/Kolkata")
    since, until = (datetime.fromisoformat(answer[name]) for name in ("from", "to"))
    assert [each.astimezone(zone).hour for each in (since, until)] == [0, 0]
    assert (until - since).days == 1
    answer = project.ask(path, from_="2026-05-01", **params)
    assert answer["from"] == "2026-05-01T00:00:00.000Z"
    assert "to" not in answer
    everything = project.ask(path, from_="all", **params)
    assert "from" not in everything
    assert everything == project.ask(path, **params)


def test_the_export_takes_them(project: Project) -> None:
    project.track("new", anonymous_id="d")
    project.track("old", anonymous_id="d", timestamp="2026-05-01")
    for given, expected in (({"from_": "2d"}, ["new"]), ({"to": "2d"}, ["old"])):
        lines = project.get("/v1/export", **given).body.splitlines()
        assert len(lines) == 1
        assert expected[0].encode() in lines[0]
        assert [row["event_name"] for row in project.stored(**given)] == expected


def test_they_count_back_from_as_of(project: Project) -> None:
    answer = project.ask("/v1/stats", from_="1mo", to="1d", as_of="2026-03-31T10:00Z")
    assert answer["from"] == "2026-02-28T10:00:00.000Z"
    assert answer["to"] == "2026-03-30T10:00:00.000Z"
    answer = project.ask("/v1/stats", from_="mtd", as_of="2026-03-31", tz="Europe/Berlin")
    assert answer["from"] == "2026-02-28T23:00:00.000Z"


def test_yesterday_with_an_end_is_only_a_beginning(project: Project) -> None:
    answer = project.ask("/v1/stats", from_="yesterday", to="now")
    since, until = (datetime.fromisoformat(answer[name]) for name in ("from", "to"))
    assert (until - since).total_seconds() > 86_400


ZONES = (
    "UTC Europe/Berlin America/New_York America/St_Johns Asia/Kolkata Asia/Kathmandu "
    "Pacific/Kiritimati America/Santiago Africa/Cairo"
).split()


def test_intervals_begin_when_those_of_the_store_do(store: Store) -> None:
    """Over two years, every 13 hours, and about the times at which clocks are changed."""
    first = int(datetime(2024, 12, 20, 3, 10, tzinfo=UTC).timestamp() * 1000)
    moments = f"arrayJoin(range({first}, {first} + 63072000000, 46800000))"
    for kind in get_args(Kind):
        at = "fromUnixTimestamp64Milli(toInt64(moment), 'UTC')"
        sql = (
            f"SELECT moment, toUnixTimestamp({bucket_sql(kind, at)}) * 1000 AS starts"
            f" FROM (SELECT {moments} AS moment)"
        )
        for name in ZONES:
            zone = ZoneInfo(name)
            for row in store.query(sql, {"tz": name}):
                found = start(kind, row["moment"], zone)
                assert found == row["starts"], (kind, name, format_ms(row["moment"]))
                earlier = before(kind, found, zone)
                assert earlier < found
                assert nth(kind, earlier, 1, zone) == found
                assert between(kind, earlier, found, zone) == 1


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("intervals")
    with Store(store_url("chdb", folder)) as opened:
        yield opened
