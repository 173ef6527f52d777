"""Servers and commands whose control plane is in PostgreSQL, from moving there to losing a log."""

import json
import re
import shutil
from pathlib import Path

import pytest

import threadline
from tests.cli.test_commands import fails, ok, run
from tests.postgres import PASSWORD, Postgres
from tests.support import ORIGIN, Project, Server, ids, until
from threadline.control import Control
from threadline.control.database import TABLES
from threadline.control.on_sqlite import SqliteDatabase


def accepted(project: Project, key: str = "sk") -> bool:
    return project.post("/v1/track", {"event": "x"}, key=key).status == 202


def test_two_servers_share_keys_origins_and_members(tmp_path: Path, url: str) -> None:
    """Each has its own log and its own store."""
    with Server(tmp_path / "a", THREADLINE_CONTROL=url) as one:
        here = Project(one)
        (tmp_path / "b").mkdir()
        shutil.copy2(tmp_path / "a" / "pepper", tmp_path / "b" / "pepper")
        with Server(tmp_path / "b", THREADLINE_CONTROL=url) as other:
            there = here.again(other)
            assert accepted(there)
            assert accepted(there, "pk"), "its origin is known"
            assert not (tmp_path / "b" / "control.db").exists()
            said = run("key", "revoke", here.keys["sk"], "--data", str(one.folder), **of(url))
            assert said.returncode == 0, said.stderr
            until(lambda: not accepted(here))
            until(lambda: not accepted(there))
            assert accepted(here, "pk")
            wrong = here.again(other)
            wrong.keys = {"sk": f"sk_live_{'A' * 10}_{'B' * 43}"}
            assert wrong.post("/v1/track", {"event": "x"}).status == 401
            assert other.stop() == 0
        assert one.stop() == 0
        assert not [line for line in one.lines + other.lines if '"error"' in line]


def of(url: str) -> dict[str, str]:
    return {"THREADLINE_CONTROL": url}


def test_writes_are_unavailable_while_it_is_away_and_events_go_on(
    tmp_path: Path, postgres: Postgres, url: str
) -> None:
    with Server(tmp_path / "a", THREADLINE_CONTROL=url) as server:
        project = Project(server)
        annotation = {"at": "2026-05-01", "text": "launch"}
        assert project.post("/v1/annotations", annotation).status == 200
        postgres.stop()
        try:
            server.await_line("control_not_read", "does not answer")
            reply = project.post("/v1/annotations", annotation)
            assert (reply.status, reply.error) == (503, "unavailable")
            assert "does not answer" in str(reply.json)
            assert "Nothing was changed" in str(reply.json)
            assert accepted(project)
            ready = project.get("/readyz")
            assert (ready.status, ready.json) == (200, {"control": "away", "ok": True})
            assert "threadline_control_up 0.0" in metrics(project)
            assert (
                "does not answer" in run("doctor", "--data", str(server.folder), **of(url)).stdout
            )
        finally:
            postgres.start()
        assert project.post("/v1/annotations", annotation).status == 200
        server.await_line("control_read_again")
        assert project.get("/readyz").json == {"ok": True}
        assert "threadline_control_up 1.0" in metrics(project)
        assert server.stop() == 0
    assert PASSWORD not in "".join(server.lines)


def metrics(project: Project) -> str:
    return project.get("/metrics").body.decode()


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Project]:
    """A stopped folder with something of everything, in `control.db`."""
    folder = tmp_path_factory.mktemp("full") / "data"
    with Server(folder) as server:
        project = Project(server)
        project.track("x", event_id="known")
        project.stored()
        ok("goal", "set", "joined", "signup", "--data", str(folder))
        assert server.stop() == 0
    return folder, project


@pytest.fixture
def copied(full: tuple[Path, Project], folder: Path) -> Path:
    shutil.copytree(full[0], folder, symlinks=True)
    return folder


def test_moved_to_postgresql_all_goes_on(
    full: tuple[Path, Project], copied: Path, url: str, postgres: Postgres
) -> None:
    project, data = full[1], ("--data", str(copied))
    said = ok("migrate-control", "control.db", url, *data)
    assert "All is there, and equal: 1 project, " in said
    assert "Set THREADLINE_CONTROL=postgresql://threadline@127.0.0.1" in said
    assert "se%3Acret" not in said
    assert str(copied / "control.db.moved") in said
    assert not list(copied.glob("control.db")), "keys that it has would still work"
    with pytest.raises(AssertionError, match=r"was moved to PostgreSQL: set THREADLINE_CONTROL"):
        Server(copied)
    where = "was moved to PostgreSQL: set THREADLINE_CONTROL"
    assert where in fails("project", "list", *data)
    assert where in run("doctor", *data).stdout
    with Server(copied, THREADLINE_CONTROL=url) as server:
        there = project.again(server)
        there.track("x", event_id="known")
        assert ids(there.stored()).count("known") == 1, "ids that were known stay known"
        rows = json.loads(ok("key", "list", "--json", *data, **of(url)))
        assert {row["prefix"] for row in rows} == {k.split("_")[2] for k in project.keys.values()}
        assert json.loads(ok("goal", "list", "--json", *data, **of(url)))
        doctor = run("doctor", *data, **of(url)).stdout
        assert "keys, projects and pepper belong together" in doctor
        assert "se%3Acret" not in doctor
        assert "is served" in fails("migrate-control", url, "control.db", *data)
        server.stop()
    # From there to another database, as where PostgreSQL moves.
    second = postgres.database()
    assert "was left as it is" in ok("migrate-control", url, second, *data)
    assert "All is there" in ok("migrate-control", url, second, *data), "again is no error"
    with Control(copied, url=url) as one, Control(copied, url=second) as other:
        assert one.event_id_key == other.event_id_key
        other.authenticate(project.keys["sk"])
    # And back.
    said = ok("migrate-control", second, "control.db", *data)
    assert "Take THREADLINE_CONTROL out" in said
    assert "counts again" in said
    with Control(copied) as control:
        control.authenticate(project.keys["sk"])


