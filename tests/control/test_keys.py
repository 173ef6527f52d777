"""Keys that end, are named, and are found by whatever lists print."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import forked
from tests.control import both
from threadline.contract.errors import InvalidApiKey
from threadline.control import Control, ControlError, Token, key_changes
from threadline.control.keys import parse_keep_for

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return forked.run(*arguments, env={**os.environ, "COLUMNS": "100"})


def ok(*arguments: str) -> str:
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fails(*arguments: str) -> str:
    """The one line on stderr."""
    done = run(*arguments)
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


class Clock:
    now_ms = 1_780_000_000_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


def made(control: Control) -> dict[str, Token]:
    return control.create_project("shop", [])[1]


def names(token: Token) -> list[str]:
    """All the ways to name a key."""
    label = f"{token.kind}_{token.env}_{token.prefix}"
    return [token.prefix, label, str(token), f" {label}\n", f"{label}_{'x' * 43}"]


@both
@pytest.mark.parametrize("way", range(5))
def test_revoking_takes_what_lists_print_and_the_whole_key(folder: Path, way: int) -> None:
    with Control(folder) as control:
        keys = made(control)
        assert control.revoke_key(names(keys["sk"])[way]).label == names(keys["sk"])[1]
        with pytest.raises(InvalidApiKey):
            control.authenticate(str(keys["sk"]))
        control.authenticate(str(keys["rk"]))


@both
def test_a_key_that_is_not_there_is_named_without_its_secret(folder: Path) -> None:
    with Control(folder) as control:
        keys = made(control)
        other = Token("sk", "live", "A" * 10, "S" * 43)
        for name in names(other):
            with pytest.raises(
                ControlError, match=r"no key .*A{10}; `threadline key list`"
            ) as said:
                control.revoke_key(name)
            assert "SSS" not in str(said.value)
        wrong = str(keys["sk"]).replace("sk_live", "rk_live")
        with pytest.raises(ControlError, match=f"but there is sk_live_{keys['sk'].prefix}"):
            control.revoke_key(wrong)
        for junk in ("", "_", "sk_live_", "sk_live", f"{keys['sk']}ä", "a" * 500):
            with pytest.raises(ControlError, match="none of these"):
                control.revoke_key(junk)
        for token in keys.values():
            control.authenticate(str(token))


@both
def test_a_rotated_key_may_go_on_for_a_while(folder: Path, clock: Clock) -> None:
    with Control(folder, clock=clock) as control, Control(folder, clock=clock) as server:
        old = control.create_key(made_project(control), "sk", name="backend")
        new, _ = control.rotate_key(str(old), 24 * HOUR_MS)
        assert new.kind == "sk"
        assert control.find_key(str(new)).name == "backend"
        server.authenticate(str(old))
        clock.now_ms += 24 * HOUR_MS - 1
        server.authenticate(str(old))
        assert server.find_key(old.prefix).state(clock()) == "ending"
        clock.now_ms += 1
        with pytest.raises(InvalidApiKey, match=r"expired at 2026-05-29T20:26:40\.000Z"):
            server.authenticate(str(old))
        with pytest.raises(InvalidApiKey, match="does not exist or was revoked"):
            server.authenticate(str(old._replace(secret="x" * 43)))  # strangers are told nothing
        assert server.find_key(old.prefix).state(clock()) == "expired"
        server.authenticate(str(new))
        with pytest.raises(ControlError, match="is expired already"):
            control.rotate_key(str(old), HOUR_MS)


def made_project(control: Control) -> str:
    return control.create_project("shop", [])[0].project_id


@both
def test_rotating_again_never_makes_a_key_live_longer(folder: Path, clock: Clock) -> None:
    with Control(folder, clock=clock) as control:
        old = made(control)["sk"]
        control.rotate_key(str(old), HOUR_MS)
        control.rotate_key(str(old), 5 * HOUR_MS)
        assert control.find_key(str(old)).expires_ms == clock() + HOUR_MS
        control.rotate_key(str(old))
        with pytest.raises(InvalidApiKey, match="revoked"):
            control.authenticate(str(old))
        control.rotate_key(str(old))  # a new one in place of a leaked one that was revoked at once
        with pytest.raises(ControlError, match="is revoked already"):
            control.rotate_key(str(old), HOUR_MS)


@both
def test_the_key_of_a_command_leaves_no_trace(folder: Path) -> None:
    with Control(folder) as control:
        project_id = made_project(control)
        with control.temporary_key(project_id, "sk") as key:
            control.authenticate(key)
            assert len(control.list_keys()) == 3
        with pytest.raises(InvalidApiKey):
            control.authenticate(key)
        assert stored_keys(control) == 3


def stored_keys(control: Control) -> int:
    with control._db.reading() as db:
        return int(db.execute("SELECT count(*) FROM keys").fetchone()[0])


KILLED = """
import sys
from pathlib import Path
from threadline.control import Control
with Control(Path(sys.argv[1])) as control:
    with control.temporary_key(sys.argv[2], "sk") as key:
        print(key, flush=True)
        sys.stdin.read()
