"""Asking the API's own questions from the command line.

While the server runs it owns the store, so the question goes over HTTP with a key that lives for
just this command. Otherwise the store is opened here, and the same functions are called.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import IO, Any, Protocol, cast
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from threadline.cli.keys import chosen_project
from threadline.contract.errors import NotFound, ThreadlineError
from threadline.control import Control
from threadline.http.folder import running_server
from threadline.http.params import parse_params
from threadline.http.services import Services
from threadline.identity.ground import Ground, Policy, ground
from threadline.identity.reading import Reading
from threadline.questions import export, journey, users
from threadline.settings import Settings

Answer = dict[str, Any]


class Questions(Protocol):
    """What the command line asks."""

    def profile(self, user_id: str, policy: Policy | None) -> Answer: ...

    def journey(self, user_id: str, policy: Policy | None, limit: int) -> Answer: ...

    def export(self, given: Mapping[str, str]) -> export.Export:
        """`given`: the parameters of `/v1/export`."""


@contextmanager
def questions(settings: Settings, project: str | None) -> Iterator[Questions]:
    """The questions of one project, wherever its store is open."""
    folder = Path(settings.data)
    with Control(folder) as control:
        chosen = chosen_project(control, project)
        server = running_server(folder)
        if server:
            with control.passing_key(chosen.project_id, "rk") as key:
                yield _OverHttp(server.url, key)
            return
    with Services(settings) as services:
        yield _Here(services, chosen.project_id, cast(Policy, chosen.stitch or "any"))


class _Here:
    def __init__(self, services: Services, project_id: str, default: Policy) -> None:
        self._services = services
        self._reading = Reading(services.store, project_id)
        self._project_id = project_id
        self._default: Policy = default
        services.writer.catch_up(timeout_s=60)

    def profile(self, user_id: str, policy: Policy | None) -> Answer:
        return _plain(users.profile(self._reading, self._ground(policy), user_id))

    def journey(self, user_id: str, policy: Policy | None, limit: int) -> Answer:
        params = journey.Params(limit=limit)
        return _plain(journey.ask(self._reading, self._ground(policy), params, user_id))

    def _ground(self, policy: Policy | None) -> Ground:
        return ground(self._reading, self._project_id, policy or self._default)

    def export(self, given: Mapping[str, str]) -> export.Export:
        params = parse_params(given, export.Params)
        folder = Path(self._services.settings.data)
        return export.ask(self._services.store, self._project_id, params, folder)


class _OverHttp:
    def __init__(self, url: str, key: str) -> None:
        self._address = urlsplit(url)
        self._key = key

    def profile(self, user_id: str, policy: Policy | None) -> Answer:
        return self._get(f"/v1/users/{quote(user_id, safe='')}", stitch=policy)

    def journey(self, user_id: str, policy: Policy | None, limit: int) -> Answer:
        path = f"/v1/users/{quote(user_id, safe='')}/events"
        return self._get(path, stitch=policy, limit=limit)

    def export(self, given: Mapping[str, str]) -> export.Export:
        response = self._open("/v1/export", given, timeout_s=3600)
        return export.Export(
            cast(IO[bytes], response),
            int(response.headers["Threadline-Events"]),
            int(response.headers["Threadline-Bots-Left-Out"]),
            json.loads(response.headers.get("Threadline-Warnings", "[]")),
        )

    def _get(self, path: str, **params: object) -> Answer:
        given = {name: str(value) for name, value in params.items() if value is not None}
        with self._open(path, given) as response:
            body: Answer = json.load(response)
        return body

    def _open(self, path: str, given: Mapping[str, str], timeout_s: int = 60) -> HTTPResponse:
        connection = HTTPConnection(
            self._address.hostname or "", self._address.port, timeout=timeout_s
        )
        headers = {"Authorization": f"Bearer {self._key}", "Connection": "close"}
        with answering(self._address.geturl()):
            connection.request("GET", f"{path}?{urlencode(given)}", headers=headers)
            response = connection.getresponse()
        if response.status == 200:
            return response
        with response:
            message = json.load(response)["details"]["message"]
        raise (NotFound if response.status == 404 else ThreadlineError)(message)


@contextmanager
def answering(url: str) -> Iterator[None]:
    """Says what it means that nobody answers at the address of a server that runs."""
    try:
        yield
    except (ConnectionRefusedError, ConnectionResetError):
        raise ThreadlineError(
            f"The server at {url} does not answer: it is starting or stopping. Try again in a few "
            "seconds."
        ) from None


def _plain(answer: object) -> Answer:
    return cast(Answer, json.loads(msgspec.json.encode(answer)))
