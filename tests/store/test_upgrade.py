"""A real folder of an older version is upgraded by real processes that are killed; before it there
is a copy, and the way back that is documented leads there."""

import fcntl
import json
import os
import re
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests import forked
from tests.cli.test_commands import ok
from tests.docs.blocks import blocks_of
from tests.store.older import EXPECTED, unpack
from tests.store.test_migrations import EVENTS, handle
from tests.store.test_schema_12 import TOKENS, ask, read
from tests.support import ROOT, Project, Server, until
from tests.width import WIDE, wide
from threadline import upgrade_copies
from threadline.control import Control, ControlError
from threadline.identity.states import verify
from threadline.store import Store, store_url
from threadline.upgrade_copies import schema_of

# Statements that are done when a start is killed: of control.db, and of the store.
KILLS = (3, 28)
SCHEMA = "SELECT max(number) FROM schema_migrations"
OLD_EVENTS = EVENTS % ("place", "anonymous_id_made")
# Some of what the old version answered, of each kind.
ANSWERS = [
    answer
    for answer in EXPECTED["answers"]
    if re.match(r"/v1/(users|time-to-conversion|query|identity/stats)", answer["path"])
][:: wide(8, 4)]


def start_and_kill(folder: Path, statements: int) -> int:
    """How many statements it said to have done before it was killed, or was ready."""
    # A pipe that takes one line until that is read: nobody gets further than a statement meanwhile.
    ours, theirs = os.pipe2(os.O_DIRECT)
    fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, 1)
    with forked.start("serve", "--port", "0", "--data", str(folder), stderr=theirs) as it:
        os.close(theirs)
        done = 0
        with open(ours) as log:
            for line in log:
                done += "migration_statement_done" in line
                if done == statements or '"ready"' in line:
                    break
            it.send_signal(signal.SIGKILL)
            it.wait(timeout=60)
    return done


# Statements that are done when a start is killed, of each schema: of control.db, and of the store.
KILLS_SINCE = {13: (9, 16 + 14), 14: (8, 15 + 6), 15: (6, 11 + 5)}


def the_copy(folder: Path) -> Path:
    (copy,) = (each for each in (folder / "before-upgrade").iterdir() if each.is_dir())
    return copy


def answers_as_before(server: Server) -> None:
    server.await_line("rebuild_finished", "links")
    receipts = ("receipts", "--json", "--data", str(server.folder))
    until(lambda: all(each["finished_ms"] for each in json.loads(ok(*receipts))))
    events = "/v1/query?limit=1000"
    until(lambda: b'"event_id":"d1"' in ask(server, events, TOKENS["rk"]).body)
    same_answers(server)


def same_answers(server: Server) -> None:
    assert len(ANSWERS) > 5
    for expected in ANSWERS:
        reply = ask(server, expected["path"], TOKENS[expected.get("key", "rk")])
        assert reply.status == expected["status"], expected["path"]
        if reply.status == 200:
            assert read(reply.body.decode()) == read(expected["body"]), expected["path"]


def test_upgraded_with_kills_and_taken_back(tmp_path: Path) -> None:
    folder = unpack(tmp_path)
    schemas = {name: schema_of(folder / name) for name in upgrade_copies.FILES}
    with handle(folder) as client:
        events = client.query(OLD_EVENTS).result_rows

    assert [start_and_kill(folder, kill) for kill in KILLS] == list(KILLS)
    with Server(folder) as server:
        assert str(the_copy(folder)) in server.await_line("upgrade_finished")
        answers_as_before(server)
        # What comes now is of the new version alone.
        with Control(folder) as control:
            project_id = control.projects()[0].project_id
            key = str(control.create_key(project_id, "sk"))
        project = Project(server)
        project.keys["sk"] = key
        project.track("after", anonymous_id="after", user_id="after")
        assert server.stop() == 0

    copy = the_copy(folder)
    assert {name: schema_of(copy / name) for name in upgrade_copies.FILES} == schemas
    assert (copy / "store-has-schema-12").exists()
    assert not (copy / upgrade_copies.UNFINISHED).exists()
    kept = [copy.parent, copy, *copy.glob("*.db"), copy / "pepper"]
    assert [path for path in kept if path.stat().st_mode & 0o077] == []

    go_back(folder)
    assert {name: schema_of(folder / name) for name in upgrade_copies.FILES} == schemas
    with handle(folder) as client:
        assert client.query(SCHEMA).result_rows == [(12,)]
        assert client.query(OLD_EVENTS).result_rows == events
    # Nothing of it is half of the one and half of the other: it can be upgraded again.
    with Server(folder) as server:
        answers_as_before(server)
        assert ask(server, "/v1/users/after", TOKENS["rk"]).status == 404


