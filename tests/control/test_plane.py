"""Projects, keys and salts across processes and days."""

import sqlite3
from pathlib import Path

import pytest

from tests.control import both, connection
from threadline.contract.errors import InvalidApiKey
from threadline.contract.times import DAY_MS
from threadline.control import Control, ControlError
from threadline.migrations import SchemaTooNew


def test_secrets_are_kept_nowhere(folder: Path) -> None:
    with Control(folder) as control:
        _, keys = control.create_project("shop", [])
    stored = b"".join(path.read_bytes() for path in folder.iterdir())
    for token in keys.values():
        assert token.secret.encode() not in stored
        assert token.prefix.encode() in stored
    assert (folder / "pepper").stat().st_mode & 0o777 == 0o600


@both
def test_a_key_of_one_folder_is_nothing_in_another(folder: Path) -> None:
    with Control(folder / "a") as one, Control(folder / "b") as other:
        _, keys = one.create_project("shop", [])
        assert one.authenticate(str(keys["sk"]))[0].kind == "sk"
        with pytest.raises(InvalidApiKey):
            other.authenticate(str(keys["sk"]))


def test_a_key_that_was_just_made_is_known(folder: Path) -> None:
    """Also by who cannot look just now."""
    with Control(folder) as server, Control(folder) as shell:
        server._looked_at = float("inf")
        _, keys = shell.create_project("shop", [])
        assert not server.look().keys
        assert server.authenticate(str(keys["rk"]))[1].name == "shop"


@both
def test_another_process_sees_changes_at_once(folder: Path) -> None:
    with Control(folder) as server, Control(folder) as shell:
        _, keys = shell.create_project("shop", [])
        key, project = server.authenticate(str(keys["rk"]))
        assert project.name == "shop"
        shell.revoke_key(key.prefix)
        with pytest.raises(InvalidApiKey):
            server.authenticate(str(keys["rk"]))


@both
def test_last_use_is_recorded(folder: Path) -> None:
    with Control(folder) as control:
        _, keys = control.create_project("shop", [])
        control.authenticate(str(keys["rk"]))
    with Control(folder) as control:
        used = {key.kind for key in control.list_keys() if key.last_used_ms}
    assert used == {"rk"}


def test_salts_are_destroyed_after_two_days(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From every file, while it is open; also on a day on which nobody sends anything."""

    def stored() -> list[bool]:
        files = b"".join(path.read_bytes() for path in folder.iterdir())
        return [salt in files for salt in salts]

    salts: list[bytes] = []
    with Control(folder) as control:
        for day in range(4):
            monkeypatch.setattr("threadline.control.plane._now_ms", lambda d=day: d * DAY_MS)
            control.destroy_old_salts()
            salts.append(control.salt())
            assert control.salt() == salts[-1]
            assert stored() == [age < 2 for age in range(day, -1, -1)]
        assert len(set(salts)) == 4

        with Control(folder) as reader:
            connection(control).execute("PRAGMA busy_timeout = 100")  # nobody waits for this reader
            connection(reader).execute("BEGIN")
            connection(reader).execute("SELECT * FROM salts").fetchall()
            monkeypatch.setattr("threadline.control.plane._now_ms", lambda: 4 * DAY_MS)
            control.destroy_old_salts()
            connection(reader).execute("COMMIT")
        control.destroy_old_salts()
        assert stored() == [False, False, False, True]
        monkeypatch.setattr("threadline.control.plane._now_ms", lambda: 9 * DAY_MS)
        control.destroy_old_salts()
        assert stored() == [False] * 4


@pytest.mark.parametrize(
    "origin",
    [
        "shop.example",
        "https://shop.example/path",
        "https://",
        "ftp://shop.example",
        "https://*",
        "*",
        "https://a b",
    ],
)
@both
def test_what_is_no_origin_is_refused(folder: Path, origin: str) -> None:
    with Control(folder) as control, pytest.raises(ControlError, match="is not an origin"):
        control.create_project("shop", [origin])


@both
def test_origins_come_and_go(folder: Path) -> None:
    with Control(folder) as control, Control(folder) as running:
        project, _ = control.create_project("shop", ["https://shop.example"])
        control.set_origins(
            project.project_id,
            ["https://SHOP.example:443", "https://shop.test/"],
            ["https://shop.example"],
        )
        assert running.project("shop").origins == {"https://shop.test"}
        assert running.project("shop").hosts == {"shop.test"}
        with pytest.raises(ControlError, match=r"those are: https://shop\.test"):
            control.set_origins(project.project_id, [], ["https://shop.example"])
        with pytest.raises(ControlError, match="is not an origin"):
            control.set_origins(project.project_id, ["shop.example"], [])


@both
def test_names_are_taken_once(folder: Path) -> None:
    with Control(folder) as control:
        control.create_project("shop", [])
        with pytest.raises(ControlError, match="choose another name"):
            control.create_project("shop", [])


def test_a_newer_folder_is_refused(folder: Path) -> None:
    Control(folder).close()
    with sqlite3.connect(folder / "control.db") as db:
        db.execute("INSERT INTO schema_migrations VALUES (999, 'future', 0)")
    db.close()
    with pytest.raises(SchemaTooNew, match="knows only up to"):
        Control(folder)
