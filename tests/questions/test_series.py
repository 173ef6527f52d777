"""Series without gaps, and one time beside another, on logs small enough to count by hand."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support import Json, Project

PAGE = "https://shop.example/"


def sent(project: Project, *events: tuple[str, str]) -> None:
    """Events by time and name, each of a device of its own."""
    project.batch(
        [
            {"event": name, "anonymous_id": f"d{n}", "timestamp": at, "url": PAGE}
            for n, (at, name) in enumerate(events)
        ]
    )


def series(project: Project, path: str = "/v1/stats", **params: Any) -> list[tuple[str, Any]]:
    column = "visits" if path == "/v1/visits" else "value"
    return [(row["bucket"], row[column]) for row in project.ask(path, **params)["rows"]]


@pytest.mark.parametrize("path", ["/v1/stats", "/v1/visits"])
def test_every_interval_is_there(project: Project, path: str) -> None:
    sent(project, ("2026-05-02T10:00Z", "a"), ("2026-05-04T23:59Z", "a"))
    by_day = {"interval": "day", "to": "2026-05-06"}
    assert series(project, path, **by_day) == [
        ("2026-05-02T00:00:00.000Z", 1),
        ("2026-05-03T00:00:00.000Z", 0),
        ("2026-05-04T00:00:00.000Z", 1),
        ("2026-05-05T00:00:00.000Z", 0),
    ]
    since = series(project, path, **by_day, from_="2026-05-01T12:00Z")
    assert since[0] == ("2026-05-01T00:00:00.000Z", 0)
    assert len(since) == 5
    nothing = series(project, path, interval="day", from_="2026-04-01", to="2026-04-03")
    assert [value for _, value in nothing] == [0, 0]
    assert series(project, path, interval="day", to="2026-04-03") == []


HALF = ("Asia/Kolkata", "America/St_Johns")


@pytest.mark.parametrize(
    ("interval", "zone", "since", "until", "starts"),
    [
        # 23 hours, 25 hours, and clocks that are half an hour off.
        ("day", "Europe/Berlin", "2026-03-28", "2026-03-31", "03-27T23 03-28T23 03-29T22"),
        ("day", "Europe/Berlin", "2025-10-25", "2025-10-28", "10-24T22 10-25T22 10-26T23"),
        ("hour", "Asia/Kolkata", "2026-05-01", "2026-05-01T21:00Z", "04-30T18 04-30T19"),
        ("month", "America/St_Johns", "2025-12-01", "2026-03-01", "12-01T03 01-01T03 02-01T03"),
        ("week", "UTC", "2025-12-29", "2026-01-12", "12-29T00 01-05T00"),
        # It begins at one o'clock: there is no midnight.
        ("day", "America/Santiago", "2025-09-06", "2025-09-09", "09-06T04 09-07T04 09-08T03"),
    ],
)  # fmt: skip
def test_intervals_are_those_of_the_clocks(
    project: Project, interval: str, zone: str, since: str, until: str, starts: str
) -> None:
    given = {"interval": interval, "tz": zone, "from_": since, "to": until}
    found = series(project, **given)
    shown = [at[5:13] for at, _ in found]
    assert shown[: len(starts.split())] == starts.split()
    assert {at[14:16] for at, _ in found} == {"30" if zone in HALF else "00"}
    if interval != "hour":
        assert len(shown) == len(starts.split())
    # An event at the beginning of each is in it.
    sent(project, *((at, "a") for at, _ in found))
    assert series(project, **given) == [(at, 1) for at, _ in found]


@pytest.mark.parametrize(
    ("since", "until", "starts"),
    [
        # From two o'clock to half past: the hour of two begins in its middle.
        ("2026-10-03T14:30Z", "2026-10-03T18:00Z", "14:30 15:30 16:00 17:00"),
        # Back to half past one: that hour has ninety minutes.
        ("2026-04-04T14:00Z", "2026-04-04T17:30Z", "14:00 15:30 16:30"),
    ],
)
def test_hours_where_clocks_are_changed_by_half_of_one(
    project: Project, since: str, until: str, starts: str
) -> None:
    given = {"interval": "hour", "tz": "Australia/Lord_Howe", "from_": since, "to": until}
    times = [f"{since[:11]}{start}Z" for start in starts.split()]
    sent(project, *((at, "a") for at in times), (f"{since[:11]}15:20Z", "a"))
    found = series(project, **given)
    assert [at[11:16] for at, _ in found] == starts.split()
    # Both times the one at 15:20 is in the first.
    assert [value for _, value in found] == [2, *([1] * (len(times) - 1))]
    compared = project.ask("/v1/stats", compare="previous_period", **given)["rows"]
    assert [row["previous"] for row in compared] == [0] * len(times)


def test_weeks_begin_on_monday_or_sunday(project: Project) -> None:
    sent(
        project, ("2026-05-02T12:00Z", "a"), ("2026-05-03T12:00Z", "a"), ("2026-05-04T12:00Z", "a")
    )
    for path in ("/v1/stats", "/v1/visits"):
        weeks = {"interval": "week", "to": "2026-05-05"}
        assert series(project, path, **weeks) == [
            ("2026-04-27T00:00:00.000Z", 2),
            ("2026-05-04T00:00:00.000Z", 1),
        ]
        assert series(project, path, **weeks, week_start="sunday") == [
            ("2026-04-26T00:00:00.000Z", 1),
            ("2026-05-03T00:00:00.000Z", 2),
        ]
    persons = series(project, **weeks, week_start="sunday", metric="persons")
    assert [value for _, value in persons] == [1, 2]
    reply = project.get("/v1/stats", interval="day", week_start="sunday")
    assert "goes with interval=week" in reply.json["details"]["message"]


@pytest.mark.parametrize("interval", ["hour", "day", "week", "month"])
def test_a_series_ends_with_now_which_is_partial(project: Project, interval: str) -> None:
    project.track(
        "a", anonymous_id="d", timestamp=(datetime.now(UTC) - timedelta(days=40)).isoformat()
    )
    for given in ({}, {"to": "2099-01-01"}):
        rows = project.ask("/v1/stats", interval=interval, **given)["rows"]
        now = datetime.now(UTC)
        last = datetime.fromisoformat(rows[-1]["bucket"])
        assert last <= now < last + timedelta(days=32)
        assert [row.get("partial") for row in rows[-2:]] == [None, True]
    until = project.ask("/v1/stats", interval=interval, to="2d", from_="100d")["rows"]
    assert len(until) > 2


def test_a_series_as_of_a_time_ends_then(project: Project) -> None:
    project.track("a", anonymous_id="d")
    given = {"from_": "2026-05-01", "as_of": "2026-05-03T12:00Z"}
    rows = project.ask("/v1/stats", interval="day", **given)["rows"]
    assert [row["bucket"][8:10] for row in rows] == ["01", "02", "03"]
    assert [row.get("partial") for row in rows] == [None, None, True]


def test_what_has_not_been_yet_is_not_shown(project: Project) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=3)
    project.track("a", anonymous_id="d", timestamp=ahead.isoformat())
    answer = project.ask("/v1/stats", interval="hour", from_="2h")
    assert [row["value"] for row in answer["rows"]] == [0, 0, 0]
    assert answer["warnings"][0]["code"] == "future_events"


def test_groups_are_in_every_interval(project: Project) -> None:
    sent(
        project, ("2026-05-01T10:00Z", "a"), ("2026-05-03T10:00Z", "b"), ("2026-05-03T11:00Z", "b")
    )
    answer = project.ask("/v1/stats", interval="day", group_by="event", to="2026-05-04")
    assert [(row["bucket"][8:10], row["event"], row["value"]) for row in answer["rows"]] == [
        ("01", "a", 1),
        ("01", "b", 0),
        ("02", "b", 0),
        ("02", "a", 0),
        ("03", "b", 2),
        ("03", "a", 0),
    ]
    assert "truncated" not in answer
    # Of two days there is room for one and a half.
    cut = project.ask("/v1/stats", interval="day", group_by="event", to="2026-05-04", limit=1)
    assert [(row["bucket"][8:10], row["event"]) for row in cut["rows"]] == [("03", "b")]
    assert cut["truncated"] is True


def test_from_the_beginning_of_time_hour_by_hour(project: Project) -> None:
    sent(project, ("2026-05-01T10:00Z", "a"))
    for params in ({}, {"group_by": "event"}, {"metric": "persons"}):
        answer = project.ask("/v1/stats", interval="hour", from_="1970-01-01", limit=1000, **params)
        if "group_by" in params:
            # Zeros take no room from what there is.
            assert [(row["event"], row["value"]) for row in answer["rows"]] == [("a", 1)]
            assert [warning["code"] for warning in answer["warnings"]] == ["zeros_left_out"]
            continue
        assert (len(answer["rows"]), answer["truncated"]) == (1000, True)
    answer = project.ask("/v1/stats", interval="hour", from_="1970-01-01", to="2026-05-01T11:00Z")
    assert (len(answer["rows"]), answer["rows"][-1]["value"]) == (1000, 1)
    assert answer["truncated"] is True


def test_the_order_of_a_series(project: Project) -> None:
    sent(
        project, ("2026-05-01T10:00Z", "a"), ("2026-05-01T10:00Z", "b"), ("2026-05-01T11:00Z", "b")
    )
    given = {"interval": "day", "from_": "2026-05-01", "to": "2026-05-03"}
    assert [at[8:10] for at, _ in series(project, order="-bucket", **given)] == ["02", "01"]
    rows = project.ask("/v1/stats", order="value", group_by="event", **given)["rows"]
    assert [(row["event"], row["value"]) for row in rows[:2]] == [("a", 1), ("b", 2)]


# --- compare ---


MAY = {"from_": "2026-05-03", "to": "2026-05-05"}


def compared(answer: Json, *names: str) -> list[tuple[Any, ...]]:
    return [
        (*(row[name] for name in names), row["value"], row["previous"], row["change"])
        for row in answer["rows"]
    ]


@pytest.fixture
def busy(project: Project) -> Project:
    times = {
        "a": "2026-05-01T10:00Z 2026-05-02T10:00Z 2026-05-02T11:00Z 2026-05-03T10:00Z",
        "b": "2026-05-04T10:00Z",
        "c": "2026-05-01T12:00Z 2025-05-04T10:00Z",
    }
    sent(project, *((at, name) for name, every in times.items() for at in every.split()))
    return project


def test_the_period_before(busy: Project) -> None:
    answer = busy.ask("/v1/stats", compare="previous_period", **MAY)
    assert compared(answer) == [(2, 4, -0.5)]
    assert answer["previous_from"] == "2026-05-01T00:00:00.000Z"
    assert answer["previous_to"] == "2026-05-03T00:00:00.000Z"
    assert compared(busy.ask("/v1/stats", compare="previous_year", **MAY)) == [(2, 1, 1.0)]
    given = busy.ask("/v1/stats", compare="2026-05-02..2026-05-03", **MAY)
    assert compared(given) == [(2, 2, 0.0)]
    nothing = busy.ask("/v1/stats", compare="2024-05-02..2024-05-03", **MAY)
    assert compared(nothing) == [(2, 0, None)]


def test_groups_are_compared_by_their_names(busy: Project) -> None:
    answer = busy.ask("/v1/stats", compare="previous_period", group_by="event", **MAY)
    assert compared(answer, "event") == [
        ("a", 1, 3, pytest.approx(-2 / 3)),
        ("b", 1, 0, None),
        # Only then.
        ("c", 0, 1, -1.0),
    ]
    by_change = busy.ask(
        "/v1/stats", compare="previous_period", group_by="event", order="change", limit=2, **MAY
    )
    assert [row["event"] for row in by_change["rows"]] == ["c", "a"]
    assert by_change["truncated"] is True


def test_series_are_compared_interval_by_interval(busy: Project) -> None:
    by_day = {"compare": "previous_period", "interval": "day", **MAY}
    answer = busy.ask("/v1/stats", **by_day)
    assert compared(answer, "bucket") == [
        ("2026-05-03T00:00:00.000Z", 1, 2, -0.5),
        ("2026-05-04T00:00:00.000Z", 1, 2, -0.5),
    ]
    grouped = busy.ask("/v1/stats", group_by="event", **by_day)
    assert sorted(row[:4] for row in compared(grouped, "bucket", "event")) == [
        ("2026-05-03T00:00:00.000Z", "a", 1, 1),
        ("2026-05-03T00:00:00.000Z", "b", 0, 0),
        ("2026-05-03T00:00:00.000Z", "c", 0, 1),
        ("2026-05-04T00:00:00.000Z", "a", 0, 2),
        ("2026-05-04T00:00:00.000Z", "b", 1, 0),
        ("2026-05-04T00:00:00.000Z", "c", 0, 0),
    ]
    # The other time is shorter.
    short = busy.ask("/v1/stats", **{**by_day, "compare": "2026-05-01..2026-05-02"})
    assert compared(short) == [(1, 2, -0.5), (1, None, None)]


def test_months_are_compared_with_months(project: Project) -> None:
    sent(
        project, ("2026-03-01T10:00Z", "a"), ("2026-04-30T10:00Z", "a"), ("2026-02-28T10:00Z", "a")
    )
    given = {"from_": "2026-03-01", "to": "2026-05-01", "interval": "month"}
    answer = project.ask("/v1/stats", compare="previous_period", **given)
    assert answer["previous_from"] == "2026-01-01T00:00:00.000Z"
    assert compared(answer) == [(1, 0, None), (1, 1, 0.0)]


def test_a_day_is_compared_with_a_day_where_clocks_are_changed(project: Project) -> None:
    given = {"from_": "2026-03-29", "to": "2026-03-30", "tz": "Europe/Berlin"}
    answer = project.ask("/v1/stats", compare="previous_period", **given)
    assert answer["previous_from"] == "2026-03-27T23:00:00.000Z"
    assert answer["previous_to"] == "2026-03-28T23:00:00.000Z"


def test_visits_and_sources_compare_all_their_numbers(busy: Project) -> None:
    (row,) = busy.ask("/v1/visits", compare="previous_period", **MAY)["rows"]
    assert (row["visits"], row["previous"]["visits"], row["change"]["visits"]) == (2, 4, -0.5)
    (row,) = busy.ask("/v1/sources", compare="previous_period", breakdown="source", **MAY)["rows"]
    assert (row["events"], row["previous"]["events"], row["change"]["events"]) == (2, 4, -0.5)
    by_day = busy.ask("/v1/visits", compare="previous_period", interval="day", **MAY)["rows"]
    assert [row["previous"]["visits"] for row in by_day] == [2, 2]


def test_amounts_are_compared_in_their_currencies(project: Project) -> None:
    for day, value, code in (
        ("03", 10, "EUR"),
        ("03", 5, "USD"),
        ("01", 5, "EUR"),
        ("01", 1, "CHF"),
    ):
        money = {"value": value, "currency": code}
        project.track("buy", anonymous_id="d", timestamp=f"2026-05-{day}", properties=money)
    given = {"metric": "sum", "property": "value", "compare": "previous_period", **MAY}
    (row,) = project.ask("/v1/stats", **given)["rows"]
    assert row["previous"] == {"CHF": 1, "EUR": 5}
    assert row["change"] == {"EUR": 1.0, "USD": None, "CHF": -1.0}


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"compare": "previous_year"}, "add from, such as from=30d"),
        ({"compare": "last_year", "from_": "7d"}, "write previous_period, previous_year, or two"),
        ({"compare": "7d..30d", "from_": "7d"}, "the second time has to lie after the first"),
        ({"compare": "x..y", "from_": "7d"}, "write ISO 8601"),
        ({"compare": "previous_period", "from_": "2099-01-01"}, "from lies in the future"),
    ],
)
def test_what_cannot_be_compared(project: Project, params: Json, said: str) -> None:
    reply = project.get("/v1/stats", **params)
    assert reply.status == 400
    assert said in reply.json["details"]["fieldErrors"]["compare"][0]
