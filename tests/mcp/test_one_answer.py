"""One answer, whoever asks: every question of the registry over HTTP, by the Python SDK, by
`threadline ask`, by MCP over HTTP and over stdio, and by the dashboard's data layer; with filters
and without, on the demo's log and on random ones, one of a project with a time zone of its own.

(Commands themselves are held to HTTP by tests/cli/test_ask.py, and the dashboard's pages by
tests/dashboard/test_agreement.py.)
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import fields, is_dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from mcp.client.client import Client as Agent

from tests.cli.test_ask import OF_USERS, PARAMS
from tests.mcp.agents import over_http, over_stdio, quick, run
from tests.support import Json, Project, Server
from tests.width import wide
from threadline import Client, settings_given
from threadline.cli.ask import questions
from threadline.cli.demo_log import DemoLog
from threadline.contract.times import DAY_MS, format_ms, utc_ms
from threadline.mcp.tools import SAYS
from threadline.questions.registry import QUESTIONS

DASHBOARD = Path(__file__).parents[2] / "dashboard"
UNTIL_MS = 1_777_852_800_000  # 2026-05-04, as the parameters are about
DEMO = {"events": 1500, "visitors": 100, "users": 25}
RANDOM_EVENTS = 400
FILTERS = {"person": "first.source!=newsletter", "event": "country!=FR"}


def demo_log() -> list[Json]:
    log = DemoLog(**DEMO, seed=7, until_ms=UNTIL_MS)
    return [dict(sent.event) for person in log.people() for sent in person.sent]


def random_log(seed: int) -> list[Json]:
    random = Random(seed)
    sources = ["facebook", "google", "newsletter", ""]
    events = []
    for number in range(RANDOM_EVENTS):
        user = random.choice([None, None, f"u{random.randint(1, 12)}"])
        source = random.choice(sources)
        at_ms = UNTIL_MS - int(random.random() * 20 * DAY_MS)
        event: Json = {
            "event": random.choice(["$pageview", "$pageview", "signup", "purchase", "$group"]),
            "event_id": f"r{number}",
            "anonymous_id": f"d{random.randint(1, 30)}",
            "timestamp": format_ms(at_ms),
            "url": f"https://shop.example/{random.randint(1, 4)}?utm_source={source}"
            if source
            else "https://shop.example/",
            "properties": {"value": random.choice([5, 7.25, 0.1]), "account_id": "acme"},
        }
        events.append(event | ({"user_id": user} if user else {}))
    return events


def asked_of(users: list[Json], event_id: str) -> dict[str, Json]:
    """The parameters of every question, about what is in the log."""
    user_id = next(row["user_id"] for row in users if row.get("converted_at"))
    found = {name: dict(params) for name, params in PARAMS.items()}
    for name in ("profile", "journey", "why"):
        found[name]["user_id"] = user_id
    found["explain"]["event_id"] = event_id
    found["stats"]["to"] = "2026-05-05"
    return found


def narrowed(name: str, params: Json) -> Json | None:
    """With a filter that this question takes; None where it takes none."""
    for scope, text in FILTERS.items():
        if scope in QUESTIONS[name].narrows:
            return {**params, "filters": text}
    return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("one") / "data"


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Server]:
    with Server(folder) as server:
        yield server
        assert server.stop() == 0
        failures = [line for line in server.lines if '"error"' in line]
        assert not failures, failures


LOGS = [("demo", None), ("random", "America/St_Johns")]


@pytest.mark.parametrize(("log", "zone"), wide(LOGS, [*LOGS, ("random", None)]))
def test_one_answer(running: Server, folder: Path, log: str, zone: str | None) -> None:
    project = Project(running)
    if zone:
        path = f"/v1/projects/{project.project_id}"
        assert project.change("PUT", path, {"timezone": zone}).status == 200
    events = demo_log() if log == "demo" else random_log(seed=24 if zone else 23)
    for start in range(0, len(events), 1000):
        project.batch(events[start : start + 1000])
    if log == "demo":  # it has no accounts
        user_id = next(event["user_id"] for event in events if event.get("user_id"))
        acme = {"account_id": "acme"}
        project.track("$group", user_id=user_id, properties=acme, timestamp="2026-05-01")
    users = project.ask("/v1/users", conversion="signup", limit=1000)["rows"]
    asked = [*asked_of(users, events[0]["event_id"]).items()]
    filtered = [(name, found) for name, each in asked if (found := narrowed(name, each))]
    assert len(filtered) >= 10, "most questions take filters"
    asked += filtered
    expected = [over_http_alone(project, name, params) for name, params in asked]
    assert sum(len(answer.get("rows", [])) for answer in expected) > 80, "there is something"
    assert sum(answer.get("tz") == zone for answer in expected) >= 10, "of most the zone is said"

    with questions(settings_given.load(data=str(folder)), project.project_id) as command:
        for (name, params), answer in zip(asked, expected, strict=True):
            assert command.ask(name, params) == answer, name
    sdk = Client(project.keys["rk"], project.url)
    for (name, params), answer in zip(asked, expected, strict=True):
        assert by_sdk(sdk, name, params, answer) == answer, name
    pages = by_the_dashboard(project, asked)
    for (name, _), page, answer in zip(asked, pages, expected, strict=True):
        assert page == answer, name
    run(lambda: agents_agree(project, folder, asked, expected))


def by_the_dashboard(project: Project, asked: list[tuple[str, Json]]) -> list[Json]:
    """What the dashboard's own data layer hands to its pages."""
    addresses = [[QUESTIONS[name].path, params] for name, params in asked]
    done = subprocess.run(
        ["node", "test/ask.mjs", project.url, project.keys["rk"]],
        cwd=DASHBOARD,
        input=json.dumps(addresses),
        text=True,
        capture_output=True,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stderr
    answers: list[Json] = json.loads(done.stdout)
    return answers


def over_http_alone(project: Project, name: str, params: Json) -> Json:
    question, rest = QUESTIONS[name], dict(params)
    parts = {part: rest.pop(part) for part in question.in_path}
    return project.ask(question.path.format(**parts), **rest)


def by_sdk(client: Client, name: str, params: Json, answer: Json) -> Any:
    """As HTTP has it, where the SDK keeps it; of typed objects every field is compared."""
    given = dict(params)
    if name.startswith("funnel"):
        given["steps"] = given["steps"].split(",")
    found = getattr(client.users if name in OF_USERS else client, OF_USERS.get(name, name))(**given)
    if hasattr(found, "answer"):
        return found.answer
    if name == "profile":
        assert_same(found, answer)
        return answer
    if hasattr(found, "pages"):
        assert_same(next(found.pages()), answer["rows"])
        return answer
    return found


def assert_same(typed: Any, wire: Any) -> None:
    """What the SDK made of a part of an answer, against that part: what is not there is absent, and
    nothing is there that it has no field for."""
    if isinstance(typed, list | tuple):
        assert len(typed) == len(wire)
        for one, part in zip(typed, wire, strict=True):
            assert_same(one, part)
    elif is_dataclass(typed):
        names = {each.name for each in fields(typed)}
        assert not wire.keys() - names, type(typed)
        for name in names:
            if name in wire:
                assert_same(getattr(typed, name), wire[name])
            else:
                assert not getattr(typed, name), name
    elif isinstance(typed, dict) and isinstance(wire, str):
        assert typed == json.loads(wire)  # properties, as they were sent
    elif isinstance(typed, datetime):
        assert format_ms(utc_ms(typed)) == wire
    else:
        assert typed == wire


async def agents_agree(
    project: Project, folder: Path, asked: list[tuple[str, Json]], expected: list[Json]
) -> None:
    async with AsyncExitStack() as agents:
        ways: dict[str, Agent] = {
            "http": await agents.enter_async_context(over_http(project)),
            "stdio": await agents.enter_async_context(
                over_stdio(folder, "--project", project.project_id)
            ),
        }
        for (name, params), answer in zip(asked, expected, strict=True):
            for way, agent in ways.items():
                found = await all_pages(agent, SAYS[name].name, params, answer)
                assert found == answer, (way, name)


async def all_pages(agent: Agent, tool: str, params: Json, answer: Json) -> Json:
    """What the tool answers, in one piece where it had to be cut for a conversation. `answer`: the
    whole, which may end with a cursor of its own."""
    pages: list[Json] = []
    cursor: Json = {}
    while not pages or cursor:
        result = await quick(agent, tool, **params, **cursor)
        assert not result.is_error, (tool, result.content)
        page = dict(result.structured_content)
        assert json.loads(result.content[1].text) == page, tool  # type: ignore[union-attr]
        pages.append(page)
        more = page.get("next_cursor")
        cursor = {"cursor": more} if more != answer.get("next_cursor") else {}
    whole = pages[0]
    if len(pages) > 1:
        del whole["next_cursor"]
    for name in whole:
        if any(page[name] != whole[name] for page in pages):
            whole[name] = [entry for page in pages for entry in page[name]]
    return whole
