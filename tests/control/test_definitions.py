"""Segments, goals and annotations in control.db: of an older folder, across processes, and out of
the way of whoever takes events."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.control import both
from threadline.contract.definitions import (
    Annotation,
    Board,
    BoardTile,
    Definitions,
    GoalDefinition,
    Insight,
    Segment,
)
from threadline.control import Control, ControlError
from threadline.migrations import read
from threadline.runtime.services import site_of

# As schema 6 wrote it: two projects with keys, origins, rules and salts.
OLDER = (Path(__file__).parent / "schema_6.sql").read_text()
PEPPER = "1bb38ff743d6cc0dfc9576803e75eaccb9cd1d4690b976475e0d3ffc98fa682f"
KEY = "_".join(("sk", "live", "EoeX107pvM", "2tXZW19hSfNKXHM9LLbBnM5Ay9vgnW1LHsRuaCChD81"))

DEFINED = Definitions(
    {"buyers": Segment(name="buyers", filters="did==purchase")},
    {"sale": GoalDefinition(name="sale", event="purchase", value_property="value")},
    {"a": Annotation(annotation_id="a", at="2026-05-01", text="New prices")},
    {"Sales": Insight(name="Sales", question="stats", params={"event": "goal:sale"})},
    {"Week": Board(name="Week", insights=[BoardTile("Sales", 12)])},
)


@pytest.fixture
def older(folder: Path) -> Path:
    folder.mkdir()
    (folder / "pepper").write_text(PEPPER)
    with closing(sqlite3.connect(folder / "control.db")) as db:
        db.executescript(OLDER)
    return folder


def tables(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Of each table its columns, as SQLite sees them."""
    with closing(sqlite3.connect(path)) as db:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master ORDER BY name")]
        return {
            name: db.execute(f"SELECT * FROM pragma_table_info('{name}')").fetchall()
            for name in names
        }


def test_a_folder_of_the_schema_before_opens_with_all_it_had(older: Path) -> None:
    with Control(older) as control:
        key, project = control.authenticate(KEY)
        assert (key.kind, project.name, project.stitch) == ("sk", "shop", "next")
        assert project.origins == {"https://shop.example", "https://*.shop.example"}
        assert (project.subdomains, project.visit_timeout_minutes) == ("separate", 45)
        assert project.timezone is None
        assert "podcast" in project.rules
        assert [p.name for p in control.projects()] == ["blog", "shop"]
        assert control.placeholder_ids(control.project("blog").project_id) == 3
        assert [k.name for k in control.list_keys() if k.name] == ["dashboard"]
        assert control.definitions(project.project_id) == Definitions()
        control.define(project.project_id, lambda before: DEFINED)
    with Control(older) as control:
        assert control.definitions(project.project_id) == DEFINED
        assert control.definitions(control.project("blog").project_id) == Definitions()


def test_an_older_and_a_new_folder_have_the_same_tables(older: Path, tmp_path: Path) -> None:
    Control(older).close()
    Control(tmp_path / "new").close()
    assert tables(older / "control.db") == tables(tmp_path / "new" / "control.db")
    assert read("threadline.control").baseline.number == 12


@both
def test_another_process_sees_definitions_at_once(folder: Path) -> None:
    with Control(folder) as server, Control(folder) as shell:
        project, _ = shell.create_project("shop", [])
        shell.define(project.project_id, lambda before: DEFINED)
        assert server.definitions(project.project_id) == DEFINED
        shell.define(project.project_id, lambda before: before._replace(goals={}))
        assert server.definitions(project.project_id) == DEFINED._replace(goals={})


@both
def test_what_a_change_raises_leaves_all_as_it_was(folder: Path) -> None:
    def fail(before: Definitions) -> Definitions:
        raise ZeroDivisionError

    with Control(folder) as control:
        project, _ = control.create_project("shop", [])
        control.define(project.project_id, lambda before: DEFINED)
        with pytest.raises(ZeroDivisionError):
            control.define(project.project_id, fail)
        assert control.definitions(project.project_id) == DEFINED
        # No lock is left.
        control.set_visit_timeout(project.project_id, 45)


@both
def test_all_settings_change_at_once_or_not_at_all(folder: Path) -> None:
    with Control(folder) as control:
        project, _ = control.create_project("shop", ["https://shop.example"])
        control.create_project("blog", [])
        wanted = project._replace(
            name="store",
            stitch="last",
            visit_timeout_minutes=60,
            timezone="Europe/Berlin",
            subdomains="separate",
            rules="# none yet",
            origins=frozenset({"https://store.example"}),
        )
        control.change_settings(project.project_id, lambda before: (wanted, DEFINED))
        now = control.project("store")
        assert now == wanted._replace(hosts=frozenset({"store.example"}))
        assert control.definitions(project.project_id) == DEFINED
        taken = wanted._replace(name="blog", stitch=None)
        with pytest.raises(ControlError, match="project named 'blog' already"):
            control.change_settings(project.project_id, lambda before: (taken, Definitions()))
        assert control.project("store") == now
        assert control.definitions(project.project_id) == DEFINED


@both
def test_the_snapshot_is_read_again_only_where_something_changed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is defined is no part of what is compared for each event."""
    reads: list[int] = []

    def counted(db: sqlite3.Connection) -> object:
        reads.append(threading.get_ident())
        return read_snapshot(db)

    from threadline.control import opened, snapshot

    read_snapshot = snapshot.read_snapshot
    with Control(folder) as server, Control(folder) as shell:
        project, keys = shell.create_project("shop", [])
        shell.define(project.project_id, lambda before: DEFINED)
        _, seen = server.authenticate(str(keys["pk"]))
        site = site_of(seen)
        monkeypatch.setattr(opened, "read_snapshot", counted)
        for _ in range(50):
            server._look_now()
        assert reads == []
        many = {f"s{n}": Segment(name=f"s{n}", filters="known==true") for n in range(500)}
        shell.define(project.project_id, lambda before: before._replace(segments=many))
        again = server.authenticate(str(keys["pk"]))[1]
        assert again == seen
        assert hash(again) == hash(seen)
        assert site_of(again) is site
