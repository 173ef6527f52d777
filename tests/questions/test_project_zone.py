"""A project's own time zone: what every question takes as its `tz` where it has none, whoever asks.
Without it, and where `tz` is said, all is as it was."""

import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from tests.cli.test_ask import PARAMS
from tests.cli.test_commands import fails, ok
from tests.mcp.agents import (
    account_key,
    called,
    calling,
    over_http,
    over_stdio,
    post,
    quick,
    run,
)
from tests.support import Json, Project, Server
from threadline import Client
from threadline.mcp.tools import SAYS
from threadline.questions.registry import QUESTIONS

ZONE = "Asia/Kolkata"  # five and a half hours before UTC
# Dates, which begin by some clocks, and lengths of time of which the answer says what they came to.
DATES = {"from": "2026-05-01", "to": "2026-05-08"}
ASKED: dict[str, Json] = {
    **{
        name: {**params, **DATES}
        for name, params in PARAMS.items()
        if {"from", "to", "tz"}
        <= {field.encode_name for field in msgspec.structs.fields(QUESTIONS[name].params)}
    },
    "changes": {"to": "2026-05-08"},
    "retention_people": PARAMS["retention_people"],
}
SERIES = {"metric": "count", "interval": "day", **DATES}


def send(project: Project) -> None:
    """People around midnight, so that days of other clocks are other days."""
    events = []
    for number in range(40):
        day, hour = 1 + number % 6, (number * 7) % 24
        events.append(
            {
                "event": ("$pageview", "signup", "$group")[number % 3],
                "event_id": f"z{number}",
                "anonymous_id": f"d{number % 9}",
                "user_id": f"u{number % 9}" if number % 4 else None,
                "timestamp": f"2026-05-{day:02}T{hour:02}:10:00Z",
                "url": "https://shop.example/?utm_source=facebook&utm_medium=social",
                "properties": {"account_id": "acme"},
            }
        )
    project.batch(events)


def ask(project: Project, name: str, **more: str) -> Json:
    question, params = QUESTIONS[name], {**ASKED[name], **more}
    if name == "why":
        params["user_id"] = "u1"
    parts = {part: params.pop(part) for part in question.in_path}
    return project.ask(question.path.format(**parts), **params)


def put(project: Project, zone: object) -> Json:
    path = f"/v1/projects/{project.project_id}"
    reply = project.change("PUT", path, {"timezone": zone})
    assert reply.status == 200, reply
    return reply.json


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zone") / "data"


@pytest.fixture(scope="module")
def running(data: Path) -> Iterator[Server]:
    with Server(data) as server:
        yield server


@pytest.fixture(scope="module")
def shop(running: Server) -> Project:
    project = Project(running)
    send(project)
    return project


def test_it_is_the_default_of_every_question_and_said(shop: Project) -> None:
    assert len(ASKED) >= 12, "those that take a time zone"
    before = {name: ask(shop, name) for name in ASKED}
    said = {name: ask(shop, name, tz=ZONE) for name in ASKED}
    assert not any("tz" in answer for answer in [*before.values(), *said.values()])
    other = [name for name in ASKED if before[name] != said[name]]
    assert len(other) >= 10, "other clocks are another answer"

    assert put(shop, ZONE)["timezone"] == ZONE
    for name in ASKED:
        assert ask(shop, name) == {**said[name], "tz": ZONE}, name
        # Who says by whose clocks is asked about those.
        assert ask(shop, name, tz="UTC") == {**before[name], "tz": "UTC"}, name
    assert put(shop, None)["timezone"] is None
    assert {name: ask(shop, name) for name in ASKED} == before


def test_relative_times_are_of_the_zone(shop: Project) -> None:
    put(shop, ZONE)
    answer = shop.ask("/v1/stats", from_="yesterday")
    assert (answer["from"][11:], answer["to"][11:]) == ("18:30:00.000Z", "18:30:00.000Z")
    put(shop, None)
    answer = shop.ask("/v1/stats", from_="yesterday")
    assert (answer["from"][11:], answer["to"][11:]) == ("00:00:00.000Z", "00:00:00.000Z")


