"""`threadline mcp`: agents on this machine, by standard input and output."""

import asyncio
import logging
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import uvloop

from threadline.cli import folders
from threadline.cli.keys import chosen_project
from threadline.cli.options import Data, ProjectName
from threadline.client.address import parse
from threadline.client.errors import Unreachable
from threadline.client.wire import Wire
from threadline.contract.errors import Unavailable
from threadline.control import Control, ControlError, Project
from threadline.http.serve import serve_async
from threadline.mcp.api import ProjectApi, Reply, Session
from threadline.runtime.folder import running_server
from threadline.runtime.logs import log_to_stderr
from threadline.settings import Settings

TIMEOUT_S = 120.0
AGENT = "threadline-mcp"


class OverHttp:
    """The API of a running server, with a key."""

    def __init__(self, url: str, key: str) -> None:
        self._wire = Wire(parse(url), key, TIMEOUT_S, pack=False, proxy="", agent=AGENT)

    async def call(self, method: str, path: str, query: str = "", body: bytes = b"") -> Reply:
        address = f"{path}?{query}" if query else path
        try:
            reply = await asyncio.to_thread(self._wire.send, method, address, body or None)
        except Unreachable as error:
            raise Unavailable(f"The server does not answer: {error}") from error
        return Reply(reply.status, reply.body, bool(reply.headers.get("Threadline-Stale")))


def mcp(
    project: ProjectName = None,
    write: Annotated[
        bool,
        typer.Option(
            "--write", help="Offer tools that change something, too: track_event, unlink, …"
        ),
    ] = False,
    account: Annotated[
        bool, typer.Option("--account", help="Read and compare all projects.")
    ] = False,
    data: Data = None,
) -> None:
    """Let an AI agent on this machine ask questions: the Model Context Protocol over standard input
    and output.

    Clients such as Claude Desktop start it themselves. It uses the running server, or starts one of
    its own and stops that when it ends. Over the network agents use the server's /mcp
    (docs/mcp.md).

    Example: `threadline mcp --project shop --data /var/lib/threadline`
    """
    if account and (write or project):
        given = "--write" if write else "--project"
        raise ControlError(f"--account reads all projects: leave out {given}.")
    settings = folders.load(data)
    folders.used.clear()  # standard output is the protocol's, and clients show what is on stderr
    log_to_stderr(logging.INFO)
    uvloop.run(_serve(settings, project, "sk" if write else "rk", account))


async def _serve(settings: Settings, project: str | None, kind: str, account: bool) -> None:
    with Control.of(settings) as control:
        chosen = [*control.projects()] if account else [chosen_project(control, project)]
        server = running_server(Path(settings.data))
        if server:
            with _session(control, chosen, server.url, kind, account) as session:
                await _speak(session)
            return
        async with asyncio.TaskGroup() as tasks:
            ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            own = msgspec.structs.replace(settings, host="127.0.0.1", port=0)
            serving = tasks.create_task(serve_async(own, ready))
            serving.add_done_callback(lambda _: ready.done() or ready.cancel())
            await asyncio.wait([ready])
            if ready.cancelled():
                return  # what went wrong is raised by the group
            with _session(control, chosen, ready.result(), kind, account) as session:
                try:
                    await _speak(session)
                finally:
                    signal.raise_signal(signal.SIGTERM)  # as every server is stopped


@contextmanager
def _session(
    control: Control, projects: list[Project], url: str, kind: str, account: bool
) -> Iterator[Session]:
    """With keys that last as long as the block."""
    with ExitStack() as keys:
        apis = [
            ProjectApi(
                project.project_id,
                project.name,
                OverHttp(
                    url,
                    keys.enter_context(
                        control.temporary_key(project.project_id, "rk" if account else kind)
                    ),
                ),
            )
            for project in projects
        ]
        if account:
            yield Session("ak", "stdio", projects=apis)
        else:
            (only,) = apis
            yield Session(kind, "stdio", only.api, only.project_id)


async def _speak(session: Session) -> None:
    from threadline.mcp.over_stdio import serve  # takes a second to import

    await serve(session)