def test_a_move_that_was_cut_off_is_done_by_the_same_command(copied: Path, url: str) -> None:
    """Killed before it was all there nothing is; killed after that, the file is still to go."""
    data = ("--data", str(copied))
    kept = (copied / "control.db").read_bytes()
    ok("migrate-control", "control.db", url, *data)
    (copied / "control.db").write_bytes(kept)
    (copied / "control.db").chmod(0o600)
    ok("migrate-control", "control.db", url, *data)
    with Control(copied, url=url) as control:
        control.create_project("blog", [])
    (copied / "control.db").write_bytes(kept)
    (copied / "control.db").chmod(0o600)
    assert "is not empty (projects: 2 rows)" in fails("migrate-control", "control.db", url, *data)
    assert (copied / "control.db").exists(), "nothing was moved"
    ignored = run("doctor", *data, **of(url)).stdout
    assert "control.db is not used, as THREADLINE_CONTROL names postgresql://" in ignored
    with Server(copied, THREADLINE_CONTROL=url) as server:
        server.await_line("control_file_unused", "migrate-control")


def test_what_cannot_be_moved_says_why(copied: Path, url: str) -> None:
    data = ("--data", str(copied))
    assert "are the same" in fails("migrate-control", "control.db", "control.db", *data)
    assert "are the same" in fails("migrate-control", url, url, *data)
    assert "neither control.db" in fails("migrate-control", "control.db", "mysql://a:pw@b", *data)
    assert "no Threadline in postgresql://" in fails("migrate-control", url, "control.db", *data)
    (copied / "pepper").write_text("damaged")
    assert "pepper is damaged" in fails("migrate-control", "control.db", url, *data)


def test_every_table_is_copied(folder: Path) -> None:
    database = SqliteDatabase(folder, create=True)
    with database.reading() as db:
        found = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    database.close()
    assert {name for (name,) in found} - {"schema_migrations"} == set(TABLES)


def test_all_of_it_is_opened_as_settings_name_it() -> None:
    """Whoever names the folder alone begins a `control.db` that nobody else uses."""
    opens = re.compile(r"(?<!class )\bControl\(")
    rooms = Path(threadline.__file__).parent.rglob("*.py")
    assert [path.name for path in rooms if opens.search(path.read_text())] == []


def test_a_lost_log_forgets_no_ids(folder: Path, url: str) -> None:
    with Server(folder, THREADLINE_CONTROL=url) as server:
        project = Project(server)
        project.track("x", event_id="known")
        project.stored()
        server.stop()
    for path in folder.glob("log.db*"):
        path.unlink()
    with Server(folder, THREADLINE_CONTROL=url) as server:
        server.await_line("log_lost", "known all the same")
        again = project.again(server)
        again.track("x", event_id="known")
        assert ids(again.stored()).count("known") == 1
        server.stop()


@pytest.mark.parametrize("runs", [True, False])
def test_a_backup_takes_it_along(
    full: tuple[Path, Project], copied: Path, url: str, tmp_path: Path, runs: bool
) -> None:
    data, to = ("--data", str(copied)), tmp_path / "backups"
    ok("migrate-control", "control.db", url, *data)
    if runs:
        with Server(copied, THREADLINE_CONTROL=url) as server:
            ok("backup", str(to), *data, **of(url))
            server.stop()
    else:
        ok("backup", str(to), *data, **of(url))
    assert not list(copied.glob(".control-*")), "nothing of it stays there"
    restored = tmp_path / "restored"
    assert "all is as it was" in ok("restore", str(to), "--to", str(restored), "--check")
    with Control(restored) as control:
        control.authenticate(full[1].keys["sk"])


def test_a_backup_without_it_is_refused(
    copied: Path, url: str, postgres: Postgres, tmp_path: Path
) -> None:
    data = ("--data", str(copied))
    ok("migrate-control", "control.db", url, *data)
    away = url.replace(f":{postgres.port}", ":1")
    said = fails("backup", str(tmp_path / "backups"), *data, **of(away))
    assert "does not answer" in said
    assert "No backup was made" in said


def test_an_upgrade_says_what_it_copies_not(copied: Path, url: str) -> None:
    data = ("--data", str(copied))
    ok("migrate-control", "control.db", url, *data)
    said = ok("upgrade", "--check", *data, **of(url))
    assert "The control plane (PostgreSQL): schema" in said


def test_commands_work_without_the_file(tmp_path: Path, url: str) -> None:
    data = ("--data", str(tmp_path / "data"))
    made = json.loads(
        ok("project", "create", "shop", "--origin", ORIGIN, "--json", *data, **of(url))
    )
    assert made["project_id"] in ok("project", "list", *data, **of(url))
    assert not (tmp_path / "data" / "control.db").exists()
    assert "missing or empty" in fails("project", "create", "b", *data), "not begun anew in silence"
    for name in ("dashboard login-link", "ask schema"):
        done = run(*name.split(), *data, **of(url))
        assert done.returncode == 0, (name, done.stderr)
    assert not (tmp_path / "data" / "control.db").exists()
