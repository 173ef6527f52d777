"""Answers that are kept: the same bytes as asking anew gives, and never one of before a change."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.questions.test_sql import ASKED_OF
from tests.support import Project, Reply, Server
from threadline.questions.registry import QUESTIONS
from threadline.runtime.kept_answers import KeptAnswers

ANEW = {"Cache-Control": "no-cache"}
PERSONS: dict[str, Any] = {"metric": "persons", "interval": "day", "from": "30d"}


def asked(project: Project, path: str, anew: bool = False, **params: Any) -> Reply:
    return project.fetch(path, params, headers=ANEW if anew else None)


def kept(project: Project, path: str, **params: Any) -> Reply:
    """An answer that was kept. A minute may end between two questions, but not between all."""
    for _ in range(4):
        reply = asked(project, path, **params)
        assert reply.status == 200, reply
        if "Age" in reply.headers:
            return reply
    raise AssertionError(f"{path} was not kept")


def opened(server: Server) -> Project:
    project = Project(server)
    project.track("$pageview", anonymous_id="tab", url="https://shop.example/?utm_source=x")
    bought = {"value": 5, "account_id": "oak"}
    project.track("purchase", anonymous_id="tab", user_id="ada", properties=bought)
    project.track("login", anonymous_id="tab", user_id="bob")
    return project


@pytest.fixture
def shop(server: Server) -> Project:
    return opened(server)


@pytest.fixture(scope="module")
def unchanged(server: Server) -> Project:
    return opened(server)


def test_asking_again_gives_the_same_and_says_how_old_it_is(shop: Project) -> None:
    first = asked(shop, "/v1/stats", anew=True, **PERSONS)
    assert "Age" not in first.headers
    again = kept(shop, "/v1/stats", **PERSONS)
    assert again.headers["Age"].isdecimal()
    assert {**again.json, "from": ""} == {**first.json, "from": ""}


def test_no_cache_asks_anew(shop: Project) -> None:
    kept(shop, "/v1/stats", **PERSONS)
    assert "Age" not in asked(shop, "/v1/stats", anew=True, **PERSONS).headers


CHANGES: dict[str, Callable[[Project], Reply]] = {
    "an event": lambda shop: shop.post("/v1/track", {"event": "signup", "user_id": "cy"}),
    "an alias": lambda shop: shop.change(
        "PUT", "/v1/identity/aliases", {"user_id": "bob", "alias_of": "ada"}
    ),
    "an unlink": lambda shop: shop.change(
        "DELETE", "/v1/identity/links", {"anonymous_id": "tab", "user_id": "bob"}
    ),
    "a forgotten person": lambda shop: shop.post("/v1/forget", {"user_id": "ada"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_an_answer_is_in_the_next(shop: Project, change: str) -> None:
    before = kept(shop, "/v1/stats", **PERSONS).json
    reply = CHANGES[change](shop)
    assert reply.status < 300, reply
    after = asked(shop, "/v1/stats", **PERSONS).json
    assert after == asked(shop, "/v1/stats", anew=True, **PERSONS).json | {"from": after["from"]}
    assert (after["rows"] != before["rows"]) == (change != "an unlink")


def test_projects_have_their_own(shop: Project, server: Any) -> None:
    other = Project(server)
    assert kept(shop, "/v1/stats", metric="count").json["rows"][0]["value"] == 3
    assert asked(other, "/v1/stats", metric="count").json["rows"] == [{"value": 0}]


def test_definitions_count(shop: Project) -> None:
    segment = {"filters": "user_id==ada"}
    assert shop.change("PUT", "/v1/segments/those", segment).status == 200
    narrowed: dict[str, Any] = {"metric": "count", "filters": "segment==those"}
    assert kept(shop, "/v1/stats", **narrowed).json["rows"][0]["value"] == 2
    segment["filters"] = "user_id==bob,user_id==ada"
    assert shop.change("PUT", "/v1/segments/those", segment).status == 200
    assert "Age" not in asked(shop, "/v1/stats", **narrowed).headers


@pytest.mark.parametrize("name", ASKED_OF)
def test_every_question_gives_the_same_bytes(unchanged: Project, name: str) -> None:
    question, params = ASKED_OF[name]
    path = QUESTIONS[question].path
    in_path = QUESTIONS[question].in_path
    for field in in_path:
        path = path.replace(f"{{{field}}}", params[field])
    query = {key: value for key, value in params.items() if key not in in_path}
    reply = unchanged.get(path, **query)
    assert reply.status == 200, reply
    assert unchanged.get(path, **query).body == reply.body


class TestKeptAnswers:
    def test_only_of_the_same_state(self) -> None:
        answers = KeptAnswers()
        answers.put(("a",), (1,), {"n": 1})
        found = answers.get(("a",), (1,))
        assert found
        assert found.answer == {"n": 1}
        assert answers.get(("a",), (2,)) is None
        assert answers.get(("a",), (1,)) is None

    def test_the_oldest_go_first(self) -> None:
        answers = KeptAnswers(most_bytes=20)
        for name in "abc":
            answers.put((name,), (), "seven..")
            answers.get(("a",), ())
        assert answers.get(("b",), ()) is None
        assert answers.get(("a",), ())
        assert answers.get(("c",), ())

    def test_large_ones_are_not_kept(self) -> None:
        answers = KeptAnswers()
        answers.put(("a",), (), "x" * 1_000_000)
        assert answers.get(("a",), ()) is None
