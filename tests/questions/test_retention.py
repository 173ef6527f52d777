"""Retention: who begins with what, who comes back with what, and who is behind each number."""

import datetime as dt
from typing import Any

import pytest

from tests.support import Json, Project, Server

# By user, on days from Monday, 2026-03-02: what happened, with properties.
LOG: list[tuple[str, int, str, Json]] = [
    *[("ann", day, "$pageview", {}) for day in (0, 7, 21)],
    ("ann", 0, "signup", {"plan": "pro", "seats": 5}),
    ("ann", 14, "purchase", {"value": 30}),
    *[("ben", day, "$pageview", {}) for day in (1, 13)],
    ("ben", 1, "signup", {"plan": "free", "seats": 1}),
    ("ben", 2, "signup", {"plan": "pro", "seats": 9}),
    ("cyd", 6, "$pageview", {}),
    ("cyd", 8, "signup", {"plan": "pro", "seats": 2}),
    ("cyd", 15, "purchase", {"value": 3}),
    ("dan", 6, "signup", {"plan": "pro"}),
]
MONDAY = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
SOURCES = {"ann": "facebook", "ben": "google", "cyd": "facebook"}


@pytest.fixture(scope="module")
def shop(server: Server) -> Project:
    project = Project(server)
    project.batch(
        [
            {
                "event": event,
                "anonymous_id": f"{user}s phone",
                "user_id": user if event == "signup" else None,
                "timestamp": (MONDAY + dt.timedelta(days=day, minutes=nth)).isoformat(),
                "url": f"https://shop.example/?utm_source={SOURCES[user]}&utm_medium=x"
                if user in SOURCES
                else "https://shop.example/",
                "properties": properties,
            }
            for nth, (user, day, event, properties) in enumerate(LOG)
        ]
    )
    return project


def table(project: Project, **params: Any) -> dict[str, Any]:
    """Of each cohort's day how many there are, and the first four intervals."""
    rows = project.ask("/v1/retention", periods=4, **params)["rows"]
    assert len({row["cohort"] for row in rows}) == len(rows)
    return {row["cohort"][5:10]: (row["persons"], row["retained"]) for row in rows}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, {"03-02": (4, [4, 3, 2, 1])}),
        ({"week_start": "sunday"}, {"03-01": (2, [2, 1, 2, 1]), "03-08": (2, [2, 1, 0, 0])}),
        ({"mode": "unbounded"}, {"03-02": (4, [4, 3, 2, 1])}),
        ({"cohort": "signup{plan=pro}"}, {"03-02": (3, [3, 2, 1, 1]), "03-09": (1, [1, 1, 0, 0])}),
        (
            {"cohort": "signup{plan=pro;seats>=5}", "event": "purchase{value>5}"},
            {"03-02": (2, [0, 0, 1, 0])},
        ),
        (
            {"cohort": "signup", "event": "purchase", "mode": "unbounded"},
            {"03-02": (3, [1, 1, 1, 0]), "03-09": (1, [1, 1, 0, 0])},
        ),
        ({"event": "$pageview{path=/}"}, {"03-02": (4, [3, 2, 0, 1])}),
        ({"filters": "event==purchase"}, {"03-16": (2, [2, 0, 0, 0])}),
        ({"filters": "first.source==facebook"}, {"03-02": (2, [2, 2, 2, 1])}),
        ({"filters": "did!=purchase", "cohort": "signup"}, {"03-02": (2, [2, 1, 0, 0])}),
        ({"interval": "month"}, {"03-01": (4, [4, 0, 0, 0])}),
    ],
)
def test_cohorts_and_returns(shop: Project, params: Json, expected: Json) -> None:
    assert table(shop, **params) == expected


def test_groups_are_of_the_person_or_of_the_event_that_they_began_with(shop: Project) -> None:
    def persons(**params: Any) -> list[list[Any]]:
        rows = shop.ask("/v1/retention", interval="month", **params)["rows"]
        return [[row[name] for name in (*params["group_by"].split(","), "persons")] for row in rows]

    assert persons(group_by="first.source") == [["facebook", 2], ["direct", 1], ["google", 1]]
    assert persons(group_by="properties.plan", cohort="signup") == [["pro", 3], ["free", 1]]
    assert persons(group_by="properties.plan,first.source", cohort="signup{plan=pro}") == [
        ["pro", "facebook", 2],
        ["pro", "direct", 1],
        ["pro", "google", 1],
    ]
    assert persons(group_by="event") == [["$pageview", 3], ["signup", 1]]
    assert persons(group_by="properties.seats") == [[None, 4]]
    assert persons(group_by="known,devices") == [[True, 1, 4]]


