"""The control plane on both databases."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import Postgres
from threadline.control import opened
from threadline.control.database import Database
from threadline.control.opened import OpenControl


@pytest.fixture
def url(control_url: str) -> str:
    return control_url


@pytest.fixture(params=["control.db", "postgresql"])
def each_database(request: pytest.FixtureRequest) -> Iterator[None]:
    """The test's folders have their control plane in SQLite; then each in a PostgreSQL database."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        if request.param == "postgresql":
            _use_postgres(request.getfixturevalue("postgres"), monkeypatch)
        yield


def _use_postgres(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others of this process look when somebody has written, not when their time has come."""
    urls: dict[Path, str] = {}
    making = threading.Lock()
    others: list[OpenControl] = []
    begin, open_database = OpenControl.__init__, opened.open_database

    def open_own(folder: Path, url: str = "control.db", create: bool = True) -> Database:
        with making:
            if folder not in urls:
                urls[folder] = server.database()
        return open_database(folder, urls[folder], create)

    def noted(self: OpenControl, *given: object) -> None:
        begin(self, *given)  # type: ignore[arg-type]
        others.append(self)

    def all_look(self: OpenControl) -> None:
        for other in list(others):  # threads open some
            if not other._closing.is_set():
                other._look_now()

    monkeypatch.setattr(opened, "open_database", open_own)
    checking = sys.modules["threadline.control.check"]  # the package has a function of that name
    monkeypatch.setattr(checking, "open_database", open_own)
    monkeypatch.setattr(checking, "is_postgres", lambda url: True)
    monkeypatch.setattr(checking, "postgres_schemas", lambda url: (0, 0, []))
    monkeypatch.setattr(OpenControl, "__init__", noted)
    monkeypatch.setattr(OpenControl, "_wait_for_others", all_look)
