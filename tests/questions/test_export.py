"""An export is a stream: it takes no room on the disk, and who reads it may stop at any time."""

import os
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support import Project, Server
from threadline.questions import export
from threadline.questions.context import Context
from threadline.store import Params, Store, StoreError

ROWS = 200_000


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"chdb://{tmp_path_factory.mktemp('export') / 'store'}"


@pytest.fixture(scope="module")
def store(url: str) -> Iterator[Store]:
    with Store(url) as opened:
        opened.execute(
            "INSERT INTO events (project_id, timestamp, event_id, event_name, anonymous_id)"
            f" SELECT 'p', '2026-05-01', toString(number), 'x', 'd' FROM numbers({ROWS})"
        )
        yield opened


def ask(store: Any, **params: Any) -> export.Export:
    return export.ask(Context(store, "p"), export.ExportParams(**params))


def read_all(exported: export.Export) -> bytes:
    with exported.file as file:
        return b"".join(iter(lambda: file.read(1000_000), b""))


@pytest.mark.parametrize("format", ["ndjson", "csv", "parquet"])
def test_all_of_it_comes(store: Store, format: export.Format) -> None:
    exported = ask(store, format=format)
    assert (exported.events, exported.bots, exported.warnings) == (ROWS, 0, [])
    body = read_all(exported)
    if format == "parquet":
        assert body[:4] == body[-4:] == b"PAR1"
    else:
        assert body.count(b"\n") == ROWS + (format == "csv")


def test_nothing_of_it_lies_on_the_disk(store: Store, tmp_path: Path) -> None:
    """As long as nobody reads, the engine has got no further than the pipe."""
    before = {thread.name for thread in threading.enumerate()}
    exported = ask(store)
    assert exported.file.read(1)
    assert os.listdir(tmp_path) == []
    exported.file.close()
    assert {thread.name for thread in threading.enumerate()} <= before


def test_who_stops_reading_ends_the_question(store: Store) -> None:
    # More of them than may be written at the same time.
    for _ in range(5):
        exported = ask(store)
        assert exported.file.read(10)
        exported.file.close()
        exported.file.close()
    assert read_all(ask(store, format="csv")).count(b"\n") == ROWS + 1


class Failing:
    """A store that fails at a row while it writes."""

    def __init__(self, store: Store, at: int) -> None:
        self._store = store
        self._at = at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def save(self, sql: str, params: Params, format: str, path: Path) -> None:
        fails = f"SELECT throwIf(number = {self._at}), repeat('x', 100) FROM numbers(1000000)"
        self._store.save(f"{fails} SETTINGS max_threads = 1", params, format, path)


def test_what_the_engine_refuses_is_said(store: Store) -> None:
    with pytest.raises(StoreError, match="throwIf"):
        ask(Failing(store, 0))


def test_half_an_answer_is_not_taken_for_the_whole(store: Store) -> None:
    exported = ask(Failing(store, 900_000))
    with pytest.raises(StoreError, match="throwIf"):
        read_all(exported)
    # The engine answers the next question as ever.
    (row,) = store.query("SELECT count() AS n FROM events WHERE project_id = 'p'", {})
    assert row["n"] == ROWS


PARTS, PART_ROWS, SIZE = 16, 5000, 900


@pytest.fixture(scope="module")
def large(store: Store) -> str:
    """A project of much text in many parts."""
    for part in range(PARTS):
        store.execute(
            "INSERT INTO events"
            " (project_id, timestamp, event_id, event_name, anonymous_id, properties)"
            " SELECT 'large', toDateTime64('2026-05-01', 3) + number,"
            f" toString(number), 'x', concat('d', toString(number % 1000)), repeat('y', {SIZE})"
            f" FROM numbers({part * PART_ROWS}, {PART_ROWS})"
        )
    return "large"


@pytest.mark.parametrize("format", ["ndjson", "csv", "parquet"])
def test_large_events_take_little_memory(url: str, large: str, format: export.Format) -> None:
    """What a question may take on a machine of 2 GiB."""
    with Store(url, query_bytes=256 * 1024**2) as small:
        context = Context(small, large)
        body = read_all(export.ask(context, export.ExportParams(format=format)))
    assert format == "parquet" or len(body) > PARTS * PART_ROWS * SIZE


def test_an_event_that_never_came_is_said(store: Store) -> None:
    for event, warnings in (("x", []), ("xx", ["did you mean 'x'?"])):
        exported = ask(store, event=event)
        exported.file.close()
        assert [hint in said for hint, said in zip(warnings, exported.warnings, strict=True)] == [
            True for _ in warnings
        ]


def test_a_client_that_goes_away_leaves_the_server_as_it_was(folder: Path) -> None:
    """And one that comes for the whole gets it."""
    with Server(folder) as server:
        project = Project(server)
        for first in range(0, 20_000, 1000):
            events = [{"event": "x", "event_id": f"e{first + n}"} for n in range(1000)]
            project.batch([{**event, "properties": {"text": "y" * 200}} for event in events])
        project.ask("/v1/stats")
        address = urlsplit(server.url)
        headers = {"Authorization": f"Bearer {project.keys['rk']}"}
        for _ in range(5):  # more than are written at the same time
            with closing(HTTPConnection(address.hostname or "", address.port)) as leaving:
                leaving.request("GET", "/v1/export", headers=headers)
                assert leaving.getresponse().read(100)
        authorized = {"Authorization": f"Bearer {project.keys['rk']}"}
        for _ in range(5):
            asked = project.send("HEAD", "/v1/export", headers=authorized)
            assert (asked.status, asked.body) == (200, b"")
        whole = project.get("/v1/export")
        assert whole.headers["Threadline-Events"] == "20000"
        assert whole.body.count(b"\n") == 20_000
        assert server.stop() == 0
        assert not [line for line in server.lines if '"error"' in line]
