"""Connections that say nothing: at a limit of 1,024 open files they keep nobody else out."""

import socket
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support import Project, Server

IDLE = 1100


@pytest.mark.parametrize("limit", ["ulimit -S -n 1024", "ulimit -n 1024"], ids=["soft", "hard"])
def test_idle_connections_keep_nobody_out(folder: Path, limit: str) -> None:
    with Server(folder, before=limit) as server, ExitStack() as idle:
        project = Project(server)
        project.track("before")
        address = urlsplit(server.url)
        place = (address.hostname or "", address.port or 0)
        for _ in range(IDLE):
            idle.enter_context(socket.create_connection(place, 60))
        for number in range(10):
            fresh = project.again()
            fresh.track("during", event_id=f"e{number}")
        assert len(project.again().stored()) == 11
        assert server.stop() == 0
    errors = [line for line in server.lines if '"error"' in line]
    assert not errors, errors
