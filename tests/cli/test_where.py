"""Where the data is: one rule for all commands, the folder is named, and reading makes none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import forked
from tests.cli.test_commands import run
from tests.cli.test_folders import READING
from tests.support import ROOT, Server
from threadline import settings, settings_files, settings_given
from threadline.settings_files import SettingsError

NOWHERE = "No data folder is named, and there is none here. Name the data folder with --data"


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, dict[str, str]]:
    """The machine's file, the user's, and an environment that has both; we are elsewhere."""
    machine, home = tmp_path / "etc" / "threadline.toml", tmp_path / "home"
    users = home / ".config" / "threadline" / "threadline.toml"
    machine.parent.mkdir()
    users.parent.mkdir(parents=True)
    monkeypatch.setattr(settings_files, "SYSTEM_FILE", machine)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return machine, users, {"HOME": str(home)}


Shared = tuple[Path, Path, dict[str, str]]


def test_the_machines_file_comes_before_the_users(shared: Shared, tmp_path: Path) -> None:
    machine, users, environ = shared
    users.write_text(f"data = '{tmp_path}/users'\nport = 1")
    assert settings_given.load(environ).data == f"{tmp_path}/users"
    assert settings_given.file_read(environ) == users
    machine.write_text(f"data = '{tmp_path}/machines'\nport = 2")
    assert settings_given.load(environ) == settings.Settings(data=f"{tmp_path}/machines", port=2)
    assert settings_given.file_read(environ) == machine
    config = tmp_path / "config" / "threadline"
    config.mkdir(parents=True)
    users.rename(config / "threadline.toml")
    machine.unlink()
    assert settings_given.load({**environ, "XDG_CONFIG_HOME": str(config.parent)}).port == 1


def test_the_default_folders_file_is_not_nearer_than_the_machines(
    shared: Shared, tmp_path: Path
) -> None:
    machine, _, environ = shared
    Path("threadline-data").mkdir()
    Path("threadline-data/threadline.toml").write_text("port = 1")
    assert settings_given.load(environ).port == 1
    machine.write_text(f"data = '{tmp_path}/machines'")
    assert settings_given.load(environ) == settings.Settings(data=f"{tmp_path}/machines")
    Path("threadline.toml").write_text("port = 3")
    assert settings_given.load(environ) == settings.Settings(port=3)


def test_another_folder_does_not_get_the_services_port_and_store(
    shared: Shared, tmp_path: Path
) -> None:
    machine, _, environ = shared
    machine.write_text(f"data = '{tmp_path}/service'\nstore = 'clickhouse://h'")
    for given in ({"data": ".demo"}, {"data": f"{tmp_path}/other"}):
        assert settings_given.load(environ, **given).store == "chdb"
    named = {**environ, "THREADLINE_DATA": f"{tmp_path}/other"}
    assert settings_given.load(named).store == "chdb"
    same = {**environ, "THREADLINE_DATA": f"{tmp_path}/other/../service"}
    assert settings_given.load(same).store == "clickhouse://h"
    assert settings_given.load(environ, data=f"{tmp_path}/service").store == "clickhouse://h"
    machine.write_text("port = 4")
    assert settings_given.load(environ, data=".demo").port == 4, (
        "it names no folder, so it is for all"
    )


def test_a_file_for_the_whole_machine_names_a_whole_path(shared: Shared) -> None:
    machine, _, environ = shared
    machine.write_text("data = 'threadline'")
    with pytest.raises(SettingsError, match=r'data = "threadline" has to begin with a slash\.'):
        settings_given.load(environ)


def test_the_folders_own_file_is_said_to_be_left_out(shared: Shared, tmp_path: Path) -> None:
    machine, _, environ = shared
    folder = tmp_path / "service"
    folder.mkdir()
    (folder / "threadline.toml").write_text("port = 5")
    machine.write_text(f"data = '{folder}'")
    assert settings_given.file_left_out(environ) == folder / "threadline.toml"
    assert settings_given.file_read(environ, str(folder)) == folder / "threadline.toml"


def at(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A command as it is given in this folder, by somebody whose home it is."""
    kept = {name: value for name, value in os.environ.items() if name != "THREADLINE_DATA"}
    env = {**kept, "HOME": str(folder), "XDG_CONFIG_HOME": "", **environ}
    return forked.run(*arguments, env=env, cwd=folder)


