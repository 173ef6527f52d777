"""Agents: the official client, over both transports, and one that speaks bare JSON-RPC."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolRequest, CallToolRequestParams, CallToolResult

from tests.support import Json, Project, Reply
from threadline.control import Control

T = TypeVar("T")
PROTOCOL = "2025-06-18"
HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
}


@asynccontextmanager
async def over_http(
    project: Project, key: str = "rk", path: str = "/mcp", mode: str = "auto"
) -> AsyncIterator[Client]:
    """The official client on a server's address. `mode`: `legacy` begins a session, `auto` speaks
    the newest protocol, which has none."""
    headers = {"Authorization": f"Bearer {project.keys[key]}"}
    # Without certificates, of which reading takes longer than all else here.
    async with httpx2.AsyncClient(headers=headers, timeout=60, verify=False) as http:
        transport = streamable_http_client(project.url + path, http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


@asynccontextmanager
async def over_stdio(folder: Path, *options: str) -> AsyncIterator[Client]:
    """The official client on `threadline mcp`."""
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "threadline.cli.main", "mcp", "--data", str(folder), *options],
        env=dict(os.environ),
    )
    with open(os.devnull, "w") as nowhere:
        async with Client(stdio_client(command, errlog=nowhere), mode="legacy") as client:
            yield client


async def quick(client: Client, tool: str, **arguments: object) -> CallToolResult:
    """A call without the list of tools, which the client else holds each answer to."""
    params = CallToolRequestParams(name=tool, arguments=arguments)
    return await client.session.send_request(CallToolRequest(params=params), CallToolResult)


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """In a thread of its own: where a browser was started before, this one has a loop already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(work())).result()


def account_key(folder: Path, project: Project) -> None:
    """Give the project's keys one of its account."""
    with Control(folder) as control:
        project.keys["ak"] = str(control.create_key(project.project_id, "ak"))


def post(project: Project, body: object, key: str = "rk", path: str = "/mcp", **more: str) -> Reply:
    """One bare request."""
    headers = {
        **HEADERS,
        "Authorization": f"Bearer {project.keys[key]}",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    raw = body if isinstance(body, bytes) else json.dumps(body)
    return project.send("POST", path, raw, headers)


def rpc(method: str, **params: object) -> Json:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def calling(tool: str, **arguments: object) -> Json:
    return rpc("tools/call", name=tool, arguments=arguments)


def initialize() -> Json:
    return rpc(
        "initialize",
        protocolVersion=PROTOCOL,
        capabilities={},
        clientInfo={"name": "a test", "version": "1"},
    )


def called(project: Project, tool: str, key: str = "rk", **arguments: object) -> Json:
    """What a call comes to, without a session."""
    reply = post(project, calling(tool, **arguments), key)
    assert reply.status == 200, reply
    return reply.json


def found(project: Project, tool: str, key: str = "rk", **arguments: object) -> Json:
    """The structured content of a call that has to succeed."""
    result: Json = called(project, tool, key, **arguments)["result"]
    assert not result["isError"], result["content"][0]["text"]
    structured: Json = result["structuredContent"]
    return structured


def summary(project: Project, tool: str, key: str = "rk", **arguments: object) -> str:
    """The paragraph that comes with it."""
    result: Json = called(project, tool, key, **arguments)["result"]
    assert not result["isError"], result["content"][0]["text"]
    return str(result["content"][0]["text"])


def refused(project: Project, tool: str, key: str = "rk", **arguments: object) -> str:
    """What a model reads of a call whose arguments are wrong."""
    result: Json = called(project, tool, key, **arguments)["result"]
    assert result["isError"], result
    return str(result["content"][0]["text"])
