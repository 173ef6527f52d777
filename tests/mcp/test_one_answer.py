"""One answer, whoever asks: every question of the registry over HTTP, by the Python SDK, by
`threadline ask`, and by MCP over HTTP and over stdio: without filters on the demo's log, and with
filters on a random one.

(Commands themselves are held to HTTP by tests/cli/test_ask.py, and the dashboard's pages by
tests/dashboard/test_agreement.py.)
"""

import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest
from mcp.client.client import Client as Agent

from tests.cli.test_ask import OF_USERS, PARAMS
from tests.mcp.agents import over_http, over_stdio, quick, run
from tests.support import Json, Project, Server
from threadline import Client, settings
from threadline.cli.ask import questions
from threadline.cli.demo_log import DemoLog
from threadline.contract.times import DAY_MS, format_ms, utc_ms
from threadline.mcp.tools import SAYS
from threadline.questions.registry import QUESTIONS

UNTIL_MS = 1_777_852_800_000  # 2026-05-04, as the parameters are about
DEMO = {"events": 1500, "visitors": 100, "users": 25}
RANDOM_EVENTS = 400
FILTERS = {"person": "first.source!=newsletter", "event": "country!=FR"}


def demo_log() -> list[Json]:
    log = DemoLog(**DEMO, seed=7, until_ms=UNTIL_MS)
    return [dict(sent.event) for person in log.people() for sent in person.sent]


def random_log() -> list[Json]:
    random = Random(23)
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


@pytest.mark.parametrize("log", ["demo", "random"])
def test_one_answer(running: Server, folder: Path, log: str) -> None:
    project = Project(running)
    events = demo_log() if log == "demo" else random_log()
    for start in range(0, len(events), 1000):
        project.batch(events[start : start + 1000])
    if log == "demo":  # it has no accounts
        user_id = next(event["user_id"] for event in events if event.get("user_id"))
        acme = {"account_id": "acme"}
        project.track("$group", user_id=user_id, properties=acme, timestamp="2026-05-01")
    users = project.ask("/v1/users", conversion="signup", limit=1000)["rows"]
    asked = [*asked_of(users, events[0]["event_id"]).items()]
    if log == "random":
        asked = [(name, found) for name, each in asked if (found := narrowed(name, each))]
    expected = [over_http_alone(project, name, params) for name, params in asked]
    assert sum(len(answer.get("rows", [])) for answer in expected) > 50, "there is something"

    if log == "random":  # of the others tests/cli/test_ask.py does it
        with questions(settings.load(data=str(folder)), project.project_id) as command:
            for (name, params), answer in zip(asked, expected, strict=True):
                assert command.ask(name, params) == answer, name
    sdk = Client(project.keys["rk"], project.url)
    for (name, params), answer in zip(asked, expected, strict=True):
        assert by_sdk(sdk, name, params, answer) == answer, name
    run(lambda: agents_agree(project, folder, asked, expected))


def over_http_alone(project: Project, name: str, params: Json) -> Json:
    question, rest = QUESTIONS[name], dict(params)
    parts = {part: rest.pop(part) for part in question.in_path}
    return project.ask(question.path.format(**parts), **rest)


def by_sdk(client: Client, name: str, params: Json, answer: Json) -> Any:
    """As HTTP has it, where the SDK keeps it; typed lists are compared by what identifies them."""
    given = dict(params)
    if name.startswith("funnel"):
        given["steps"] = given["steps"].split(",")
    found = getattr(client.users if name in OF_USERS else client, OF_USERS.get(name, name))(**given)
    if hasattr(found, "answer"):
        return found.answer
    if name == "profile":
        assert found.user_id == answer["user_id"]
        assert format_ms(utc_ms(found.known_since)) == answer["known_since"]
        return answer
    if hasattr(found, "to_dicts"):  # follows its cursor, so there may be more
        column = "user_id" if name == "users" else "event_id"
        ids = [row[column] for row in answer["rows"]]
        assert [row[column] for row in found.to_dicts()][: len(ids)] == ids
        return answer
    return found


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
                result = await quick(agent, SAYS[name].name, **params)
                assert not result.is_error, (way, name, result.content)
                assert result.structured_content == answer, (way, name)
                text = result.content[1].text  # type: ignore[union-attr]
                assert json.loads(text) == answer, (way, name)
