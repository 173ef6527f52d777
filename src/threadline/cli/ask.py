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
from threadline.contract.errors import ApiError, NotFound
from threadline.control import Control, Project
from threadline.identity.resolution import Policy
from threadline.questions import export
from threadline.questions.registry import QUESTIONS
from threadline.runtime.folder import running_server
from threadline.runtime.params import parse_params
from threadline.runtime.services import Services
from threadline.settings import Settings

Answer = dict[str, Any]
# Nobody else is waiting, so this may take what it takes.
CATCH_UP_S = 60.0


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
            with control.temporary_key(chosen.project_id, "rk") as key:
                yield _OverHttp(server.url, key)
            return
    with Services(settings) as services:
        yield _Here(services, chosen)


class _Here:
    def __init__(self, services: Services, project: Project) -> None:
        self._services = services
        self._project = project

    def profile(self, user_id: str, policy: Policy | None) -> Answer:
        return _plain(self._ask("profile", user_id=user_id, stitch=policy))

    def journey(self, user_id: str, policy: Policy | None, limit: int) -> Answer:
        return _plain(self._ask("journey", user_id=user_id, stitch=policy, limit=limit))

    def export(self, given: Mapping[str, str]) -> export.Export:
        return cast(export.Export, self._ask("export", **given))

    def _ask(self, name: str, **given: object) -> object:
        question = QUESTIONS[name]
        texts = {name: str(value) for name, value in given.items() if value is not None}
        params: msgspec.Struct = parse_params(texts, question.params)
        return self._services.asking.answer(question, self._project, params, CATCH_UP_S).answer


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
        raise (NotFound if response.status == 404 else ApiError)(message)


@contextmanager
def answering(url: str) -> Iterator[None]:
    """Says what it means that nobody answers at the address of a server that runs."""
    try:
        yield
    except (ConnectionRefusedError, ConnectionResetError):
        raise ApiError(
            f"The server at {url} does not answer: it is starting or stopping. Try again in a few "
            "seconds."
        ) from None


def _plain(answer: object) -> Answer:
    return cast(Answer, json.loads(msgspec.json.encode(answer)))