def test_groups_that_are_left_out_are_together(shop: Project) -> None:
    answer = shop.ask("/v1/retention", group_by="first.source", limit=1, periods=4)
    assert answer["truncated"] is True
    assert answer["warnings"][0]["code"] == "truncated"
    (kept,), (other,) = answer["rows"], answer["other"]
    assert kept["first.source"] == "facebook"
    assert (kept["persons"], kept["retained"]) == (2, [2, 2, 2, 1])
    assert (other["persons"], other["retained"]) == (2, [2, 1, 0, 0])
    assert set(other) == {"cohort", "persons", "retained"}


def people(project: Project, **params: Any) -> list[Json]:
    return project.pages("/v1/retention/people", limit=3, **params)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"mode": "unbounded"},
        {"interval": "day", "tz": "Asia/Kolkata"},
        {"week_start": "sunday", "tz": "America/St_Johns"},
        {"cohort": "signup{plan=pro}", "event": "purchase"},
        {"filters": "first.source==facebook;did==signup"},
        {"cohort": "known", "stitch": "none"},
        {"from": "2026-03-03"},
    ],
)
def test_the_people_of_each_number_are_as_many(shop: Project, params: Json) -> None:
    rows = shop.ask("/v1/retention", periods=3, **params)["rows"]
    assert rows
    for row in rows:
        for period, count in enumerate(row["retained"]):
            cell = {**params, "cohort_start": row["cohort"], "period": period}
            back, away = people(shop, **cell), people(shop, **cell, returned="false")
            assert len(back) == count
            assert len(away) == row["persons"] - count
            known = [person["user_id"] or person["anonymous_id"] for person in back + away]
            assert len(set(known)) == row["persons"]


def test_they_began_with_their_first_event_however_it_lies_in_the_store(server: Server) -> None:
    project = Project(server)
    for minutes in ((1, 20), (7,)):  # of one half hour, in two parts
        times = [f"2026-03-02T12:{minute:02}:00.000Z" for minute in minutes]
        project.batch([{"event": "x", "anonymous_id": "tab", "timestamp": at} for at in times])
        project.stored()
        (row,) = people(project, cohort_start="2026-03-02", period=0)
        assert row["began"] == "2026-03-02T12:01:00.000Z"


def test_people_are_named(shop: Project) -> None:
    asked = {"cohort_start": "2026-03-02", "period": 2, "returned": "true"}
    rows = people(shop, **asked)
    assert [row["user_id"] for row in rows] == ["ann", "cyd"]
    assert shop.ask("/v1/retention/people", **asked)["persons"] == 2
    assert rows[0]["began"] == "2026-03-02T12:00:00.000Z"
    assert [row["user_id"] for row in people(shop, **{**asked, "returned": "false"})] == [
        "ben",
        "dan",
    ]
    apart = people(shop, cohort_start="2026-03-05", period=0, stitch="none")
    assert {row["anonymous_id"] for row in apart} == {
        None,
        "anns phone",
        "bens phone",
        "cyds phone",
    }


@pytest.mark.parametrize(
    ("path", "params", "parameter", "said"),
    [
        ("", {"cohort": "signup{plan=pro"}, "cohort", "cannot read"),
        ("", {"cohort": "signup{}"}, "cohort", "cannot read"),
        ("", {"cohort": "signup{first.source==x}"}, "cohort", "is of persons"),
        ("", {"event": "signup{plan=~(}"}, "event", "cannot be read"),
        ("", {"event": "goal:trial"}, "event", "there is no goal 'trial'"),
        ("", {"interval": "day", "week_start": "sunday"}, "week_start", "goes with interval=week"),
        (
            "/people",
            {"cohort_start": "2090-01-01", "period": 1},
            "period",
            "this interval has not begun",
        ),
    ],
)
def test_what_cannot_be_asked_is_said(
    shop: Project, path: str, params: Json, parameter: str, said: str
) -> None:
    reply = shop.get(f"/v1/retention{path}", **params)
    assert reply.status == 400
    assert said in reply.json["details"]["fieldErrors"][parameter][0]


def test_a_cursor_is_of_its_question(shop: Project) -> None:
    asked: Json = {"cohort_start": "2026-03-02", "period": 0, "limit": 1}
    cursor = shop.ask("/v1/retention/people", **asked)["next_cursor"]
    reply = shop.get("/v1/retention/people", **{**asked, "period": 1}, cursor=cursor)
    assert reply.status == 400


def test_groups_that_there_are_not(shop: Project) -> None:
    reply = shop.get("/v1/retention", group_by="first.sorce")
    assert reply.status == 400
    assert reply.error == "invalid_group_by"
    assert "did you mean first.source?" in reply.json["details"]["message"]