@pytest.mark.parametrize("command", [*READING, "project create shop", "dashboard login-link"])
def test_without_a_folder_nothing_is_made(command: str, tmp_path: Path) -> None:
    done = at(tmp_path, *command.split())
    assert done.returncode == 1
    assert "threadline: " in done.stderr
    assert "with --data, THREADLINE_DATA or data = … in /etc/threadline" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_command_finds_the_folder_that_serve_made_here(tmp_path: Path) -> None:
    with Server(tmp_path / "threadline-data") as server:
        made = at(tmp_path, "project", "create", "shop")
        assert "(data folder ./threadline-data)" in made.stderr
        assert server.stop() == 0
    config = tmp_path / ".config" / "threadline"
    config.mkdir(parents=True)
    (config / "threadline.toml").write_text(f"data = '{tmp_path}/named'")
    done = at(tmp_path, "project", "create", "other")
    assert f"(data folder {tmp_path}/named, settings from {config}/threadline.toml)" in done.stderr
    assert "shop" not in at(tmp_path, "project", "list").stdout
    listed = at(tmp_path, "project", "list", THREADLINE_DATA="threadline-data")
    assert "shop" in listed.stdout
    assert "(data folder ./threadline-data)" in listed.stderr


def test_what_the_owner_types_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from threadline.cli import folders

    monkeypatch.setattr(sys, "argv", ["threadline", "key", "list"])
    said = folders.as_owner(65_534, tmp_path)
    assert said.endswith(f" threadline key list --data {tmp_path}")


# Only root can become somebody else.
if os.geteuid() == 0:

    def as_nobody(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        program = (
            "import os; from threadline.cli import expected, main; main.create_cli(main.COMMANDS)\n"
            # What is imported lies where only root may read, perhaps.
            "os.setgid(65534); os.setuid(65534); main.main()"
        )
        env = {**os.environ, "HOME": "/nonexistent", "PYTHONPATH": f"{ROOT}/src", **environ}
        command = [sys.executable, "-c", program, *arguments]
        return subprocess.run(command, env=env, cwd="/", text=True, capture_output=True)

    def test_somebody_else_is_told_who_may(tmp_path: Path) -> None:
        folder = tmp_path / "data"
        assert run("project", "create", "shop", "--data", str(folder)).returncode == 0
        told = "Run it as the folder's owner: sudo -u root threadline project list"
        done = as_nobody("project", "list", THREADLINE_DATA=str(folder))
        assert f"{told} --data {folder}" in done.stderr, "sudo leaves the variable behind"
        assert "sudo -u root threadline doctor" in as_nobody("doctor", "--data", str(folder)).stdout
        config = tmp_path / "threadline.toml"
        config.write_text(f"data = '{folder}'")
        config.chmod(0o600)
        done = as_nobody("project", "list", THREADLINE_CONFIG=str(config))
        assert "Run " in done.stderr
        assert "sudo -u " in done.stderr


def test_files_that_are_open_to_others_are_found(folder: Path) -> None:
    assert run("project", "create", "shop", "--data", str(folder)).returncode == 0
    loose = folder / "pepper"
    loose.chmod(0o644)
    (folder / "deep").mkdir()
    (folder / "deep").chmod(0o755)
    done = run("doctor", "--data", str(folder))
    assert done.returncode == 1
    assert f"2 files in {folder} are open to other users" in done.stdout
    assert f"Close them: chmod -R go= {folder}" in done.stdout
