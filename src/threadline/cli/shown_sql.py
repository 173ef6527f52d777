"""What a question asks of the store, to read and to paste: `threadline sql --show`."""

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import msgspec

from threadline.cli.options import check_text
from threadline.contract.definitions import Definitions
from threadline.contract.errors import ApiError
from threadline.control import ControlError, Project
from threadline.identity.reading import ASKED
from threadline.questions.question import Question
from threadline.questions.registry import QUESTIONS
from threadline.runtime.contexts import context_of
from threadline.runtime.params import read_params
from threadline.runtime.socket_store import SocketStore
from threadline.store import Params, Query, Row, Store

# As the engine writes times in JSON, which does not know them.
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?")


def shown(
    store: Store | SocketStore, project: Project, asked: str, definitions: Definitions
) -> str:
    """Every statement that this question, a path with its query, asks of the store: values as
    `SET param_name = …`, then the SELECT, to paste into clickhouse-client.

    It is asked for real, because what it asks may depend on what it found. Raises `ControlError`
    if there is no such question, or if it is refused.
    """
    recorder = _Recorder(store)
    try:
        question, query, in_path = _parsed(asked)
        params: msgspec.Struct = read_params(query, question.params, in_path, project.timezone)
        context = context_of(
            question, project, params, cast(Store, recorder), definitions=definitions
        )
        question.ask(context, params)
    except ApiError as error:
        raise ControlError(str(error)) from error
    return "\n\n".join(_statement(sql, values) for sql, values in recorder.asked)


def _parsed(asked: str) -> tuple[Question, str, dict[str, str]]:
    check_text("--show", asked)
    address = urlsplit(f"/{asked.strip().lstrip('/')}")
    path = address.path.rstrip("/")
    for question, at in ((each, at) for each in QUESTIONS.values() for at in each.paths):
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(at))
        if found := re.fullmatch(pattern, path):
            in_path = {name: unquote(text) for name, text in found.groupdict().items()}
            return question, address.query, in_path
    paths = ", ".join(question.path for question in QUESTIONS.values())
    raise ControlError(f"There is no question {path}; choose one of {paths}.")


class _Recorder:
    """A store that remembers what it was asked, as one machine is asked it."""

    cluster = None
    reads_once = False

    def __init__(self, store: Store | SocketStore) -> None:
        self._store = store
        self.asked: list[Query] = []

    def asking(self) -> AbstractContextManager[None]:
        return nullcontext()

    def query(self, sql: str, params: Params) -> list[Row]:
        self.asked.append((sql, params))
        rows = self._store.query(sql, params)
        return rows if isinstance(self._store, Store) else [_with_times(row) for row in rows]

    def query_all(self, *queries: Query) -> list[list[Row]]:
        return [self.query(*query) for query in queries]

    def save(self, sql: str, params: Params, format: str, path: Path) -> None:
        """Nothing is written."""
        self.asked.append((sql, params))


def _with_times(value: Any) -> Any:
    if isinstance(value, str) and TIME.fullmatch(value):
        return datetime.fromisoformat(value)
    if isinstance(value, list):
        return [_with_times(part) for part in value]
    if isinstance(value, dict):
        return {name: _with_times(part) for name, part in value.items()}
    return value


def _statement(sql: str, values: Mapping[str, object]) -> str:
    asked = sql.strip().replace(f" {ASKED},", "", 1)
    named = {name: value for name, value in values.items() if f"{{{name}:" in asked}
    sets = [f"SET param_{name} = {_literal(value)};" for name, value in named.items()]
    return "\n".join([*sets, f"{asked};"])


def _literal(value: object) -> str:
    """A value as the engine reads it: text is escaped once more, as in a file of tabs."""
    if isinstance(value, str):
        escapes = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
        return _quoted("".join(escapes.get(sign, sign) for sign in value))
    if isinstance(value, list):
        return f"[{', '.join(_element(part) for part in value)}]"
    return str(value)


def _element(value: object) -> str:
    return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    escapes = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escapes}'"