@pytest.mark.parametrize("schema", KILLS_SINCE)
def test_each_schema_since_is_upgraded_with_kills_and_taken_back(
    schema: int, tmp_path: Path
) -> None:
    folder = unpack(tmp_path, schema)
    schemas = {name: schema_of(folder / name) for name in upgrade_copies.FILES}
    with handle(folder) as client:
        assert client.query(SCHEMA).result_rows == [(schema,)]
    kills = KILLS_SINCE[schema]
    assert [start_and_kill(folder, kill) for kill in kills] == list(kills)
    with Server(folder) as server:
        assert str(the_copy(folder)) in server.await_line("upgrade_finished")
        same_answers(server)
        assert server.stop() == 0
    with Store(store_url("chdb", folder)) as store:
        assert not any(each[2:] != (0, 0, 0) for each in verify(store))
    go_back(folder)
    assert {name: schema_of(folder / name) for name in upgrade_copies.FILES} == schemas
    with handle(folder) as client:
        assert client.query(SCHEMA).result_rows == [(schema,)]
    if WIDE:  # as what schema 12 went back to is, above
        with Server(folder) as server:
            same_answers(server)


def go_back(folder: Path) -> None:
    """As docs/upgrading.md has it."""
    (way_back,) = (
        block for block in blocks_of(ROOT / "docs" / "upgrading.md", "upgrading.md")
        if block.text.startswith("copy=")
    )  # fmt: skip
    subprocess.run(["bash", "-euc", way_back.text], cwd=folder, check=True)


def test_the_command_says_and_does_the_same(tmp_path: Path) -> None:
    folder = unpack(tmp_path)
    data = ("--data", str(folder))
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.db")}
    said = ok("upgrade", "--check", *data)
    assert "The event store: schema 12, to become" in said
    assert "over 262 events, about 1 s." in said
    assert re.search(r"Space: [\d.]+ MiB for a copy", said)
    assert "Nothing was changed." in said
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*.db")} == before
    assert not (folder / "before-upgrade").exists()
    assert f"What was there before is in {folder}/before-upgrade/control4-log4-" in ok(
        "upgrade", *data
    )
    for arguments in (("--check",), ()):
        assert "Nothing to do" in ok("upgrade", *arguments, *data)


def test_a_new_folder_keeps_nothing(folder: Path) -> None:
    ok("project", "create", "shop", "--data", str(folder))
    with Server(folder) as server:
        assert server.stop() == 0
    assert not (folder / "before-upgrade").exists()


def test_what_went_on_after_the_copy_was_begun_is_in_it(tmp_path: Path) -> None:
    """A command of the new version, then the old server for another day, then the new one."""
    folder = unpack(tmp_path)
    Control(folder).close()  # migrates control.db
    copy = the_copy(folder)
    assert schema_of(copy / "control.db") == 4
    with closing(sqlite3.connect(folder / "log.db")) as db:
        db.execute("CREATE TABLE of_another_day (a)")
    assert upgrade_copies.keep(folder) == copy
    with closing(sqlite3.connect(copy / "log.db")) as db:
        assert db.execute("SELECT count(*) FROM of_another_day").fetchone() == (0,)
    assert schema_of(copy / "control.db") == 4, "what is migrated stays as it was before"


def test_a_copy_that_was_interrupted_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = unpack(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(upgrade_copies, "_copy_database", full)
        with pytest.raises(ControlError, match="No space"):
            Control(folder)
    assert schema_of(folder / "control.db") == 4, "without a copy nothing is changed"
    Control(folder).close()
    assert schema_of(the_copy(folder) / "control.db") == 4


def test_copies_go_after_two_weeks(folder: Path) -> None:
    folder.mkdir()
    copy = upgrade_copies.keep(folder)
    day_s, now = 86_400, time.time()
    assert upgrade_copies.prune(folder, now + 20 * day_s) == [], (
        "its upgrade is still to be finished"
    )
    assert upgrade_copies.finish(folder) == copy
    assert upgrade_copies.finish(folder) is None
    assert upgrade_copies.prune(folder, now + 13 * day_s) == []
    assert upgrade_copies.prune(folder, now + 15 * day_s) == [copy]
    assert not copy.exists()
