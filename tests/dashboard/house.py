"""A demo server with its owner signed in, and a small client that asks as they do."""

import http.client
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, Self, cast
from urllib.parse import urlencode, urlsplit

from tests.support import Json, Project, Reply
from threadline.control import Control

EVENTS = 5000
PASSWORD = "correct horse battery"


class House:
    """`threadline demo` with a log of its own, and its owner. Ended by its own process id."""

    def __init__(self, folder: Path, events: int = EVENTS) -> None:
        self.folder = folder
        command = [sys.executable, "-m", "threadline.cli.main", "demo", "--data", str(folder)]
        self.process = subprocess.Popen(
            [*command, "--events", str(events), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "COLUMNS": "400"},
        )
        assert self.process.stdout
        self.url = _await_loaded(self.process.stdout)
        self.keys: dict[str, str] = json.loads((folder / "demo.json").read_text())["keys"]
        with Control(folder) as control:
            self.project_id = control.projects()[0].project_id
            owner = control.members()[0]
            token = control.make_link(owner.member_id)
        self.email = owner.email
        reply = self.send("POST", "/v1/auth/link", {"token": token})
        assert reply.status == 200, reply
        self.cookie = reply.headers["Set-Cookie"].partition(";")[0].partition("=")[2]
        self.change("PUT", "/v1/auth/password", {"password": PASSWORD})

    def send(
        self, method: str, path: str, body: object = None, cookie: str = "", key: str = ""
    ) -> Reply:
        """As a program would: with the cookie or the key, if one is given."""
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(
            address.hostname or "", address.port or 0, timeout=60
        )
        headers = {"Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}
        if cookie:
            headers |= {"Cookie": f"threadline_session={cookie}"}
            headers |= {"Threadline-Project": self.project_id}
        if key:
            headers |= {"Authorization": f"Bearer {key}"}
        try:
            raw = None if body is None else json.dumps(body)
            connection.request(method, path, raw, headers)
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        finally:
            connection.close()

    def send_with(self, key: str, method: str, path: str, body: object) -> Reply:
        """As whoever has this key."""
        return self.send(method, path, body, key=key)

    def ask(self, path: str, **params: Any) -> Json:
        """The answer to a question that has to succeed, as the owner gets it."""
        query = {name.rstrip("_"): value for name, value in params.items() if value is not None}
        reply = self.send("GET", f"{path}?{urlencode(query)}", cookie=self.cookie)
        assert reply.status == 200, reply
        return reply.json

    def change(self, method: str, path: str, body: object = None) -> Json:
        """Something that the owner may do."""
        reply = self.send(method, path, body, cookie=self.cookie)
        assert reply.status < 300, reply
        return reply.json

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.terminate()
        self.process.communicate(timeout=60)


def _await_loaded(lines: IO[str]) -> str:
    """The server's address, once the whole log is in it."""
    url, said = "", []
    for line in lines:
        said.append(line)
        if "ready at" in line:
            url = line.split("ready at ")[1].split()[0]
        if "Ctrl-C" in line:
            return url
    raise AssertionError(f"the demo did not start: {''.join(said)}")


def served_by(url: str) -> Project:
    """What a site has to know of the server whose script it loads; the key stands in its pages."""
    return cast(Project, SimpleNamespace(url=url, keys={"pk": ""}))
