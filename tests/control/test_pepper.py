"""A pepper is made once, whole, and never replaced in silence."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.control import both
from tests.support import Server
from threadline.contract.errors import InvalidApiKey
from threadline.control import Control, ControlError, check, new_pepper, on_sqlite

DAMAGED = [
    b"",
    b"\n",
    b"not hexadecimal",
    b"\xff\xfe\x00",
    b"ab" * 31,
    b"ab" * 33,
    b"ab" * 31 + b"a",
]


def made(folder: Path) -> str:
    """A folder with a project; its secret key."""
    with Control(folder) as control:
        _, keys = control.create_project("shop", [])
    return str(keys["sk"])


@both
def test_a_lost_pepper_is_not_replaced(folder: Path) -> None:
    key = made(folder)
    kept = (folder / "pepper").read_bytes()
    (folder / "pepper").unlink()
    for _ in range(2):
        with pytest.raises(ControlError, match=r"pepper is missing.*a copy.*replace-pepper"):
            Control(folder)
        assert not (folder / "pepper").exists()
    (problem,) = check(folder)
    assert "pepper is missing" in problem.found
    assert "replace-pepper" in problem.mend
    (folder / "pepper").write_bytes(kept)
    (folder / "pepper").chmod(0o600)
    assert check(folder) == []
    with Control(folder) as control:
        control.authenticate(key)


@both
@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_pepper_is_said_plainly(folder: Path, content: bytes) -> None:
    made(folder)
    (folder / "pepper").write_bytes(content)
    with pytest.raises(ControlError, match=r"pepper is damaged.*a copy"):
        Control(folder)
    (problem,) = check(folder)
    assert "pepper is damaged" in problem.found
    assert (folder / "pepper").read_bytes() == content


@both
def test_the_pepper_of_another_folder_is_noticed(tmp_path: Path) -> None:
    made(tmp_path / "a")
    made(tmp_path / "b")
    (tmp_path / "a" / "pepper").write_bytes((tmp_path / "b" / "pepper").read_bytes())
    with pytest.raises(ControlError, match="not the one that the keys"):
        Control(tmp_path / "a")
    assert "not the one" in check(tmp_path / "a")[0].found


def test_a_folder_that_knows_no_pepper_yet_keeps_it(folder: Path) -> None:
    key = made(folder)
    with closing(sqlite3.connect(folder / "control.db", isolation_level=None)) as db:
        db.execute("DELETE FROM pepper")
    with (folder / "pepper").open("a") as file:
        file.write("\n")  # an editor was here
    for _ in range(2):
        with Control(folder) as control:
            control.authenticate(key)


def test_an_interrupted_first_start_begins_again(folder: Path) -> None:
    """Where nothing was ever hashed with it, an empty pepper is none."""
    Control(folder).close()
    (folder / "pepper").write_bytes(b"")
    (folder / "pepper.new").write_bytes(b"half of")
    key = made(folder)
    with Control(folder) as control:
        control.authenticate(key)
    assert (folder / "pepper").stat().st_mode & 0o777 == 0o600


@both
def test_two_that_start_at_once_make_one_pepper(tmp_path: Path) -> None:
    for number in range(10):
        folder = tmp_path / str(number)

        def start(name: str, folder: Path = folder) -> str:
            with Control(folder) as control:
                return str(control.create_project(name, [])[1]["sk"])

        with ThreadPoolExecutor(4) as pool:
            keys = list(pool.map(start, "abcd"))
        with Control(folder) as control:
            for key in keys:
                control.authenticate(key)


@pytest.mark.parametrize("look", [1, 2, 3])
def test_one_that_starts_while_another_does_takes_nothing_for_lost(
    folder: Path, monkeypatch: pytest.MonkeyPatch, look: int
) -> None:
    """Each look at the folder may see a later state of it than the one before."""
    looked_for = on_sqlite._has_content
    looks: list[Path] = []
    keys: list[str] = []

    def look_and_be_overtaken(path: Path) -> bool:
        has_content = looked_for(path)
        looks.append(path)
        if len(looks) == look:
            keys.append(made(folder))
        return has_content

    monkeypatch.setattr(on_sqlite, "_has_content", look_and_be_overtaken)
    with Control(folder) as control:
        control.authenticate(keys[0])


@both
def test_replacing_it_is_asked_for(folder: Path) -> None:
    key = made(folder)
    with pytest.raises(ControlError, match="is in order; nothing was changed"):
        new_pepper(folder)
    with Control(folder) as running:
        running.authenticate(key)
        (folder / "pepper").write_bytes(b"damaged")
        assert new_pepper(folder) == 3
        assert (folder / "pepper.replaced").read_bytes() == b"damaged"
        with Control(folder) as control:
            assert all(key.revoked_ms for key in control.list_keys())
            token = control.create_key(control.project("shop").project_id, "sk")
        # The server that ran all the time goes along.
        running.authenticate(str(token))
        with pytest.raises(InvalidApiKey):
            running.authenticate(key)
    assert check(folder) == []


@both
def test_a_leaked_key_can_be_revoked_without_it(folder: Path) -> None:
    key = made(folder)
    with Control(folder) as running:
        (folder / "pepper").unlink()
        running.authenticate(key)
        with Control(folder, only_revoking=True) as control:
            assert control.revoke_key(key).revoked_ms is None
        with pytest.raises(InvalidApiKey):
            running.authenticate(key)
    assert not (folder / "pepper").exists()


def test_a_server_does_not_start_without_it(folder: Path) -> None:
    made(folder)
    (folder / "pepper").unlink()
    with pytest.raises(AssertionError) as failed:
        Server(folder)
    said = str(failed.value)
    assert "pepper is missing" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("name", ["control.db", "pepper"])
def test_files_are_for_their_owner_alone(folder: Path, name: str) -> None:
    folder.parent.mkdir(exist_ok=True)
    with Control(folder):
        assert folder.stat().st_mode & 0o777 == 0o700
        modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
        assert set(modes.values()) == {0o600}, modes
    (folder / name).chmod(0o644)
    folder.chmod(0o755)
    mends = [problem.mend for problem in check(folder)]
    assert mends == [f"chmod 700 {folder}", f"chmod 600 {folder / name}"]


def test_a_file_of_an_older_version_is_closed_to_others(folder: Path) -> None:
    made(folder)
    (folder / "control.db").chmod(0o644)
    Control(folder).close()
    assert (folder / "control.db").stat().st_mode & 0o777 == 0o600


def overwrite_header(path: Path) -> None:
    path.write_bytes(b"x" * 100 + path.read_bytes()[100:])


def overwrite_pages(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:4096] + b"x" * (path.stat().st_size - 4096))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: 3 * 4096])


@pytest.mark.parametrize("damage", [overwrite_header, overwrite_pages, cut])
def test_a_damaged_database_is_said_plainly(folder: Path, damage: object) -> None:
    made(folder)
    assert callable(damage)
    damage(folder / "control.db")
    with pytest.raises(ControlError, match=r"control\.db is damaged.*restore the file"):
        Control(folder)
    (problem,) = check(folder)
    assert "control.db is damaged" in problem.found
    assert "restore the file" in problem.mend


@pytest.mark.parametrize("left", [None, b""])
def test_a_lost_database_is_not_replaced(folder: Path, left: bytes | None) -> None:
    made(folder)
    (folder / "control.db").unlink()
    if left is not None:
        (folder / "control.db").write_bytes(left)
        (folder / "control.db").chmod(0o600)
    with pytest.raises(ControlError, match="is missing or empty"):
        Control(folder)
    (problem,) = check(folder)
    assert "is missing or empty" in problem.found
    (folder / "pepper").unlink()
    made(folder)
    assert check(folder) == []


def test_looking_makes_no_folder(folder: Path) -> None:
    with pytest.raises(ControlError, match=r"no Threadline data in .*--data"):
        Control(folder, create=False)
    with pytest.raises(ControlError, match="no Threadline data"):
        new_pepper(folder)
    assert "project create" in check(folder)[0].mend
    assert not folder.exists()
