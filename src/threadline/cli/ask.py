"""Asking the API's own questions from the command line.

While the server runs it owns the store, so the question goes to it, with a key that lives for just
this command. Otherwise the store is opened here, and asked in the same way.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol, cast

import msgspec

from threadline.cli.keys import chosen_project
from threadline.cli.server import Server
from threadline.client.wire import in_path
from threadline.contract.errors import Unavailable
from threadline.control import Control, Project
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
    """What the command line asks. `given`: parameters as they are in an address; those that are
    None are left out; `project`: whom it asks about. Raises `ApiError`."""

    project: Project

    def ask(self, name: str, given: Mapping[str, object]) -> Answer:
        """The answer of a question of the registry, as JSON has it."""

    def export(self, given: Mapping[str, object]) -> export.Export: ...


@contextmanager
def questions(settings: Settings, project: str | None) -> Iterator[Questions]:
    """The questions of one project, wherever its store is open."""
    folder = Path(settings.data)
    with Control.of(settings) as control:
        chosen = chosen_project(control, project)
        server = running_server(folder)
        if server:
            with control.temporary_key(chosen.project_id, "rk") as key:
                yield _OfServer(Server(server.url, key), chosen)
            return
    with Services(settings) as services:
        yield _Here(services, chosen)


class _Here:
    def __init__(self, services: Services, project: Project) -> None:
        self._services = services
        self.project = project

    def ask(self, name: str, given: Mapping[str, object]) -> Answer:
        return cast(Answer, json.loads(msgspec.json.encode(self._ask(name, given))))

    def export(self, given: Mapping[str, object]) -> export.Export:
        return cast(export.Export, self._ask("export", given))

    def _ask(self, name: str, given: Mapping[str, object]) -> object:
        question = QUESTIONS[name]
        texts = {name: str(value) for name, value in given.items() if value is not None}
        in_path = {name: texts.pop(name) for name in question.in_path if name in texts}
        params: msgspec.Struct = parse_params(
            texts, question.params, in_path=in_path, zone=self.project.timezone
        )
        try:
            return self._services.asking.answer(question, self.project, params, CATCH_UP_S).answer
        except Unavailable as error:
            # Whoever sits at this machine may know what exactly is wrong with the store.
            raise error.__cause__ or error from None


class _OfServer:
    def __init__(self, server: Server, project: Project) -> None:
        self._server = server
        self.project = project

    def ask(self, name: str, given: Mapping[str, object]) -> Answer:
        path, rest = _address(name, given)
        return self._server.get(path, rest)

    def export(self, given: Mapping[str, object]) -> export.Export:
        path, rest = _address("export", given)
        response = self._server.file(path, rest)
        return export.Export(
            cast(IO[bytes], response),
            int(response.headers["Threadline-Events"]),
            int(response.headers["Threadline-Bots-Left-Out"]),
            json.loads(response.headers.get("Threadline-Warnings", "[]")),
        )


def _address(name: str, given: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """A question's path, with the parameters that are parts of it; and the others."""
    question = QUESTIONS[name]
    parts = {name: in_path(str(given[name])) for name in question.in_path}
    rest = {name: value for name, value in given.items() if name not in parts}
    return question.path.format(**parts), rest