def test_whoever_asks(running: Server, data: Path, shop: Project) -> None:
    put(shop, ZONE)
    params = {name: value for name, value in SERIES.items() if name not in DATES}
    expected = shop.ask("/v1/stats", **SERIES)
    assert expected["tz"] == ZONE
    assert {row["bucket"][11:] for row in expected["rows"]} == {"18:30:00.000Z"}
    sdk = Client(shop.keys["rk"], shop.url)
    assert sdk.stats(**params, **{"from": DATES["from"], "to": DATES["to"]}).answer == expected
    asked = [f"{name}={value}" for name, value in SERIES.items()]
    own = ("--project", shop.project_id, "--data", str(data))
    assert json.loads(ok("ask", "stats", *asked, *own, "--json")) == expected
    shown = ok("sql", "--show", f"/v1/stats?{'&'.join(asked)}", *own)
    assert f"'{ZONE}'" in shown
    timeline = ok("user", "u1", *own)
    assert ZONE in timeline
    assert "UTC" in ok("user", "u1", "--tz", "UTC", *own)

    async def agents() -> None:
        async with AsyncExitStack() as opened:
            for agent in (
                await opened.enter_async_context(over_http(shop)),
                await opened.enter_async_context(over_stdio(data, *own[:2])),
            ):
                result = await quick(agent, SAYS["stats"].name, **SERIES)
                assert result.structured_content == expected
                assert f"days as in {ZONE}.)" in result.content[0].text  # type: ignore[union-attr]

    run(agents)


def test_a_week_of_what_changed_is_named_by_its_own_days(shop: Project) -> None:
    put(shop, ZONE)
    said = called(shop, "what_changed", to="2026-05-08")["result"]["content"][0]["text"]
    assert "from 2026-05-01 to 2026-05-08" in said
    put(shop, None)
    said = called(shop, "what_changed", to="2026-05-08", tz=ZONE)["result"]["content"][0]["text"]
    assert "from 2026-05-01 to 2026-05-08" in said


def test_projects_of_several_zones_are_compared_each_by_its_own(folder: Path) -> None:
    other = ok("project", "create", "other", "--timezone", ZONE, "--json", "--data", str(folder))
    there = json.loads(other)["project_id"]
    with Server(folder) as server:
        project = Project(server)
        account_key(folder, project)

        def compared() -> Json:
            asked = calling("compare_projects", metric="count", **{"from": "2026-05-01"})
            found: Json = post(project, asked, "ak", "/mcp/account").json["result"]
            return dict(found["structuredContent"])

        rows = {row["project_id"]: row for row in compared()["rows"]}
        assert "from" not in compared()
        assert rows[project.project_id]["from"] == "2026-05-01T00:00:00.000Z"
        assert rows[there]["from"] == "2026-04-30T18:30:00.000Z"
        assert rows[there]["tz"] == ZONE
        ok("project", "set", "other", "--timezone", "none", "--data", str(folder))
        again = compared()
        assert again["from"] == "2026-05-01T00:00:00.000Z"
        assert not any("from" in row for row in again["rows"])


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("Mars/Base", "there is no time zone 'Mars/Base'; write a name such as Europe/Berlin"),
        ("europe/berlin", "there is no time zone 'europe/berlin'; did you mean Europe/Berlin?"),
        ("Europe/Berln", "there is no time zone 'Europe/Berln'; did you mean Europe/Berlin?"),
        ("localtime", "there is no time zone 'localtime'"),
        ("../etc/passwd", "there is no time zone '../etc/passwd'"),
        ("", "there is no time zone ''"),
    ],
)
def test_what_is_no_zone(shop: Project, data: Path, zone: str, said: str) -> None:
    before = shop.get("/v1/projects").json
    reply = shop.change("PUT", f"/v1/projects/{shop.project_id}", {"timezone": zone})
    assert (reply.status, reply.error) == (400, "invalid_payload"), reply
    assert said in reply.json["details"]["message"]
    (message,) = reply.json["details"]["fieldErrors"]["timezone"]
    assert message.startswith(said)
    where = ("--data", str(data))
    assert said in fails("project", "set", shop.project_id, "--timezone", zone, *where)
    assert said in fails("project", "create", "new", "--timezone", zone, *where)
    assert shop.get("/v1/projects").json == before
