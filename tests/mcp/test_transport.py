"""Streamable HTTP: sessions and none, malformed requests, other people's pages, many at once."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from tests.mcp.agents import (
    HEADERS,
    PROTOCOL,
    called,
    calling,
    found,
    initialize,
    over_http,
    post,
    quick,
    rpc,
    run,
)
from tests.support import ORIGIN, Json, Project, Reply, Server
from threadline.mcp.open_sessions import OpenSessions
from threadline.mcp.over_http import MAX_SESSIONS

AGENTS = 50
CANCELLED = -32800


@pytest.fixture(scope="module")
def shop(server: Server) -> Project:
    project = Project(server)
    for number in range(5):
        project.track("signup", anonymous_id=f"a{number}", user_id=f"u{number}")
    return project


def begun(project: Project, key: str = "rk") -> str:
    """The id of a new session."""
    reply = post(project, initialize(), key)
    assert reply.status == 200, reply
    assert reply.json["result"]["serverInfo"]["name"] == "threadline"
    session = reply.headers["Mcp-Session-Id"]
    told = post(
        project,
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        key,
        Mcp_Session_Id=session,
        MCP_Protocol_Version=PROTOCOL,
    )
    assert told.status == 202
    return session


def in_session(project: Project, session: str, body: object, key: str = "rk") -> Reply:
    return post(project, body, key, Mcp_Session_Id=session, MCP_Protocol_Version=PROTOCOL)


def test_a_session_from_its_beginning_to_its_end(server: Server, shop: Project) -> None:
    session = begun(shop)
    answer = in_session(shop, session, calling("get_stats", event="signup")).json
    assert answer["result"]["structuredContent"]["rows"] == [{"value": 5}]
    other = in_session(shop, session, calling("get_stats"), "sk")
    assert other.status == 404, "it is another key's"
    headers = {"Authorization": f"Bearer {shop.keys['rk']}", "Mcp-Session-Id": session}
    ended = shop.send("DELETE", "/mcp", headers=headers | {"MCP-Protocol-Version": PROTOCOL})
    assert ended.status == 200
    assert in_session(shop, session, calling("get_stats")).status == 404
    assert in_session(shop, "no-such-session", calling("get_stats")).status == 404


def test_who_begins_too_many_sessions_ends_their_own(server: Server) -> None:
    project = Project(server)
    quiet = begun(project, "sk")
    first = begun(project)
    for _ in range(MAX_SESSIONS + 10):
        assert post(project, initialize()).status == 200
    last = begun(project)
    assert in_session(project, quiet, calling("goals"), "sk").status == 200, "another key's"
    assert in_session(project, last, calling("goals")).status == 200
    assert in_session(project, first, calling("goals")).status == 404
    assert post(project, initialize(), "sk").status == 200


def test_which_session_is_in_the_way() -> None:
    now = [0.0]
    there = OpenSessions(3, 60, lambda: now[0])
    for name, owner in (("a", "one"), ("b", "two"), ("c", "two")):
        there.heard(name, owner)
        now[0] += 1
    assert there.in_the_way() == ("b", "two")
    there.heard("b", "two")
    assert there.in_the_way() == ("c", "two"), "nobody spoke in it for longest"
    there.ended("c")
    assert there.in_the_way() is None
    there.heard("d", "three")
    now[0] = 61.5
    assert there.in_the_way() is None, "one is gone by itself"
    assert not there.knows("a", "one")
    assert there.knows("b", "two")
    assert not there.knows("b", "one")


def test_without_a_session_each_request_stands_alone(shop: Project) -> None:
    reply = post(shop, calling("get_stats", event="signup"))
    assert reply.json["result"]["structuredContent"]["rows"] == [{"value": 5}]
    assert "Mcp-Session-Id" not in reply.headers
    # As the newest protocol has it: all that a session would know comes along.
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    body = rpc("tools/call", name="get_stats", arguments={"event": "signup"}, _meta=meta)
    newest = post(
        shop,
        body,
        MCP_Protocol_Version="2026-07-28",
        Mcp_Method="tools/call",
        Mcp_Name="get_stats",
    )
    assert newest.json["result"]["structuredContent"]["rows"] == [{"value": 5}], newest


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"null", 400),
        (b"7", 400),
        (b'"tools/list"', 400),
        (b"[" * 5000, 400),
        (b"\xff\xfe", 400),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "tools/list"}', 400),
        (b'{"jsonrpc": "2.0", "id": 1}', 400),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "no/such"}', 200),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call"}', 200),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": []}', 400),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": 7}}', 200),
        (
            b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call",'
            b' "params": {"name": "goals", "arguments": []}}',
            200,
        ),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {}}', 200),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "prompts/get", "params": {"name": "x"}}', 200),
    ],
)
def test_malformed_requests(shop: Project, body: bytes, status: int) -> None:
    reply = post(shop, body)
    assert reply.status == status, reply
    assert "error" in reply.json
    session = begun(shop)
    again = in_session(shop, session, body)
    assert again.status == status, again
    assert in_session(shop, session, calling("goals")).status == 200, "the session goes on"


def test_what_http_has_no_room_for(shop: Project) -> None:
    big = json.dumps(calling("get_stats", event="x" * 1_100_000)).encode()
    reply = post(shop, big)
    assert (reply.status, reply.error) == (413, "payload_too_large")
    headers = {"Authorization": f"Bearer {shop.keys['rk']}"}
    for method in ("GET", "PUT"):
        reply = shop.send(method, "/mcp", headers=headers | {"Accept": "text/event-stream"})
        assert (reply.status, reply.error) == (405, "method_not_allowed")
        assert reply.headers["Allow"] == "POST, DELETE, OPTIONS"
    assert post(shop, calling("goals"), Accept="text/html").status == 406
    assert post(shop, calling("goals"), Content_Type="text/html").status in (400, 415)


def test_pages_of_others_cannot_speak_here(shop: Project) -> None:
    def status(**headers: str) -> int:
        return post(shop, calling("goals"), **headers).status

    port = urlsplit(shop.url).port
    assert status() == 200
    assert status(Origin=ORIGIN) == 200, "a page of the project's"
    assert status(Origin=f"http://localhost:{port}") == 200, "on this machine, by its own name"
    assert status(Origin="https://evil.example") == 403
    # The page's own name points here: the browser says both.
    assert status(Host=f"evil.example:{port}", Origin=f"http://evil.example:{port}") == 403
    assert status(Host="evil.example") == 403
    assert status(Host="localhost.evil.example") == 403
    assert status(Host="evil.example", Origin="http://localhost") == 403
    assert status(Origin="null") == 403
    reply = post(shop, calling("goals"), Host="evil.example")
    assert reply.error == "origin_not_allowed"
    assert "THREADLINE_PUBLIC_URL" in reply.json["details"]["message"]
    # Behind a proxy names are the proxy's business; but not pages.
    assert status(Host="stats.example", X_Forwarded_For="203.0.113.9") == 200
    evil = {"Host": "stats.example", "Origin": "https://evil.example"}
    assert status(**evil, X_Forwarded_For="203.0.113.9") == 403


def test_a_cancelled_call_leaves_nothing_behind(shop: Project) -> None:
    session = begun(shop)
    body = {**calling("get_stats", interval="hour", **{"from": "30d"}), "id": "slow"}
    stop: Json = {
        "jsonrpc": "2.0",
        "method": "notifications/cancelled",
        "params": {"requestId": "slow", "reason": "changed my mind"},
    }
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(in_session, shop.again(), session, body)
        assert in_session(shop, session, stop).status == 202
        reply = asked.result()
    # Either it was done already, or it says that it was not.
    assert reply.status == 200, reply
    assert "result" in reply.json or reply.json["error"]["message"] == "Request cancelled"
    assert in_session(shop, session, calling("goals")).status == 200


def test_who_goes_away_stops_nobody(shop: Project) -> None:
    address = urlsplit(shop.url)
    headers = {**HEADERS, "Authorization": f"Bearer {shop.keys['rk']}"}
    for _ in range(5):
        connection = HTTPConnection(address.hostname or "", address.port)
        connection.request(
            "POST", "/mcp", json.dumps(calling("get_stats", metric="persons")), headers
        )
        connection.close()
    assert found(shop, "get_stats", event="signup")["rows"] == [{"value": 5}]


def test_many_agents_while_events_come(server: Server) -> None:
    project = Project(server)
    project.track("signup", anonymous_id="a", user_id="u")
    over = threading.Event()
    sent: list[int] = []

    def ingest() -> None:
        sender = project.again()
        while not over.is_set():
            events = [{"event": "tick", "anonymous_id": f"d{n}"} for n in range(20)]
            sent.append(sender.post("/v1/batch", {"events": events}).status)

    async def agent(number: int) -> int:
        mode = "legacy" if number % 2 else "auto"
        async with over_http(project, mode=mode) as client:
            result = await quick(client, "get_stats", event="signup")
            value: int = result.structured_content["rows"][0]["value"]
            return value

    async def work() -> list[int]:
        return await asyncio.gather(*(agent(number) for number in range(AGENTS)))

    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(ingest)
        try:
            answers = run(work)
        finally:
            over.set()
        coming.result()
    assert answers == [1] * AGENTS
    assert set(sent) == {202}
    counted = called(project, "get_stats", event="tick")["result"]["structuredContent"]
    assert counted["rows"] == [{"value": 20 * len(sent)}], "none was lost, and none stood still"
