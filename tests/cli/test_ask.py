"""Every question of the registry, asked every way: over HTTP, by the command line of a running
server, and by the command line alone. One answer."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli import test_commands
from tests.support import Json, Project, Server
from tests.test_story import tell
from threadline import APIError, Client, settings_given
from threadline.cli.ask import questions
from threadline.questions.registry import QUESTIONS

# What each needs to be a question.
PARAMS: dict[str, Json] = {
    "events": {"limit": 3},
    "schema": {"limit": 3},
    "users": {"source": "facebook"},
    "profile": {"user_id": "user_42"},
    "journey": {"user_id": "user_42", "phase": "before"},
    "accounts": {"order": "-people"},
    "account": {"account_id": "acme"},
    "stats": {"metric": "persons", "group_by": "source", "interval": "day", "to": "2026-05-04"},
    "changes": {"to": "2026-05-05", "group_by": "first.source"},
    "sources": {},
    "visits": {"group_by": "medium"},
    "time_to_conversion": {"conversion": "signup", "group_by": "source"},
    "attribution": {"conversion": "signup", "model": "linear"},
    "why": {"user_id": "user_42", "conversion": "signup"},
    "funnel": {"steps": "$pageview,signup", "window": "30d"},
    "funnel_people": {"steps": "$pageview,signup", "step": 2, "window": "30d"},
    "retention": {"interval": "day", "periods": 3},
    "retention_people": {"interval": "day", "cohort_start": "2026-05-01", "period": 0},
    "paths": {"event": "signup", "direction": "before"},
    "paths_people": {"event": "signup", "direction": "before", "node": "/pricing"},
    "identity_stats": {},
    "shared_devices": {},
    "suspicious": {},
    "likely_duplicates": {},
    "explain": {"event_id": "e1"},
}


def ok(folder: Path, *command: str) -> str:
    return test_commands.ok(*command, "--data", str(folder))


def fails(folder: Path, *asked: str) -> str:
    return test_commands.fails("ask", *asked, "--data", str(folder))


def arguments(name: str) -> list[str]:
    return ["ask", name, *(f"{key}={value}" for key, value in PARAMS[name].items())]


def over_http(project: Project, name: str) -> Json:
    question, params = QUESTIONS[name], dict(PARAMS[name])
    parts = {part: params.pop(part) for part in question.in_path}
    return project.ask(question.path.format(**parts), **params)


def test_one_answer_whoever_asks(folder: Path) -> None:
    assert set(PARAMS) == set(QUESTIONS) - {"export"}, "a new question is asked here, too"
    with Server(folder) as server:
        project = Project(server)
        tell(project)
        project.track("$group", user_id="user_42", properties={"account_id": "acme"})
        answers = {name: over_http(project, name) for name in PARAMS}
        for name, answer in answers.items():
            assert json.loads(ok(folder, *arguments(name), "--json")) == answer, name
        assert server.stop() == 0
    # And where no server runs: by one process, as each would open the store anew.
    with questions(settings_given.load(data=str(folder)), None) as alone:
        for name, answer in answers.items():
            assert alone.ask(name, PARAMS[name]) == answer, name
    assert json.loads(ok(folder, *arguments("funnel"), "--json")) == answers["funnel"]


# What the SDK calls a question, where that is not the registry's name.
OF_USERS = {"users": "list", "profile": "get", "journey": "journey"}


def test_the_sdk_asks_every_question(folder: Path, tmp_path: Path) -> None:
    with Server(folder) as server:
        project = Project(server)
        tell(project)
        project.track("$group", user_id="user_42", properties={"account_id": "acme"})
        client = Client(project.keys["rk"], server.url)
        for name, given in PARAMS.items():
            of = client.users if name in OF_USERS else client
            params = dict(given)
            if name.startswith("funnel"):
                params["steps"] = params["steps"].split(",")
            answer = getattr(of, OF_USERS.get(name, name))(**params)
            expected = over_http(project, name)
            if hasattr(answer, "answer"):
                assert answer.answer == expected, name
            elif hasattr(answer, "to_dicts"):
                assert len(answer.to_dicts()) >= len(expected["rows"]) > 0, name
            elif name == "profile":
                assert answer.user_id == expected["user_id"]
            else:
                assert answer == expected, name
        file = tmp_path / "events.ndjson"
        assert client.export(file, event="signup") == 1
        assert json.loads(file.read_text())["event"] == "signup"
        assert [path.name for path in tmp_path.iterdir()] == [file.name, "data"]
        with pytest.raises(APIError, match="choose one of ndjson"):
            client.export(file, format="singup")


def test_an_answer_is_a_table(folder: Path) -> None:
    with Server(folder) as server:
        tell(Project(server))
        steps = ok(folder, *arguments("funnel")).splitlines()
        assert steps[0] == "stitch: next   window_seconds: 2592000"
        assert steps[2].split() == ["step", "persons", "share", "median_seconds"]
        assert [line.split()[0] for line in steps[4:6]] == ["$pageview", "signup"]
        nothing = ok(folder, "ask", "stats", "event=singup", "group_by=source")
        assert "No rows." in nothing
        profile = ok(folder, *arguments("profile"))
        assert "first_touch.source" in profile
        assert "anonymous_id" in profile.partition("\ndevices\n")[2]


def test_what_there_is_to_ask_is_listed(folder: Path) -> None:
    listed = ok(folder, "ask")
    assert [line.split()[0] for line in listed.splitlines() if line[:1].strip()] == list(PARAMS)
    params = ok(folder, "ask", "funnel", "--params")
    assert "steps (required)" in params
    assert "window" in params


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["funel"], "There is no question funel; did you mean funnel?"),
        (["export"], "threadline export --help"),
        (["funnel"], "funnel needs steps: write steps=…; threadline ask funnel --params says"),
        (["profile"], "profile needs user_id"),
        (["stats", "limit"], "limit: write PARAM=VALUE"),
        (["stats", "limit=1", "limit=2"], "limit is given twice"),
        (["stats", "lim=1"], "did you mean limit?"),
        (["stats", "stitch=any", "metric=persons"], "choose one of first, next, last, none"),
        (["profile", "user_id=nobody"], "nobody"),
        (["profile", "user_id="], "profile needs user_id"),
        (["stats", "event=\udcff"], "event is not UTF-8 text"),
    ],
)
def test_a_slip_is_named(folder: Path, asked: list[str], said: Any) -> None:
    ok(folder, "project", "create", "shop", "--origin", "https://shop.example")
    assert said in fails(folder, *asked)
