"""Answers larger than a conversation can hold: cut, with a cursor that leads to all of it."""

import asyncio
import json
from typing import Any

import pytest

from tests.mcp.agents import called, found, refused
from tests.support import Json, Project, Server
from threadline.mcp import catalogue, resources
from threadline.mcp.api import Answered, ProjectApi, Reply, Session
from threadline.mcp.pages import MAX_BYTES, _read, cut

PATHS = 700


@pytest.fixture(scope="module")
def shop(server: Server) -> Project:
    project = Project(server)
    events = [
        {
            "event": "$pageview",
            "event_id": f"e{number}",
            "anonymous_id": "a",
            "user_id": "u",
            "timestamp": f"2026-05-01T10:{number // 60:02}:{number % 60:02}Z",
            "path": f"/{number:04}/{'long' * 30}",
            "properties": {"note": "x" * 300},
        }
        for number in range(PATHS)
    ]
    project.batch(events)
    return project


def walked(project: Project, tool: str, **arguments: Any) -> tuple[list[Json], int]:
    """All rows, page by page, and how many pages there were."""
    rows: list[Json] = []
    cursor, pages = None, 0
    while pages == 0 or cursor:
        more: Json = {"cursor": cursor} if cursor else {}
        result = called(project, tool, **arguments, **more)["result"]
        page = result["structuredContent"]
        assert len(json.dumps(page, separators=(",", ":"), ensure_ascii=False)) <= MAX_BYTES
        rows += page["rows"]
        cursor, pages = page.get("next_cursor"), pages + 1
        if cursor and "limit" not in arguments:
            said = result["content"][0]["text"]
            assert "next_cursor leads to those that follow" in said
            assert "arrow" in said, "it says how to narrow"
    return rows, pages


def test_rows_with_a_cursor_of_their_own(shop: Project) -> None:
    rows, pages = walked(shop, "query_events", limit=1000)
    assert [row["event_id"] for row in rows] == [f"e{n}" for n in reversed(range(PATHS))]
    assert pages > 5
    few, pages = walked(shop, "user_journey", user_id="u", limit=350)
    assert [row["event_id"] for row in few] == [f"e{n}" for n in range(PATHS)]
    assert pages >= 2


def test_rows_without_one(shop: Project) -> None:
    rows, pages = walked(shop, "get_stats", group_by="path", limit=1000)
    whole = shop.ask("/v1/stats", group_by="path", limit=1000)["rows"]
    assert rows == whole
    assert pages > 1
    again = found(shop, "get_stats", group_by="path", limit=1000)
    cursor = again["next_cursor"]
    said = refused(shop, "get_stats", group_by="path", limit=999, cursor=cursor)
    assert "it belongs to another question" in said
    for bad in ("x", "!", "e30", cursor[:-2]):
        assert "cursor:" in refused(shop, "get_stats", group_by="path", limit=1000, cursor=bad)


def test_what_fits_is_whole(shop: Project) -> None:
    answer = found(shop, "get_stats", group_by="path", limit=5)
    assert "next_cursor" not in answer
    assert len(answer["rows"]) == 5


def test_notes_of_a_series_come_once_and_rows_go_on() -> None:
    rows = [{"row": number, "text": "r" * 60} for number in range(1500)]
    found = {"rows": rows, "annotations": [{"text": "n" * 600}] * 150, "group_by": ["source"]}
    answered, seen = cut(Answered(dict(found)), ""), []
    for _ in range(9):
        seen += answered.found["rows"]
        if "next_cursor" not in answered.found:
            break
        assert f"of {len(rows):,} entries of rows" in answered.notes[0]
        place = _read(answered.found["next_cursor"], "")
        answered = cut(Answered(dict(found)), "", place)
        assert answered.found["annotations"] == []
        assert answered.found["group_by"] == ["source"]
    assert seen == rows


def test_several_lists_are_cut_together() -> None:
    big = {"rows": ["r" * 100] * 2000, "flow": ["f" * 100] * 1500, "persons": 7}
    first = cut(Answered(big), "print")
    assert len(json.dumps(first.found)) <= MAX_BYTES * 1.2
    assert first.found["persons"] == 7
    assert len(first.notes) == 2
    assert cut(Answered({"text": "x" * 100_000}), "").found == {"text": "x" * 100_000}


class Counts:
    """A project that has counted so many events."""

    def __init__(self, value: int) -> None:
        self._value = value

    async def call(self, method: str, path: str, query: str = "", body: bytes = b"") -> Reply:
        found = {"metric": "count", "rows": [{"value": self._value}]}
        return Reply(200, json.dumps(found).encode())


def account(many: int) -> Session:
    name = "shop" * 20
    projects = [ProjectApi(f"prj_{nth}", f"{name} {nth}", Counts(nth)) for nth in range(many)]
    return Session("ak", "ak_1", projects=projects)


@pytest.mark.parametrize("tool", ["list_projects", "compare_projects"])
def test_an_account_of_many_projects(tool: str) -> None:
    session = account(1500)
    rows: list[Json] = []
    cursor: Json = {}
    while cursor or not rows:
        result = asyncio.run(catalogue.call(session, tool, cursor))
        assert not result.is_error, result.text
        assert len(json.dumps(result.structured, separators=(",", ":"))) <= MAX_BYTES
        rows += result.structured["rows"]
        more = result.structured.get("next_cursor")
        assert not more or "next_cursor leads to those that follow" in result.text
        cursor = {"cursor": more} if more else {}
    expected = range(1500) if tool == "list_projects" else reversed(range(1500))
    assert [row["project_id"] for row in rows] == [f"prj_{nth}" for nth in expected]
    whole = asyncio.run(catalogue.call(account(3), tool, {}))
    assert len(whole.structured["rows"]) == 3
    assert "next_cursor" not in whole.structured
    wrong = asyncio.run(catalogue.call(session, tool, {"cursor": "x"}))
    assert "cursor:" in wrong.text


def test_the_resource_of_projects_goes_on_by_the_tool() -> None:
    session = account(1500)

    async def read() -> resources.Text:
        return await resources.read(session, "projects://all")()

    text = asyncio.run(read()).text
    assert len(text) <= MAX_BYTES
    found = json.loads(text)
    cursor = {"cursor": found["next_cursor"]}
    more = asyncio.run(catalogue.call(session, "list_projects", cursor)).structured["rows"]
    assert more[0]["project_id"] == f"prj_{len(found['rows'])}"
