"""Whoever holds `control.db` delays nobody, and no failure loses a count or leaves a lock."""

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.control import both, connection
from tests.support import Project, Server, until
from threadline.contract.errors import InvalidApiKey, Unavailable
from threadline.control import Control, ControlError
from threadline.control.database import Conflict
from threadline.sqlite import connect


@contextmanager
def held(folder: Path) -> Iterator[sqlite3.Connection]:
    """A sqlite3 shell in the middle of a transaction."""
    with closing(sqlite3.connect(folder / "control.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other
        other.execute("ROLLBACK")


def impatient(control: Control) -> None:
    connection(control).execute("PRAGMA busy_timeout = 0")


def test_requests_go_on_while_housekeeping_waits_for_the_lock(folder: Path) -> None:
    with Control(folder) as control:
        project, keys = control.create_project("shop", [])
        control.count_placeholder_ids(project.project_id, 2)
        with held(folder):
            control.authenticate(str(keys["sk"]))
            connection(control).execute("PRAGMA busy_timeout = 60000")
            waiting = threading.Thread(target=control.housekeeping)
            waiting.start()
            until(control._writing.locked)
            for _ in range(3):
                control.authenticate(str(keys["sk"]))
                assert control.salt() == control.salt()
                assert control.placeholder_ids(project.project_id) == 2
                assert control.projects() == [project]
            assert waiting.is_alive(), "it waits, and nobody waits for it"
        waiting.join()
        assert control.placeholder_ids(project.project_id) == 2
    with Control(folder) as control:
        assert control.placeholder_ids(project.project_id) == 2
        assert {key.kind for key in control.list_keys() if key.last_used_ms} == {"sk"}


def test_a_key_that_is_not_known_is_not_refused_where_nobody_can_say(folder: Path) -> None:
    """It may have been made just now: SDKs drop what gets 401, and try again after 503."""
    with Control(folder) as server, Control(folder) as command:
        known = str(server.create_project("shop", [])[1]["sk"])
        new = str(command.create_project("app", [])[1]["sk"])
        with server._reading:  # a thread reads what has changed, which takes long
            server.authenticate(known)
            with pytest.raises(Unavailable, match="try again"):
                server.authenticate(new)
        server.authenticate(new)
        made_up = f"{new[:-6]}{'x' * 6}"
        with pytest.raises(InvalidApiKey):
            server.authenticate(made_up)
        with closing(sqlite3.connect(folder / "control.db", isolation_level=None)) as other:
            other.execute("ALTER TABLE projects RENAME TO elsewhere")
            server.authenticate(known)
            with pytest.raises(Unavailable):
                server.authenticate(made_up)
            other.execute("ALTER TABLE elsewhere RENAME TO projects")
        with pytest.raises(InvalidApiKey):
            server.authenticate(made_up)


def test_a_server_starts_and_counts_visitors_while_the_file_is_locked(folder: Path) -> None:
    with Control(folder) as control:
        control.create_project("shop", [])
    with held(folder), Control(folder) as server:
        impatient(server)
        with pytest.raises(ControlError, match="locked by another process"):
            server.housekeeping()
        salt = server.salt()
        assert server.salt() == salt
        assert len(salt) == 32


def test_a_first_salt_from_memory_is_stored_later(folder: Path) -> None:
    with Control(folder) as server:
        with held(folder):
            salt = server.salt()
        assert server.salt() == salt
        server.housekeeping()
        assert server.salt() == salt
        with Control(folder) as other:
            assert other.salt() == salt


def test_a_revoked_key_stops_while_somebody_reads_for_long(folder: Path) -> None:
    """A backup reads, and holds what it saw; that keeps nobody from writing and looking."""
    with Control(folder) as server, Control(folder) as shell:
        _, keys = shell.create_project("shop", [])
        server.authenticate(str(keys["sk"]))
        with closing(sqlite3.connect(folder / "control.db", isolation_level=None)) as backup:
            backup.execute("BEGIN")
            backup.execute("SELECT count(*) FROM keys").fetchall()
            shell.revoke_key(str(keys["sk"]))
            with pytest.raises(InvalidApiKey):
                server.authenticate(str(keys["sk"]))


def test_commands_say_that_the_file_is_locked(folder: Path) -> None:
    with Control(folder) as control:
        project, keys = control.create_project("shop", ["https://shop.example"])
        impatient(control)
        changes: list[Callable[[], object]] = [
            lambda: control.create_project("other", []),
            lambda: control.create_key(project.project_id, "rk"),
            lambda: control.revoke_key(keys["rk"].prefix),
            lambda: control.rotate_key(keys["rk"].prefix),
            lambda: control.set_origins(project.project_id, ["https://b.example"], []),
            lambda: control.set_site(project.project_id, "separate"),
        ]
        with held(folder):
            for change in changes:
                with pytest.raises(ControlError, match=r"locked by another process.*try again"):
                    change()
        assert control.projects() == [project], "none is done by half"
        assert len(control.list_keys()) == 3
        for change in changes:
            change()


def test_counts_that_could_not_be_saved_are_kept(folder: Path) -> None:
    with Control(folder) as control:
        project, keys = control.create_project("shop", [])
        control.count_placeholder_ids(project.project_id, 5)
        control.authenticate(str(keys["rk"]))
        impatient(control)
        with held(folder):
            for _ in range(2):
                with pytest.raises(ControlError, match="locked"):
                    control.save_uses()
                assert control.placeholder_ids(project.project_id) == 5
            control.count_placeholder_ids(project.project_id)
        control.save_uses()
        assert control.placeholder_ids(project.project_id) == 6
    with Control(folder) as control:
        assert control.placeholder_ids(project.project_id) == 6
        assert {key.kind for key in control.list_keys() if key.last_used_ms} == {"rk"}


def test_an_error_inside_leaves_no_lock_behind(folder: Path) -> None:
    with Control(folder) as control:
        project, keys = control.create_project("shop", [])
        control._placeholder_ids[project.project_id] = None  # type: ignore[assignment]
        with pytest.raises(Conflict):
            control.save_uses()
        with closing(sqlite3.connect(folder / "control.db", timeout=0)) as other:
            other.execute("BEGIN IMMEDIATE")
        control.revoke_key(keys["sk"].prefix)
        control._placeholder_ids.clear()
        control.count_placeholder_ids(project.project_id, 3)
        control.save_uses()
        assert control.placeholder_ids(project.project_id) == 3


def test_a_full_disk_is_said_and_undone(folder: Path) -> None:
    with Control(folder) as control:
        project, _ = control.create_project("shop", [])
        (pages,) = connection(control).execute("PRAGMA page_count").fetchone()
        connection(control).execute(f"PRAGMA max_page_count = {pages}")
        origins = [f"https://{number}.{'a' * 60}.example" for number in range(2000)]
        with pytest.raises(ControlError, match=r"disk is full\. Free some space"):
            control.create_project("large", origins)
        with pytest.raises(ControlError, match="disk is full"):
            control.set_origins(project.project_id, origins, [])
        assert control.projects() == [project]
        connection(control).execute("PRAGMA max_page_count = 1000000")
        control.create_project("large", origins)


@both
def test_counts_are_exact_while_they_are_saved(folder: Path) -> None:
    """Neither between saving and seeing it saved nor before is one counted twice or not at all."""
    with Control(folder) as control:
        project, _ = control.create_project("shop", [])
        stop = threading.Event()

        def save() -> None:
            while not stop.is_set():
                control.save_uses()

        saving = threading.Thread(target=save)
        saving.start()
        try:
            for number in range(1, 500):
                control.count_placeholder_ids(project.project_id)
                assert control.placeholder_ids(project.project_id) == number
        finally:
            stop.set()
            saving.join()


def test_over_http_a_lock_is_not_noticed(folder: Path) -> None:
    with Server(folder) as server:
        project = Project(server)
        with held(folder):
            event = {"event": "x", "anonymous_id": "undefined"}
            assert project.post("/v1/track", event).status == 202
            assert project.post("/v1/track", {"event": "y"}, key="pk").status == 202
            assert project.get("/v1/identity/stats").json["placeholder_ids"] == 1
            headers = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
            assert project.send("OPTIONS", "/v1/track", headers=headers).status == 204
        assert server.stop() == 0
    with Control(folder) as control:
        assert control.placeholder_ids(project.project_id) == 1


READ = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
print(db.execute("SELECT count(*) FROM projects").fetchone()[0])
db.close()
"""


def test_opening_a_file_again_leaves_its_locks(folder: Path) -> None:
    """A file that is opened and closed loses the locks of the whole process, and SQLite's with
    them: then whoever closes it next elsewhere removes the write-ahead file under us."""
    with Control(folder) as control:
        control.create_project("shop", [])
        connect(folder / "control.db").close()
        asked = [sys.executable, "-c", READ, str(folder / "control.db")]
        assert subprocess.run(asked, capture_output=True, check=True).stdout == b"1\n"
        assert (folder / "control.db-wal").exists()
