"""What a client can show of an answer inside a conversation: the dashboard's own components, as MCP
Apps has it (the extension `io.modelcontextprotocol/ui`, 2026-01-26). A tool names a page among the
resources; the client draws it in a sandbox, and gives it what the tool found. Clients that show
none have the text.
"""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import structlog

from threadline.mcp.api import Json
from threadline.web import read_app

EXTENSION = "io.modelcontextprotocol/ui"
MEDIA_TYPE = "text/html;profile=mcp-app"
UI = "ui://threadline/"

_logger = structlog.get_logger("threadline.mcp")


class App(NamedTuple):
    """A page that shows what one tool found."""

    tool: str
    title: str
    description: str


# By the name of its file.
APPS: Mapping[str, App] = {
    "journey": App(
        "user_journey", "A journey", "Shows what user_journey found: the thread and its events."
    ),
    "attribution": App(
        "attribution", "Attribution", "Shows what attribution found: sources by models."
    ),
}
# It fetches nothing, asks for nothing, and has no frame of its own.
OF_RESOURCE: Json = {
    "ui": {"csp": {"connectDomains": [], "resourceDomains": []}, "prefersBorder": True}
}


@cache
def built() -> Mapping[str, App]:
    """Those that there are, by their address. What is missing is said in the log, once."""
    missing = [name for name in APPS if read_app(name) is None]
    if missing:
        _logger.warning("mcp_apps_not_built", missing=missing, hint="Run make build.")
    return {UI + name: app for name, app in APPS.items() if name not in missing}


def page(uri: str) -> str:
    """The page at the address of one that is built."""
    return read_app(uri.removeprefix(UI)) or ""


def of_tool(name: str) -> Json | None:
    """What a tool's definition says of the page that shows its answers; None: nothing does."""
    for uri, app in built().items():
        if app.tool == name:
            return {"ui": {"resourceUri": uri}}
    return None
