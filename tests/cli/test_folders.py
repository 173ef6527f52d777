"""Which folder a command works on: it is named, it is the owner's, and reading makes none."""

import os
import shutil
import socket
import stat
from pathlib import Path

import pytest

from tests.cli.test_commands import fails, ok, run
from tests.support import Project, Server
from threadline.cli import folders
from threadline.runtime.folder import folder_lock

READING = [
    "user u",
    "sql SELECT",
    "export",
    "import events.ndjson",
    "reclassify",
    "rebuild",
    "receipts",
    "jobs",
    "jobs cancel x",
    "dead-letter list",
    "dead-letter drop --all",
    "project list",
    "project set shop",
    "key list",
    "key create --kind rk",
    "key revoke x",
    "key rotate x",
    "rules show",
    "rules clear",
    "classify https://shop.example/ --project shop",
]


@pytest.mark.parametrize("command", READING)
def test_a_command_that_needs_a_folder_makes_none(command: str, tmp_path: Path) -> None:
    (tmp_path / "events.ndjson").write_text('{"event": "x"}\n')
    arguments = [str(tmp_path / part) if part.endswith(".ndjson") else part
                 for part in command.split()]  # fmt: skip
    folder, empty = tmp_path / "nowhere", tmp_path / "empty"
    empty.mkdir()
    message = fails(*arguments, "--data", str(folder))
    assert f"The folder {folder} does not exist" in message
    assert "--data" in message
    assert not folder.exists()
    assert f"The folder {empty} holds no " in fails(*arguments, "--data", str(empty))
    assert not list(empty.iterdir())


def test_every_command_names_its_folder(folder: Path) -> None:
    made = run("project", "create", "shop", "--data", str(folder))
    assert f"(data folder {folder})" in made.stderr
    for command in ("project list", "key list", "rules show", "classify x --project shop"):
        done = run(*command.split(), "--data", str(folder))
        assert f"(data folder {folder})" in done.stderr, command
        assert str(folder) not in done.stdout
    assert f"(data folder {folder})" in fails(
        "key", "list", "--project", "y", "--data", str(folder)
    )
    (folder / "threadline.toml").write_text("dedup_days = 3")
    named = run("project", "list", "--data", str(folder)).stderr
    assert f"(data folder {folder}, settings from {folder}/threadline.toml)" in named
    assert run("project", "list", "--json", "--data", str(folder)).stderr == ""


def test_a_file_in_the_place_of_a_folder_is_said(folder: Path, tmp_path: Path) -> None:
    ok("project", "create", "shop", "--data", str(folder))
    file = tmp_path / "file"
    file.touch()
    said = f"{file}: This is a file. Name a folder, or one that is not there yet"
    assert said in fails("serve", "--data", str(file), "--port", "0")
    assert said in fails("backup", str(file), "--data", str(folder))


def test_nobody_else_may_look_into_what_commands_make(folder: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    ok("project", "create", "shop", "--data", str(made))
    with Server(folder) as server:
        Project(server).track("x", anonymous_id="d", user_id="u")
        ok("user", "u", "--data", str(folder))
        ok("export", "-o", str(tmp_path / "out.ndjson"), "--data", str(folder))
        server.stop()
    paths = [made, folder, tmp_path / "out.ndjson", *made.rglob("*"), *folder.rglob("*")]
    assert len(paths) > 20
    for path in paths:
        assert not stat.S_IMODE(path.lstat().st_mode) & 0o077 or path.is_symlink(), path


# Only root can give a folder to somebody else; the test after it is for everybody.
if os.geteuid() == 0:

    def test_another_users_folder_is_left_alone(folder: Path) -> None:
        ok("project", "create", "shop", "--data", str(folder))
        os.chown(folder, 65534, 65534)
        before = sorted(path.name for path in folder.iterdir())
        for command in (
            "project list",
            "user u",
            "serve --port 0",
            "rebuild",
            "project create other",
        ):
            message = fails(*command.split(), "--data", str(folder))
            assert f"The folder {folder} belongs to {folders.name_of(65534)}." in message
            assert f"threadline {command} --data {folder}" in message
            assert "sudo -u " in message
        assert sorted(path.name for path in folder.iterdir()) == before
        done = run("doctor", "--data", str(folder))
        assert done.returncode == 1
        assert "Run this as the folder's owner: sudo -u " in done.stdout
        assert "chown" not in done.stdout, "that would take the folder away from its server"


def test_another_users_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(folders.FolderError, match="Run it as the folder's owner: sudo -u "):
        folders.check_owner(tmp_path)


def test_a_server_that_is_starting_is_said(folder: Path) -> None:
    ok("project", "create", "shop", "--data", str(folder))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with folder_lock(folder, url):
            told = f"The server on {folder} is still starting; try again in a few seconds."
            gone = f"The server at {url} does not answer: it is starting or stopping."
            for command in ("user u", "export", "sql SELECT", "rebuild"):
                said = fails(*command.split(), "--data", str(folder))
                assert told in said or gone in said, command
            # Before it has even said who it is.
            shutil.copy(os.devnull, folder / "server.json")
            assert told in fails("user", "u", "--data", str(folder))


def test_a_store_that_is_away_is_one_line(folder: Path) -> None:
    ok("project", "create", "shop", "--data", str(folder))
    away = {"THREADLINE_STORE": "clickhouse://u:secret@127.0.0.1:1/x"}
    for command in ("user u", "sql SELECT", "rebuild", "export"):
        message = fails(*command.split(), "--data", str(folder), **away)
        assert "ClickHouse is not reached: Connection refused" in message, command
    done = run("doctor", "--data", str(folder), **away)
    assert done.stderr == ""
    assert "✗ engine     ClickHouse is not reached: Connection refused" in done.stdout
    assert "Start ClickHouse, or correct THREADLINE_STORE." in done.stdout
    for text in ("HTTPConnection", "Errno", "object at", "secret"):
        assert text not in done.stdout


def test_a_server_logs_once_that_its_store_is_away(folder: Path) -> None:
    with Server(folder, THREADLINE_STORE="clickhouse://127.0.0.1:1/x") as server:
        Project(server).track("x")
        server.stop()
    away = [line for line in server.lines if "store_away" in line]
    assert away
    assert all(line.startswith("{") for line in server.lines), server.lines
    assert not [line for line in server.lines if "HTTPConnection" in line or "Retry" in line]
