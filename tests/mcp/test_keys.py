"""Which key may what over MCP, and what is said to one that may not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError

from tests.mcp.agents import (
    account_key,
    called,
    calling,
    found,
    initialize,
    over_http,
    post,
    refused,
    rpc,
    run,
)
from tests.support import ORIGIN, Json, Project, Server
from threadline.contract.errors import RateLimited
from threadline.control import Control
from threadline.mcp import catalogue
from threadline.mcp.api import EXPLAINED, Reply, Session

WRITING = {"track_event", "identify", "unlink", "alias", "create_annotation", "create_segment"}


@pytest.fixture(scope="module")
def shop(server: Server) -> Project:
    project = Project(server)
    account_key(server.folder, project)
    project.track("signup", anonymous_id="a", user_id="u")
    return project


@pytest.fixture
def alone(folder: Path) -> Iterator[Server]:
    """All its projects are asked, and the one of all tests has hundreds."""
    with Server(folder) as running:
        yield running


def test_kinds_of_keys(shop: Project) -> None:
    for key, path, status, code in [
        ("pk", "/mcp", 403, "key_kind_not_allowed"),
        ("ak", "/mcp", 403, "key_kind_not_allowed"),
        ("pk", "/mcp/account", 403, "account_key_required"),
        ("sk", "/mcp/account", 403, "account_key_required"),
        ("rk", "/mcp/account", 403, "account_key_required"),
    ]:
        for more in ({}, {"Origin": ORIGIN}):
            reply = post(shop, initialize(), key, path, **more)
            assert (reply.status, reply.error) == (status, code), (key, path)
    reply = shop.get("/v1/stats", key="ak")
    assert (reply.status, reply.error) == (403, "key_kind_not_allowed")
    assert "/mcp/account" in reply.json["details"]["message"]


def test_requests_without_a_valid_key(server: Server, shop: Project) -> None:
    reply = shop.send("POST", "/mcp", "{}", {"Content-Type": "application/json"})
    assert (reply.status, reply.error) == (401, "missing_bearer_token")
    assert reply.headers["WWW-Authenticate"] == "Bearer"
    other = Project(server)
    other.keys["rk"] = other.keys["rk"][:-1] + "_"
    assert post(other, initialize()).status == 401
    with Control(server.folder) as control:
        control.revoke_key(shop.again().keys["rk"].rpartition("_")[0].rpartition("_")[2])
    reply = post(shop, calling("get_stats"))
    assert (reply.status, reply.error) == (401, "invalid_api_key")
    with Control(server.folder) as control:
        shop.keys["rk"] = str(control.create_key(shop.project_id, "rk"))


def test_tools_a_key_may_not_use_are_not_listed(shop: Project) -> None:
    def listed(key: str, path: str = "/mcp") -> set[str]:
        tools: list[Json] = post(shop, rpc("tools/list"), key, path).json["result"]["tools"]
        return {tool["name"] for tool in tools}

    assert listed("sk") - listed("rk") == WRITING
    assert listed("rk") < listed("sk")
    of_account = listed("ak", "/mcp/account")
    assert of_account - listed("rk") == {"list_projects", "compare_projects"}
    assert listed("rk") <= of_account


def test_a_tool_that_the_key_may_not_use(shop: Project) -> None:
    error = called(shop, "track_event", event="x")["error"]
    assert error["code"] == -32004
    assert error["data"]["error"] == "insufficient_scope"
    assert "use sk" in error["message"]
    error = called(shop, "get_stat")["error"]
    assert error["code"] == -32602
    assert "did you mean 'get_stats'?" in error["message"]


def test_the_official_client_is_refused(shop: Project) -> None:
    async def work() -> None:
        with pytest.raises((MCPError, ExceptionGroup)):
            async with over_http(shop, "pk", mode="legacy"):
                pass

    run(work)


# --- Accounts ---


def ask(shop: Project, tool: str, **arguments: object) -> Json:
    reply = post(shop, calling(tool, **arguments), "ak", "/mcp/account")
    result: Json = reply.json["result"]
    return result


def test_an_account_has_all_projects(alone: Server) -> None:
    shop, other = Project(alone), Project(alone)
    account_key(alone.folder, shop)
    shop.track("signup", anonymous_id="a", user_id="u")
    for number in range(3):
        other.track("signup", anonymous_id=f"b{number}", user_id=f"v{number}")
    rows = ask(shop, "list_projects")["structuredContent"]["rows"]
    assert {shop.project_id, other.project_id} <= {row["project_id"] for row in rows}

    compared = ask(shop, "compare_projects", metric="count", event="signup", **{"from": "7d"})
    assert "from" in compared["structuredContent"]
    rows = compared["structuredContent"]["rows"]
    counts = {row["project_id"]: row["value"] for row in rows}
    assert (counts[shop.project_id], counts[other.project_id]) == (1, 3)
    assert [row["value"] for row in rows] == sorted((r["value"] for r in rows), reverse=True)

    unknown = ask(shop, "compare_projects", event="sigup")
    codes = [each["code"] for each in unknown["structuredContent"]["warnings"]]
    assert "unknown_event" in codes
    assert "signup" in unknown["content"][0]["text"], "the nearest name"

    of_other = ask(shop, "get_stats", project_id=other.project_id, event="signup")
    assert of_other["structuredContent"]["rows"][0]["value"] == 3
    assert found(other, "get_stats", event="signup") == of_other["structuredContent"]


def test_what_an_account_asks_wrongly(shop: Project) -> None:
    for tool, arguments, said in [
        ("get_stats", {}, "project_id: required"),
        ("get_stats", {"project_id": "nothing"}, "there is no project 'nothing'"),
        ("compare_projects", {"metric": "person"}, "choose one of"),
        ("compare_projects", {"interval": "day"}, "no such argument"),
        ("list_projects", {"of": "me"}, "no such argument"),
    ]:
        result = ask(shop, tool, **arguments)
        assert result["isError"], tool
        assert said in result["content"][0]["text"], result
    reply = post(shop, calling("track_event", event="x"), "ak", "/mcp/account").json
    assert reply["error"]["code"] == -32004


def test_an_account_only_reads(shop: Project) -> None:
    uris = post(shop, rpc("resources/list"), "ak", "/mcp/account").json["result"]["resources"]
    pages = {"ui://threadline/journey", "ui://threadline/attribution"}
    assert {each["uri"] for each in uris} == {"projects://all", "docs://index", *pages}
    read = post(shop, rpc("resources/read", uri="projects://all"), "ak", "/mcp/account").json
    assert shop.project_id in read["result"]["contents"][0]["text"]
    denied = post(shop, rpc("resources/read", uri="events://recent"), "ak", "/mcp/account").json
    assert denied["error"]["code"] == -32002


# --- What no arguments mend ---


class Says:
    """An API that says one thing."""

    def __init__(self, status: int, code: str) -> None:
        self._reply = Reply(status, b'{"error":"%s","details":{"message":"No."}}' % code.encode())

    async def call(self, *asked: Any, **more: Any) -> Reply:
        return self._reply


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (401, "invalid_api_key", -32004),
        (403, "insufficient_scope", -32004),
        (413, "payload_too_large", -32005),
        (429, "rate_limited", -32005),
        (500, "internal_error", -32000),
        (503, "busy", -32000),
        (503, "unavailable", -32000),
    ],
)
def test_codes_of_errors(status: int, error: str, code: int) -> None:
    session = Session("rk", "rk_live_x", Says(status, error))
    with pytest.raises(catalogue.Failed) as caught:
        run(lambda: catalogue.call(session, "get_stats", {}))
    assert caught.value.code == code
    said = {"error": error, "details": {"message": "No."}, "docs_url": EXPLAINED}
    assert caught.value.data == said


def test_too_many_calls() -> None:
    def full() -> None:
        raise RateLimited("Too many.", retry_after_s=1.5)

    session = Session("rk", "rk_live_x", Says(200, ""), take=full)
    with pytest.raises(catalogue.Failed) as caught:
        run(lambda: catalogue.call(session, "get_stats", {}))
    assert caught.value.code == -32005
    assert caught.value.data["details"]["retry_after_s"] == 1.5


def test_calls_of_a_key_are_limited(folder: Any) -> None:
    limits = {"THREADLINE_MCP_PER_SECOND": "1", "THREADLINE_MCP_BURST": "2"}
    with Server(folder, **limits) as server:
        project = Project(server)
        codes = [called(project, "goals").get("error", {}).get("code") for _ in range(6)]
        assert -32005 in codes
        assert codes[:2] == [None, None]
        assert "error" not in called(project, "goals", "sk"), "another key is another bucket"


def test_a_call_is_a_line_of_the_log(server: Server, shop: Project) -> None:
    called(shop, "get_stats", metric="nonsense_4711")
    line = server.await_line('"mcp_call"', '"get_stats"', '"invalid_params"', shop.project_id)
    assert "nonsense_4711" not in line, "arguments may be about people"
    assert '"ms"' in line
    assert "rk_live_" in line
    assert refused(shop, "first_touch", user_id="x")
    server.await_line('"mcp_call"', '"first_touch"', '"not_found"', shop.project_id)


def test_a_prompt_is_a_line_of_the_log(server: Server, shop: Project) -> None:
    post(shop, rpc("prompts/get", name="weekly_report", arguments={}))
    server.await_line('"mcp_call"', '"weekly_report"', '"ok"', shop.project_id)
    post(shop, rpc("prompts/get", name="weekly_report", arguments={"tz": "Narnia_4711"}))
    line = server.await_line('"mcp_call"', '"weekly_report"', '"invalid_params"', shop.project_id)
    assert "Narnia_4711" not in line
