"""Connections that say nothing: at a limit of 1,024 open files they keep nobody else out."""

import socket
import threading
from contextlib import ExitStack, suppress
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


def test_requests_that_never_end_keep_nobody_out(folder: Path) -> None:
    """Their senders say something now and then, so they are not silent."""
    with Server(folder, before="ulimit -n 1024") as server:
        project = Project(server)
        project.track("before")
        _beside_dribblers(server, project)
        assert server.stop() == 0


def _beside_dribblers(server: Server, project: Project) -> None:
    with ExitStack() as opened:
        address = urlsplit(server.url)
        place = (address.hostname or "", address.port or 0)
        head = b"GET / HTTP/1.1\r\nHost: x\r\nX-A: "
        dribbling = []
        for _ in range(400):
            dribbling.append(opened.enter_context(socket.create_connection(place, 60)))
            dribbling[-1].sendall(head)
        answered = threading.Event()

        def dribble() -> None:
            while not answered.wait(0.2):
                for connection in dribbling:
                    with suppress(OSError):  # it was closed
                        connection.send(b" ")

        dribbler = threading.Thread(target=dribble)
        dribbler.start()
        try:
            project.again().track("during")
        finally:
            answered.set()
            dribbler.join()
