"""The three questions that the product began with, as SQL that anybody can run."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.test_commands import fails, ok
from tests.identity import oracle
from tests.identity.steps import TIES, wire
from tests.support import ROOT, Json, Project, Server
from tests.test_story import tell

RECIPES = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "identity.md").read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the story in it, and nobody serving."""
    folder = tmp_path_factory.mktemp("told") / "data"
    with Server(folder) as server:
        tell(Project(server))
        server.stop()
    return folder


def rows(folder: Path, query: str, *options: str) -> list[Json]:
    text = ok("sql", query, "--data", str(folder), "--format", "ndjson", *options)
    return [json.loads(line) for line in text.splitlines()]


def test_the_documented_recipes(told: Path) -> None:
    first_touch, before, waited = RECIPES
    (touch,) = rows(told, first_touch)
    assert (touch["owner"], touch["source"], touch["medium"]) == ("user_42", "facebook", "paid")
    assert [row["event_id"] for row in rows(told, before)] == ["e1", "e2", "e3"]
    (times,) = rows(told, waited)
    assert (times["persons"], round(times["mean_days"], 2)) == (1, 5.88)


def test_it_only_reads(told: Path) -> None:
    for statement in (
        "DROP TABLE events",
        "INSERT INTO events SELECT * FROM events",
        "SELECT 1) --",
    ):
        assert "threadline: " in fails("sql", statement, "--data", str(told))
    assert "user_42" in ok("sql", "SELECT owner FROM stitched_events", "--data", str(told))
    assert len(rows(told, "SELECT * FROM stitched_events", "--rows", "2")) == 2
    assert "choose one of" in fails("sql", "SELECT 1", "--stitch", "last", "--data", str(told))


def test_stitched_events_are_the_oracles(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    log = [*TIES, {**TIES[0], "id": "e98", "a": "elsewhere"}]
    with Server(folder) as server:
        Project(server).batch([wire(event) for event in log])
        server.stop()
    for policy in ("any", "first", "next"):
        found = rows(
            folder, "SELECT owner, known, event_id FROM stitched_events", "--stitch", policy
        )
        assert sorted((r["owner"], r["known"], r["event_id"]) for r in found) == sorted(
            (owner, known, event["id"])
            for event in log
            for owner, known in (
                [(user, True) for user in oracle.owners(event, log, policy)]
                or [(event["a"], False)]
            )
        )