"""


def test_the_key_of_a_killed_command_ends_by_itself(folder: Path, clock: Clock) -> None:
    with Control(folder) as control:
        project_id = made_project(control)
    command = [sys.executable, "-c", KILLED, str(folder), project_id]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        key = process.stdout.readline().strip()
        process.send_signal(signal.SIGKILL)
        process.wait()
    with Control(folder, clock=clock) as server:
        clock.now_ms = time.time_ns() // 1_000_000
        server.housekeeping()
        server.authenticate(key)
        assert len(server.list_keys()) == 3
        clock.now_ms += key_changes.TEMPORARY_MS
        with pytest.raises(InvalidApiKey, match="expired"):
            server.authenticate(key)
        server.housekeeping()
        assert stored_keys(server) == 3
        with pytest.raises(InvalidApiKey):
            server.authenticate(key)


@both
def test_a_long_command_renews_its_key(
    folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_changes, "RENEW_EVERY_S", 0.001)
    with (
        Control(folder, clock=clock) as control,
        Control(folder, clock=clock) as server,
        control.temporary_key(made_project(control), "sk") as key,
    ):
        for _ in range(3):
            clock.now_ms += key_changes.TEMPORARY_MS - 1
            ends_ms = clock() + key_changes.TEMPORARY_MS
            deadline = time.monotonic() + 30
            while server._look_now().keys[key.split("_")[2]].expires_ms != ends_ms:
                assert time.monotonic() < deadline
                time.sleep(0.001)
            server.housekeeping()
            server.authenticate(key)


@both
@pytest.mark.parametrize("name", ["", " ", "\t\n", "\u3000", "a\nb", "a\x1b[2J", "a" * 201])
def test_a_project_needs_a_name(folder: Path, name: str) -> None:
    with Control(folder) as control:
        with pytest.raises(ControlError, match="name"):
            control.create_project(name, [])
        assert control.projects() == []
        project_id = made_project(control)
        if name:
            with pytest.raises(ControlError, match="name"):
                control.create_key(project_id, "sk", name=name)


@both
def test_an_id_is_an_id_even_where_another_project_is_named_so(folder: Path) -> None:
    with Control(folder) as control:
        first, _ = control.create_project("shop", [])
        other, _ = control.create_project(f" {first.project_id} ", [])
        assert other.name == first.project_id
        assert control.project(first.project_id) == first
        assert control.project(other.project_id) == other


@both
def test_a_project_is_made_with_its_keys_or_not_at_all(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the power went")

    with Control(folder) as control:
        monkeypatch.setattr(key_changes, "secret_hash", fail)
        with pytest.raises(RuntimeError):
            control.create_project("shop", [])
    monkeypatch.undo()
    with Control(folder) as control:
        assert control.projects() == []
        control.create_project("shop", [])


def test_keys_on_the_command_line(folder: Path) -> None:
    data = ["--data", str(folder)]
    shop = json.loads(ok("project", "create", "shop", "--json", *data))
    ok("project", "create", "blog", *data)
    text = ok("key", "create", "--project", "shop", "--kind", "sk", "--name", "backend", *data)
    key = text.splitlines()[0]
    label = key.rpartition("_")[0]
    assert f"shop ({shop['project_id']})" in text

    rotated = ok("key", "rotate", label, "--keep-for", "24h", *data)
    assert f"{label} (backend), works until 20" in rotated
    rows = {row["prefix"]: row for row in json.loads(ok("key", "list", "--json", *data))}
    assert len(rows) == 8
    old = rows[label.split("_")[2]]
    assert (old["name"], old["project"], old["state"]) == ("backend", "shop", "active")
    assert old["ends_at"]
    assert old["revoked_at"] is None
    (line,) = [line for line in ok("key", "list", *data).splitlines() if label in line]
    for part in ("active until 20", "never used", "created 20", "shop (prj_", "servers", "backend"):
        assert part in line
    assert len(ok("key", "list", "--project", "blog", *data).splitlines()) == 3

    assert f"Revoked {label} (backend) of project shop" in ok("key", "revoke", key, *data)
    assert "Revoked already at 20" in ok("key", "revoke", label, *data)
    assert "is revoked already" in fails("key", "rotate", label, "--keep-for", "1h", *data)
    assert "30m, 24h or 7d" in fails("key", "rotate", label, "--keep-for", "1w", *data)
    again = json.loads(ok("key", "rotate", label, "--json", *data))
    assert {"key", "prefix", "kind", "project_id"} <= again.keys()
    assert again["old"] == {"prefix": label.split("_")[2], "works_until": None}


@pytest.mark.parametrize(
    "text", ["", "24", "h", "24 h", "1w", "0h", "-1h", "1.5h", "367d", "9999999d", "²h", "1h\n1h"]
)
def test_how_long_to_keep_is_read_strictly(text: str) -> None:
    with pytest.raises(ValueError, match="30m, 24h or 7d"):
        parse_keep_for(text, "keep_for")


@pytest.mark.parametrize(("text", "minutes"), [("30m", 30), ("24h", 1440), ("7d", 10_080)])
def test_how_long_to_keep(text: str, minutes: int) -> None:
    assert parse_keep_for(text, "keep_for") == minutes * MINUTE_MS


def test_what_commands_say(folder: Path) -> None:
    data = ["--data", str(folder)]
    assert "does not exist" in fails("key", "list", *data)
    assert "does not exist" in fails("project", "list", *data)
    assert not folder.exists(), "a command that only looks makes nothing"
    assert "needs a name" in fails("project", "create", "", *data)
    done = run("project", "create", "shop", "--origin", "https://münchen.example", *data)
    assert done.returncode == 0
    assert "is kept as browsers send it: https://xn--mnchen-3ya.example" in done.stderr
    assert str(folder) in done.stderr
    assert "anybody can have" in fails(
        "project", "set", "shop", "--add-origin", "https://*.com", *data
    )
    done = run("key", "create", "--kind", "ak", "--json", *data)
    assert json.loads(done.stdout)["kind"] == "ak"
    assert "reads all projects of the server, by /mcp/account" in " ".join(done.stderr.split())
    assert "pk (pages), sk (servers)" in " ".join(ok("key", "create", "--help").split())
    (folder / "pepper").unlink()
    assert "replace-pepper" in fails("key", "list", *data)
    assert "Revoked ak_live_" in ok("key", "revoke", json.loads(done.stdout)["prefix"], *data)
    assert run("key", "replace-pepper", *data).returncode != 0, "nobody said yes"
    assert not (folder / "pepper").exists()
    assert "3 keys are revoked" in ok("key", "replace-pepper", "--yes", *data)
    assert "nothing was changed" in fails("key", "replace-pepper", "--yes", *data)
    made = ok("key", "create", "--kind", "sk", *data).splitlines()[0]
    with Control(folder) as control:
        control.authenticate(made)
