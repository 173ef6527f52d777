"""An agent without a model: it has read what the server says of its tools, and nothing else.

It takes the tool whose title and description have most of the question's words, the rarer the
better, and fills in what the tool's schema names out of what it learned from earlier answers. So
this fails where descriptions do not tell tools apart, or schemas do not say what is needed.
"""

import re
from collections import Counter
from collections.abc import Callable
from math import log
from typing import NamedTuple

import pytest
from mcp.client.client import Client
from mcp_types import Tool

from tests.mcp.agents import over_http, run
from tests.support import Json, Project, Server
from tests.test_story import tell

WORD = re.compile(r"[a-z]+")
# `initialize` or `server/discover`, `tools/list`, and one call a question; three to learn names.
MOST_CALLS = 2 + 3 + 10


class Question(NamedTuple):
    """`given`: what the question itself says, by the parameter it is for; `knows`: which of what
    was learned it speaks of. `holds`: whether an answer answers it."""

    text: str
    given: Json
    knows: tuple[str, ...]
    holds: Callable[[Json], bool]


QUESTIONS = [
    Question(
        "How many people signed up, counted by source?",
        {"metric": "persons", "group_by": "first.source"},
        ("event",),
        lambda found: found["rows"] == [{"first.source": "facebook", "value": 1}],
    ),
    Question(
        "Where do our visitors come from?",
        {},
        (),
        lambda found: {row["source"] for row in found["rows"]} == {"direct", "facebook"},
    ),
    Question(
        "Which source brought the conversions by first touch, and which closed them by last?",
        {"model": "first_touch,last_touch", "stitch": "next"},
        ("conversion",),
        lambda found: found["total"]["conversions"] == 1,
    ),
    Question(
        "Where did this person come from, what was their first touch?",
        {},
        ("user_id",),
        lambda found: found["first_touch"]["source"] == "facebook",
    ),
    Question(
        "What did this one user do, event by event, before they were known?",
        {"phase": "before"},
        ("user_id",),
        lambda found: len(found["rows"]) >= 1,
    ),
    Question(
        "How far do people get step by step, and where do they drop off?",
        {"steps": "$pageview,signup", "window": "30d"},
        (),
        lambda found: found["rows"][0]["steps"][-1]["persons"] == 1,
    ),
    Question(
        "Do people stay: of those who began, how many come back?",
        {"interval": "day"},
        (),
        lambda found: sum(row["persons"] for row in found["rows"]) >= 1,
    ),
    Question(
        "What are the most frequent ways of people before an event?",
        {"direction": "before"},
        ("event",),
        lambda found: found["persons"] == 1,
    ),
    Question(
        "How long do people take from first touch to the conversion?",
        {},
        ("conversion",),
        lambda found: found["rows"][0]["persons"] == 1,
    ),
    Question(
        "Explain whose this event is, and why it counts for the user",
        {},
        ("event_id",),
        lambda found: "next" in found["policies"],
    ),
]


class Walker:
    """The agent. `calls`: how many requests it has made."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.calls = 1
        self.learned: dict[str, str] = {}
        self._tools: dict[str, Tool] = {}

    async def look_around(self) -> None:
        """As the server's instructions say: the tools, then the names there are."""
        self.calls += 1
        self._tools = {tool.name: tool for tool in (await self._client.list_tools()).tools}
        assert "schema" in (self._client.instructions or ""), "it says where to begin"
        schema = await self.call("schema", {})
        own = [each["event"] for each in schema["events"] if not each["event"].startswith("$")]
        users = await self.call("users", {"limit": 1})
        events = await self.call("query_events", {"event": own[0], "limit": 1})
        self.learned = {
            "event": own[0],
            "conversion": own[0],
            "user_id": users["rows"][0]["user_id"],
            "event_id": events["rows"][0]["event_id"],
        }

    async def call(self, name: str, arguments: Json) -> Json:
        self.calls += 1
        result = await self._client.call_tool(name, arguments)
        assert not result.is_error, (name, arguments, result.content)
        found: Json = result.structured_content
        return found

    def choose(self, question: Question) -> Tool:
        said = {name: _words(f"{t.title} {t.description}") for name, t in self._tools.items()}
        in_how_many = Counter(word for words in said.values() for word in words)
        has = {*question.given, *question.knows}

        def fits(name: str) -> float:
            tool = self._tools[name]
            takes = tool.input_schema["properties"]
            needs = set(tool.input_schema.get("required", []))
            if not has <= set(takes) or not needs <= has:
                return -1.0
            asked = _words(question.text) & said[name]
            return sum(log(len(said) / in_how_many[word]) for word in asked)

        return self._tools[max(said, key=fits)]

    async def answer(self, question: Question) -> tuple[str, Json]:
        tool = self.choose(question)
        arguments = {**question.given, **{name: self.learned[name] for name in question.knows}}
        return tool.name, await self.call(tool.name, arguments)


def _words(text: str) -> set[str]:
    """In lower case, without what makes them plural or past."""
    return {re.sub(r"(ed|s)$", "", word) for word in WORD.findall(text.lower()) if len(word) > 2}


@pytest.fixture(scope="module")
def shop(server: Server) -> Project:
    project = Project(server)
    tell(project)
    return project


def test_ten_questions_in_fifteen_calls(shop: Project) -> None:
    async def work() -> tuple[dict[str, str], list[str], int]:
        async with over_http(shop) as client:
            walker = Walker(client)
            await walker.look_around()
            took, wrong = {}, []
            for question in QUESTIONS:
                name, found = await walker.answer(question)
                took[question.text] = name
                if not question.holds(found):
                    wrong.append(f"{question.text} by {name}: {found}")
            return took, wrong, walker.calls

    took, wrong, calls = run(work)
    assert not wrong, (wrong, took)
    assert calls == MOST_CALLS
    assert len(set(took.values())) == len(QUESTIONS), took
