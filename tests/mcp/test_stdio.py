"""`threadline mcp`: on a running server, and with one of its own."""

from pathlib import Path

import pytest
from mcp.shared.exceptions import MCPError

from tests.mcp.agents import over_stdio, quick, run
from tests.support import Json, Project, Server
from threadline.control import Control
from threadline.runtime.folder import running_server


def test_with_a_server_of_its_own(folder: Path) -> None:
    with Server(folder) as server:
        project = Project(server)
        project.track("signup", anonymous_id="a", user_id="u")
        assert server.stop() == 0

    async def work() -> None:
        async with over_stdio(folder, "--write") as agent:
            listed = {tool.name for tool in (await agent.list_tools()).tools}
            assert {"get_stats", "track_event", "unlink"} <= listed
            result = await agent.call_tool("get_stats", {"event": "signup"})
            assert result.structured_content["rows"] == [{"value": 1}]
            await quick(agent, "track_event", event="signup", anonymous_id="b")
            result = await quick(agent, "get_stats", event="signup")
            assert result.structured_content["rows"] == [{"value": 2}]
            assert running_server(folder), "others find it meanwhile"

    run(work)
    assert running_server(folder) is None, "it ends with its input"
    with Control(folder) as control:
        kept = [key for key in control.list_keys() if key.temporary]
    assert not kept, "its key ends with it"


def test_what_it_is_not_let(folder: Path) -> None:
    with Server(folder) as server:  # all projects are asked, and the one of all tests has hundreds
        _check_what_it_is_not_let(server)


def _check_what_it_is_not_let(server: Server) -> None:
    project, other = Project(server), Project(server)
    other.track("signup", anonymous_id="a", user_id="u")

    async def work() -> list[Json]:
        async with over_stdio(server.folder, "--project", project.project_id) as agent:
            listed = {tool.name for tool in (await agent.list_tools()).tools}
            assert "get_stats" in listed
            assert "track_event" not in listed, "without --write it only reads"
            with pytest.raises(MCPError) as caught:
                await quick(agent, "track_event", event="x")
            assert caught.value.error.code == -32004
            result = await quick(agent, "get_stats", metric="nonsense")
            assert result.is_error
        async with over_stdio(server.folder, "--account") as agent:
            result = await quick(agent, "compare_projects", event="signup")
            rows: list[Json] = result.structured_content["rows"]
            return rows

    rows = {row["project_id"]: row["value"] for row in run(work)}
    assert (rows[project.project_id], rows[other.project_id]) == (0, 1)
