"""What an export says of visitors' agents, which are not stored, is what an import of it has."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.cli.test_commands import ok, run
from tests.cli.test_import_export import project_in, write_ndjson
from tests.enrich.test_agents import IPHONE
from tests.support import Project, Server

# A person, a bot, a visitor without a page, and what a server said of a user: with which agent.
PHONE = f"{IPHONE} Version/17.5 Mobile/15E148 Safari/604.1"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
OF_AGENTS = "event device_type browser os is_bot source_rule_id".split()
WITH_AGENTS: list[dict[str, object]] = [
    {"event": "look", "url": "https://shop.example/", "user_agent": PHONE},
    {"event": "crawl", "url": "https://shop.example/", "user_agent": GOOGLEBOT},
    {"event": "click", "user_agent": PHONE},
    {"event": "paid", "user_id": "ada"},
]


def of_agents(folder: Path, *more: str) -> list[list[object]]:
    rows = map(
        json.loads, ok("export", "--include-bots", "--data", str(folder), *more).splitlines()
    )
    return sorted([row[name] for name in OF_AGENTS] for row in rows)


KNOWN = [
    ["click", "mobile", "safari", "ios", False, "direct"],
    ["crawl", "other", "googlebot", "", True, "direct"],
    ["look", "mobile", "safari", "ios", False, "direct"],
    ["paid", "", "", "", False, "no_page"],
]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that is served, with these in it."""
    folder = tmp_path_factory.mktemp("known") / "data"
    with Server(folder):
        project_in(folder)
        path = write_ndjson(folder.parent / "a.ndjson", WITH_AGENTS)
        ok("import", str(path), "--data", str(folder))
        assert of_agents(folder) == KNOWN
        yield folder


@pytest.mark.parametrize("format", ["ndjson", "csv"])
@pytest.mark.parametrize("running", [False, True], ids=["no server", "a server"])
def test_an_export_keeps_what_was_known_of_agents(
    known: Path, tmp_path: Path, format: str, running: bool
) -> None:
    again, out = tmp_path / "again", tmp_path / f"out.{format}"
    project_in(again)
    ok("export", "--include-bots", "--data", str(known), "-o", str(out))
    with Server(again) if running else nullcontext():
        done = run("import", str(out), "--data", str(again))
    assert f"{out.name}: an export; taken as it says: device_type, browser, os, is_bot\n" in (
        done.stderr
    )
    made = next(line for line in done.stderr.splitlines() if "made anew by the server" in line)
    assert "source" in made
    assert "browser" not in made
    assert "bot's" not in done.stderr
    assert of_agents(again) == KNOWN


def test_an_export_of_before_gets_todays_words(folder: Path, tmp_path: Path) -> None:
    """And what a server's own agent made a bot's is a person's."""
    project_in(folder)
    older = {"source_rule_id": "direct", "received_at": "2026-05-01T10:00:00Z"}
    page = {"url": "https://shop.example/"}
    rows: list[dict[str, object]] = [
        {"event": "a", "device_type": "mobile", "browser": "Mobile Safari", "os": "iOS", **page},
        {"event": "b", "device_type": "bot", "browser": "Googlebot", "is_bot": True, **page},
        {"event": "c", "device_type": "bot", "browser": "Java", "is_bot": True, "user_id": "ada"},
    ]
    path = write_ndjson(tmp_path / "a.ndjson", [{**older, **fields} for fields in rows])
    ok("import", str(path), "--data", str(folder))
    assert of_agents(folder) == [
        ["a", "mobile", "safari", "ios", False, "direct"],
        ["b", "other", "googlebot", "", True, "direct"],
        ["c", "", "", "", False, "no_page"],
    ]


def test_what_others_say_of_agents_is_ignored(folder: Path, tmp_path: Path) -> None:
    """Their words are not ours; the agent itself says it."""
    project_in(folder)
    rows: list[dict[str, object]] = [
        {"event": "a", "user_id": "ada", "browser": "Chrome 141", "is_bot": True},
        {"event": "b", "user_id": "ada", "browser": "Chrome 141", "user_agent": PHONE},
    ]
    path = write_ndjson(tmp_path / "a.ndjson", rows)
    done = run("import", str(path), "--data", str(folder))
    assert "made anew by the server: browser, is_bot" in done.stderr
    assert [row[:5] for row in of_agents(folder)] == [
        ["a", "", "", "", False],
        ["b", "mobile", "safari", "ios", False],
    ]


def test_nobody_else_may_say_what_an_export_says(project: Project) -> None:
    project.batch([{"event": "x", "url": "https://shop.example/", "browser": "x", "is_bot": True}])
    (row,) = project.stored()
    assert row["browser"] is None
