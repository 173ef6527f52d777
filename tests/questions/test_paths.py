"""Paths: from an event, to one, between two; within visits; with loops merged."""

import re
from collections import Counter
from typing import Any

import pytest

from tests.support import Json, Project, Server

# By person: what they did, minute by minute; `|` is a pause that ends the visit.
WAYS = {
    "ann": "/ /docs /pricing /docs /pricing signup | purchase",
    "ben": "/ /blog /pricing signup /welcome purchase",
    "cyd": "/pricing / /docs",
    "dan": "/blog /pricing /a /b /c /a /b /c /a /d signup",
    "eva": "/ signup{free} /welcome | / /pricing",
}
PAUSE_MINUTES = 120


@pytest.fixture(scope="module")
def shop(server: Server) -> Project:
    project = Project(server)
    events: list[Json] = []
    for person, way in WAYS.items():
        minute = 0
        for what in way.split():
            minute += PAUSE_MINUTES if what == "|" else 1
            if what == "|":
                continue
            on_page = what.startswith("/")
            events.append(
                {
                    "event": "$pageview" if on_page else what.partition("{")[0],
                    "anonymous_id": person,
                    "timestamp": f"2026-05-01T{8 + minute // 60:02}:{minute % 60:02}:00Z",
                    "url": f"https://shop.example{what if on_page else '/'}",
                    "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
                    "properties": {"plan": "free" if "free" in what else "pro"},
                }
            )
    project.batch(events)
    return project


def ways(project: Project, **params: Any) -> dict[str, int]:
    rows = project.ask("/v1/paths", **{"steps": 10, **params})["rows"]
    return {" ".join(row["path"]): row["persons"] for row in rows}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (
            {"start": "signup{plan=pro}"},
            {"purchase": 1, "/welcome purchase": 1, "": 1},
        ),
        ({"end": "purchase", "steps": 2}, {"/pricing signup": 1, "signup /welcome": 1}),
        ({"event": "signup{plan=free}"}, {"/welcome / /pricing": 1}),
        ({"start": "signup{plan=free}", "within": "visit"}, {"/welcome": 1}),
        ({"start": "signup", "within": "visit", "steps": 1}, {"": 2, "/welcome": 2}),
        (
            {"end": "signup", "filters": "path=^/docs*"},
            {"": 3, "/docs": 1},
        ),
        (
            {"end": "signup", "loops": "merge"},
            {
                "/ /docs /pricing": 1,
                "/ /blog /pricing": 1,
                "/blog /pricing /a /b /c /a /d": 1,
                "/": 1,
            },
        ),
        (
            {"start": "/pricing", "end": "signup"},
            {"/docs /pricing": 1, "": 1, "/a /b /c /a /b /c /a /d": 1},
        ),
        (
            {"start": "/pricing", "end": "signup", "loops": "merge"},
            {"/docs /pricing": 1, "": 1, "/a /b /c /a /d": 1},
        ),
        ({"start": "/", "end": "signup", "steps": 1}, {"/docs …": 1, "/blog …": 1, "": 1}),
        ({"start": "signup", "end": "purchase", "within": "visit"}, {"/welcome": 1}),
        ({"start": "signup", "end": "purchase", "window": "1h"}, {"/welcome": 1}),
        (
            {"start": "/pricing", "end": "signup", "filters": "path==/welcome"},
            {"": 3},
        ),
        (
            {"start": "$pageview{path=/pricing}", "end": "signup", "by": "event"},
            {"$pageview": 2, "": 1},
        ),
        ({"start": "signup", "filters": "did==purchase"}, {"purchase": 1, "/welcome purchase": 1}),
        (
            {"start": "/pricing", "filters": "visit.entry_path==/pricing"},
            {"/ /docs": 1},
        ),
    ],
)
def test_ways(shop: Project, params: Json, expected: Json) -> None:
    assert ways(shop, **params) == expected


@pytest.mark.parametrize(
    "asked",
    [
        {"event": "signup"},
        {"end": "signup", "steps": 3, "loops": "merge"},
        {"start": "/pricing", "end": "signup", "steps": 2},
        {"start": "signup", "end": "purchase", "within": "visit"},
        {"start": "signup", "filters": "did==purchase"},
        {"end": "signup", "filters": "path=^/docs*"},
        {"start": "/pricing", "end": "signup", "by": "event"},
    ],
)
def test_as_many_people_as_are_counted(shop: Project, asked: Json) -> None:
    answer = shop.ask("/v1/paths", **asked)

    def people(**which: object) -> list[Json]:
        found = shop.ask("/v1/paths/people", **asked, **which)
        assert (found["persons"], found["event"]) == (len(found["rows"]), answer["event"])
        return list(found["rows"])

    assert len(people()) == answer.get("reached", answer["persons"])
    for row in answer["rows"]:
        paths = [each["path"] for each in people(way=",".join(row["path"]) or "(none)")]
        assert paths == [row["path"]] * row["persons"]
    far = "from" if answer["direction"] == "before" else "to"
    counted = Counter[tuple[int, str]]()
    for flow in answer["flow"]:
        counted[flow["step"], flow[far]] += flow["persons"]
    for (step, node), persons in counted.items():
        assert len(people(node=node, step=step)) == persons, (step, node)


