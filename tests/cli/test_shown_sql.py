"""What a question asks, shown: pasted into an engine it gives that question's answer."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_commands import fails, ok
from tests.support import Json, Project, Server
from tests.test_story import tell

PASTE = r"""
import re, sys, chdb
engine = chdb.connect(sys.argv[1])
for statement in re.split(r";\n+", sys.stdin.read()):
    if statement.strip():
        print(str(engine.query(statement, "JSONEachRow")), end="")
"""
BEFORE = "/v1/users/user_42/events?phase=before&stitch=next"
PERSONS = "/v1/stats?metric=persons&group_by=source"
ODD = "/v1/stats?event=it%27s%5C%0Aodd"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the story in it, and nobody serving."""
    folder = tmp_path_factory.mktemp("shown") / "data"
    with Server(folder) as server:
        project = Project(server)
        tell(project)
        project.change("PUT", "/v1/identity/aliases", {"user_id": "o'x", "alias_of": "y"})
        server.stop()
    return folder


def pasted(folder: Path, text: str) -> list[Json]:
    """The rows of all its statements."""
    done = subprocess.run(
        [sys.executable, "-c", PASTE, str(folder / "store")],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_is_shown_can_be_pasted(told: Path) -> None:
    data = ("--data", str(told))
    journey = pasted(told, ok("sql", "--show", BEFORE, *data))
    assert [row["event_id"] for row in journey if "event_id" in row] == ["e1", "e2", "e3"]
    persons = pasted(told, ok("sql", "--show", PERSONS, *data))
    assert {"source": "facebook", "value": 1} in persons
    assert {"value": 0} in pasted(told, ok("sql", "--show", ODD, *data))


def test_it_is_the_same_while_a_server_runs(told: Path) -> None:
    data = ("--data", str(told))
    alone = [ok("sql", "--show", asked, *data) for asked in (BEFORE, PERSONS)]
    with Server(told) as server:
        assert [ok("sql", "--show", asked, *data) for asked in (BEFORE, PERSONS)] == alone
        server.stop()


def test_what_is_no_question_is_refused(told: Path) -> None:
    data = ("--data", str(told))
    assert "There is no question /v1/nothing; choose one of /v1/" in fails(
        "sql", "--show", "/v1/nothing", *data
    )
    assert "steps" in fails("sql", "--show", "/v1/funnel", *data)
    assert "one SELECT, or a question" in fails("sql", *data)


def test_statements_are_logged_with_their_time_and_rows(folder: Path) -> None:
    with Server(folder, THREADLINE_LOG_SQL="1") as server:
        project = Project(server)
        project.track("signup", user_id="ada", anonymous_id="phone")
        project.ask("/v1/stats", event="signup")
        line = json.loads(server.await_line('"sql"', "counted_events"))
        assert line["rows_read"] == 1
        assert line["ms"] > 0
        assert line["params"]["event"] == "signup"
        assert line["sql"].startswith("WITH ")
        server.stop()
