"""An export leaves nothing behind and room for events, whatever becomes of it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from threadline.contract.errors import Unavailable
from threadline.questions import export
from threadline.questions.context import Context
from threadline.store import Params, Store, StoreError

ROWS = 200_000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("export")
    with Store(f"chdb://{folder / 'store'}") as opened:
        opened.execute(
            "INSERT INTO events (project_id, timestamp, event_id, event_name, anonymous_id)"
            f" SELECT 'p', '2026-05-01', toString(number), 'x', 'd' FROM numbers({ROWS})"
        )
        yield opened


class Watched:
    """A store whose `save` tells which files lie in the folder meanwhile."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self.files: list[str] = ["not asked"]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def save(self, sql: str, params: Params, format: str, path: Path) -> None:
        self._store.save(sql, params, format, path)
        self.files = os.listdir(self._folder)


@pytest.mark.parametrize("format", ["ndjson", "csv", "parquet"])
def test_the_file_has_no_name_while_it_is_written(
    store: Store, tmp_path: Path, format: export.Format
) -> None:
    watched: Any = Watched(store, tmp_path)
    exported = export.ask(
        Context(watched, "p", folder=tmp_path), export.ExportParams(format=format)
    )
    assert watched.files == [], "a process that is killed here leaves nothing"
    assert (exported.events, exported.bots, exported.warnings) == (ROWS, 0, [])
    with exported.file as file:
        body = file.read()
    if format == "parquet":
        assert body[:4] == body[-4:] == b"PAR1"
    else:
        assert body.count(b"\n") == ROWS + (format == "csv")


@pytest.mark.parametrize("looks", [0, 1, 2])
def test_a_disk_that_fills_up_stops_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    """`looks`: so many times there is room still."""
    left = [export.RESERVE_BYTES] * looks

    def free_bytes(folder: Path) -> int:
        return left.pop() if left else 0

    monkeypatch.setattr(export, "free_bytes", free_bytes)
    with pytest.raises(Unavailable, match="no room for this export"):
        export.ask(Context(store, "p", folder=tmp_path), export.ExportParams())
    assert os.listdir(tmp_path) == []
    monkeypatch.undo()
    # The engine answers the next question as ever.
    (row,) = store.query("SELECT count() AS n FROM events", {})
    assert row["n"] == ROWS


def test_what_the_engine_refuses_is_said(store: Store, tmp_path: Path) -> None:
    class Refusing(Watched):
        def save(self, sql: str, params: Params, format: str, path: Path) -> None:
            super().save("SELECT throwIf(number > 5) FROM numbers(10)", params, format, path)

    refusing: Any = Refusing(store, tmp_path)
    with pytest.raises(StoreError, match="throwIf"):
        export.ask(Context(refusing, "p", folder=tmp_path), export.ExportParams())
    assert os.listdir(tmp_path) == []


def test_an_event_that_never_came_is_said(store: Store, tmp_path: Path) -> None:
    for event, warnings in (("x", []), ("xx", ["Did you mean x?"])):
        exported = export.ask(
            Context(store, "p", folder=tmp_path), export.ExportParams(event=event)
        )
        exported.file.close()
        assert [hint in said for hint, said in zip(warnings, exported.warnings, strict=True)] == [
            True for _ in warnings
        ]