def test_the_people_of_a_way(shop: Project) -> None:
    asked = {"start": "/pricing", "end": "signup", "steps": 1}
    rows = shop.ask("/v1/paths/people", node="…", **asked)["rows"]
    ways = {"ann": ["/docs", "…"], "dan": ["/a", "…"]}
    assert {row["anonymous_id"]: row["path"] for row in rows} == ways
    (dan,) = shop.ask("/v1/paths/people", way="/a,…", **asked)["rows"]
    assert (dan["anonymous_id"], dan["did_at"]) == ("dan", "2026-05-01T08:02:00.000Z")
    assert (dan["first_source"], dan["first_campaign"]) == ("direct", None)
    every = shop.ask("/v1/paths/people", event="signup")["rows"]
    assert [row["anonymous_id"] for row in every] == ["dan", "ann", "ben", "eva"]
    assert shop.pages("/v1/paths/people", event="signup", limit=1) == every
    cursor = shop.ask("/v1/paths/people", event="signup", limit=1)["next_cursor"]
    other = shop.get("/v1/paths/people", event="signup", node="/welcome", cursor=cursor)
    assert other.status == 400
    assert "another question" in other.json["details"]["fieldErrors"]["cursor"][0]


def test_names_are_taken_to_the_letter(project: Project) -> None:
    names = ["{a}", "b \\' \\\\", " c ", "goal:d", "e{f}", "g\\{h"]
    for name in ("z", *names, "a,b"):
        project.track(name, anonymous_id="x")
    asked = [*names[:3], "\\goal:d", "e\\{f\\}", "g\\\\\\{h"]
    for name in asked:
        assert project.ask("/v1/paths", start=name)["persons"] == 1, name
    (way,) = project.ask("/v1/paths", start="z", steps=10)["rows"]
    assert sorted(way["path"]) == sorted([*names, "a,b"])
    escaped = ",".join(re.sub(r"[\\,]|^\s|\s$", r"\\\g<0>", name) for name in way["path"])
    assert project.ask("/v1/paths/people", start="z", steps=10, way=escaped)["persons"] == 1
    for name in way["path"]:
        assert project.ask("/v1/paths/people", start="z", steps=10, node=name)["persons"] == 1, name


def test_between_two_it_is_said_who_got_there(shop: Project) -> None:
    answer = shop.ask("/v1/paths", start="/pricing", end="signup", steps=10)
    assert (answer["event"], answer["end"]) == ("/pricing", "signup")
    # Eva was there only after she had signed up, and Cyd never did.
    assert (answer["persons"], answer["reached"]) == (5, 3)
    assert {row["share"] for row in answer["rows"]} == {1 / 5}
    first = {(flow["from"], flow["to"]): flow["persons"] for flow in answer["flow"][:3]}
    assert answer["flow"][0]["step"] == 1
    assert first == {("/pricing", "/a"): 1, ("/pricing", "/docs"): 1, ("/pricing", "signup"): 1}
    assert "reached" not in shop.ask("/v1/paths", event="signup")


@pytest.mark.parametrize(
    ("params", "parameter", "said"),
    [
        ({}, "event", "required"),
        ({"event": "a", "start": "b"}, "event", "goes without start and end"),
        ({"start": "a", "direction": "before"}, "direction", "goes with event"),
        ({"start": "a{b"}, "start", "cannot read"),
        ({"end": "a{last.source=x}"}, "end", "is of persons"),
    ],
)
def test_what_cannot_be_asked_is_said(
    shop: Project, params: Json, parameter: str, said: str
) -> None:
    reply = shop.get("/v1/paths", **params)
    assert reply.status == 400
    assert said in reply.json["details"]["fieldErrors"][parameter][0]


@pytest.mark.parametrize(
    ("params", "parameter", "said"),
    [
        ({"node": "/a", "way": "/a"}, "way", "goes without node"),
        ({"step": 1}, "step", "goes with node"),
        ({"node": "/a", "step": 0}, "step", "from 1 to 11"),
    ],
)
def test_what_cannot_be_asked_of_people_is_said(
    shop: Project, params: Json, parameter: str, said: str
) -> None:
    reply = shop.get("/v1/paths/people", event="signup", **params)
    assert reply.status == 400
    assert said in reply.json["details"]["fieldErrors"][parameter][0]


def test_names_that_never_came_are_said(shop: Project) -> None:
    answer = shop.ask("/v1/paths", start="singup{plan=pro}", end="purchas")
    assert [warning["parameter"] for warning in answer["warnings"]] == ["start", "end"]
    assert "did you mean 'signup'?" in answer["warnings"][0]["message"]
