"""What a conversation can show: pages among the resources, named by the tools whose answers they
draw."""

from collections.abc import Iterator

import pytest
from mcp.client.client import Client
from mcp_types import Tool
from structlog.testing import capture_logs

from tests.mcp.agents import account_key, found, over_http, run
from tests.support import Project, Server
from threadline.mcp import apps, server
from threadline.mcp.api import Session

SHOWN = {"user_journey": "ui://threadline/journey", "attribution": "ui://threadline/attribution"}
MEDIA_TYPE = "text/html;profile=mcp-app"
UI = {"csp": {"connectDomains": [], "resourceDomains": []}, "prefersBorder": True}


@pytest.fixture(scope="module")
def shop(server: Server) -> Project:
    project = Project(server)
    project.track("signup", anonymous_id="a", user_id="u", properties={"plan": "pro"})
    account_key(server.folder, project)
    return project


def pages_of(tools: list[Tool]) -> dict[str, object]:
    """What each tool says of the page that shows it."""
    return {tool.name: (tool.meta or {}).get("ui") for tool in tools if tool.meta}


@pytest.mark.parametrize(
    ("key", "path", "mode"),
    [("rk", "/mcp", "legacy"), ("rk", "/mcp", "auto"), ("ak", "/mcp/account", "auto")],
)
def test_tools_name_pages_that_are_there(shop: Project, key: str, path: str, mode: str) -> None:
    async def work() -> None:
        async with over_http(shop, key, path, mode) as client:
            tools = (await client.list_tools()).tools
            assert pages_of(tools) == {tool: {"resourceUri": uri} for tool, uri in SHOWN.items()}
            listed = {each.uri: each for each in (await client.list_resources()).resources}
            for uri in SHOWN.values():
                assert listed[uri].mime_type == MEDIA_TYPE
                assert listed[uri].meta == {"ui": UI}
                (page,) = (await client.read_resource(uri)).contents
                assert (page.uri, page.mime_type, page.meta) == (uri, MEDIA_TYPE, {"ui": UI})
                assert page.text.startswith("<!doctype html>")  # type: ignore[union-attr]
                assert "default-src 'none'" in page.text  # type: ignore[union-attr]
            # Others are what they were.
            assert listed["docs://index"].mime_type == "text/markdown"
            assert listed["docs://index"].meta is None
            if mode == "auto":
                assert "io.modelcontextprotocol/ui" in (client.server_capabilities.extensions or {})

    run(work)


def test_the_text_is_there_as_before(shop: Project) -> None:
    async def work() -> list[str]:
        async with over_http(shop) as client:
            result = await client.call_tool("user_journey", {"user_id": "u"})
            assert result.structured_content == found(shop, "user_journey", user_id="u")
            return [part.text for part in result.content]  # type: ignore[union-attr]

    summary, _ = run(work)
    assert summary.startswith("1 event, known since ")


@pytest.fixture
def unbuilt(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server of a checkout in which `make build` has not run."""
    kept = (apps.built, server._tools_of)
    monkeypatch.setattr(apps, "read_app", lambda name: None)
    for each in kept:
        each.cache_clear()
    yield
    for each in kept:
        each.cache_clear()


def test_what_is_not_built_is_left_out_and_said_once(unbuilt: None) -> None:
    async def work() -> None:
        made = server.create(lambda ctx: Session("rk", "a test"))
        assert made.extensions == {}
        async with Client(made) as client:
            for _ in range(2):
                assert pages_of((await client.list_tools()).tools) == {}
                listed = (await client.list_resources()).resources
                assert [each.uri for each in listed if each.uri.startswith("ui:")] == []

    with capture_logs() as lines:
        run(work)
    said = [line for line in lines if line["event"] == "mcp_apps_not_built"]
    assert [(line["missing"], line["hint"]) for line in said] == [
        (["journey", "attribution"], "Run make build.")
    ]
