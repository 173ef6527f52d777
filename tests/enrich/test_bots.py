"""Crawlers and other programs are stored, and count only where they are asked for."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.test_commands import ok
from tests.enrich.test_agents import CHROME
from tests.support import Json, Project, Server
from threadline.enrich import read_agent

CRAWLER = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
BOTS = [
    CRAWLER,
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    CHROME.replace("Chrome/", "HeadlessChrome/"),
    "Mozilla/5.0 (Unknown; Linux) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1 Safari/538",
    f"{CHROME} Chrome-Lighthouse",
    "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
    "Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)",
]
# Libraries are how servers and apps send what people do.
PEOPLE = [
    "",
    CHROME,
    "python-requests/2.32",
    "python-httpx/0.28",
    "Python-urllib/3.12",
    "Go-http-client/2.0",
    "okhttp/4.12",
    "curl/8.9",
    "Java/21",
    "Shop/7 CFNetwork/1490 Darwin/23",
    "Mozilla/5.0 (Linux; Android 13; Cubot Note) AppleWebKit/537.36 Chrome/141 Mobile Safari/537",
]


@pytest.mark.parametrize("agent", BOTS)
def test_programs(agent: str) -> None:
    found = read_agent(agent)
    assert (found.is_bot, found.device_type) == (True, "other")


@pytest.mark.parametrize("agent", PEOPLE)
def test_people_and_their_libraries(agent: str) -> None:
    found = read_agent(agent)
    assert not found.is_bot


URL = "https://shop.example/?utm_source=x&utm_medium=y"
# Ways to ask, and the number in the answer that is 1 without the bot and 2 with it.
QUESTIONS: list[tuple[str, Json, Callable[[Any], object]]] = [
    ("/v1/query", {}, lambda found: len(found["rows"]) // 3),
    ("/v1/query", {"event": "signup"}, lambda found: len(found["rows"])),
    ("/v1/stats", {"event": "signup"}, lambda found: found["rows"][0]["value"]),
    ("/v1/stats", {"metric": "uniques"}, lambda found: found["rows"][0]["value"]),
    ("/v1/stats", {"metric": "persons"}, lambda found: found["rows"][0]["value"]),
    ("/v1/sources", {}, lambda found: found["rows"][0]["persons"]),
    ("/v1/users", {}, lambda found: len(found["rows"])),
    ("/v1/users", {"stitch": "next"}, lambda found: len(found["rows"])),
    ("/v1/users", {"as_of": "2100-01-01"}, lambda found: len(found["rows"])),
    ("/v1/sessions", {}, lambda found: found["rows"][0]["sessions"]),
    ("/v1/attribution", {"conversion": "signup"}, lambda found: found["total"]["conversions"]),
    ("/v1/funnel", {"steps": "look,signup"}, lambda found: found["rows"][0]["steps"][1]["persons"]),
    ("/v1/retention", {}, lambda found: found["rows"][0]["persons"]),
    ("/v1/paths", {"event": "signup", "direction": "before"}, lambda f: f["persons"]),
    ("/v1/time-to-conversion", {"conversion": "signup"}, lambda f: f["rows"][0]["persons"]),
    ("/v1/identity/stats", {}, lambda found: found["users"]),
    ("/v1/export", {"event": "signup"}, lambda found: found),
]


def visit(project: Project, agent: str, device: str, user: str) -> None:
    events: list[Json] = [
        {"event": "look", "anonymous_id": device, "timestamp": "2026-05-04T10:00:00Z"},
        {"event": "look", "anonymous_id": device, "timestamp": "2026-05-04T10:01:00Z"},
        {
            "event": "signup",
            "anonymous_id": device,
            "user_id": user,
            "timestamp": "2026-05-04T10:02:00Z",
        },
    ]
    fields = {"url": URL, "user_agent": agent}
    project.batch([{**event, **fields} for event in events])


def test_every_answer_leaves_them_out_unless_asked(server: Server, project: Project) -> None:
    visit(project, CHROME, "laptop", "ada")
    visit(project, CRAWLER, "crawler", "nobody")
    for path, params, number in QUESTIONS:
        for include_bots, expected in ((None, 1), ("false", 1), ("true", 2)):
            reply = project.get(path, include_bots=include_bots, **params)
            assert reply.status == 200, (path, reply)
            if path == "/v1/export":
                assert reply.body.count(b"\n") == expected
            else:
                assert number(reply.json) == expected, (path, params, include_bots, reply.json)

    assert project.get("/v1/users/nobody").status == 404
    assert project.ask("/v1/users/nobody", include_bots="true")["user_id"] == "nobody"
    (row,) = project.ask("/v1/users/nobody/events", include_bots="true", limit=1)["rows"]
    assert row["is_bot"] is True
    assert "is_bot" not in project.stored()[0]
    sql = "SELECT count() AS n, countIf(is_bot) AS bots FROM stitched_events"
    where = ("--project", project.project_id, "--data", str(server.folder), "--format", "csv")
    assert ok("sql", sql, *where).splitlines()[1] == "3,0"
    assert ok("sql", sql, "--include-bots", *where).splitlines()[1] == "6,3"


def test_a_bot_on_a_device_says_nothing_of_whose_it_is(project: Project) -> None:
    """A headless browser that signs in must not make the device a shared one."""
    visit(project, CHROME, "laptop", "ada")
    visit(project, CRAWLER, "laptop", "test-account")
    assert project.ask("/v1/identity/shared-devices")["rows"] == []
    (shared,) = project.ask("/v1/identity/shared-devices", include_bots="true")["rows"]
    assert shared["anonymous_id"] == "laptop"
    assert len(project.journey("ada", stitch="any")) == 3
    project.post("/v1/forget", {"user_id": "test-account"})
    assert len(project.journey("ada", include_bots="true", stitch="next")) == 5
