"""A backup that is made under load, killed at any moment, and restored: it answers as the original
did at that moment."""

import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from subprocess import PIPE
from typing import Any
from urllib.request import Request, urlopen

import pyrage
import pytest
from moto.server import ThreadedMotoServer

from tests import forked
from tests.cli.test_ask import PARAMS, over_http
from tests.cli.test_commands import CLEAN, fails, ok, run
from tests.ingest.test_crash import Sender
from tests.support import Json, Project, Server
from tests.test_story import tell
from tests.width import wide
from threadline.backup import snapshot
from threadline.contract.times import DAY_MS, now_ms
from threadline.control import Control
from threadline.ingest.log import open_db
from threadline.questions import context
from threadline.runtime import sampling
from threadline.runtime.sampling import keys, sample
from threadline.runtime.socket_store import SocketStore
from threadline.settings import Settings

# Rounds with a kill in each third of backup and restore; without any, one kill of each.
ROUNDS = int(os.environ.get("THREADLINE_TEST_BACKUPS", "0"))
KILLS = [1 / 6, 3 / 6, 5 / 6] * ROUNDS or [3 / 6]
# Of events, of people by their devices and decisions, of accounts, of credit, and what is noted.
SOME = ("schema", "users", "profile", "accounts", "visits", "attribution", "identity_stats")
DECISIONS: list[tuple[str, str, Json]] = [
    ("PUT", "aliases", {"user_id": "user_43", "alias_of": "user_42"}),
    ("DELETE", "links", {"anonymous_id": "d2", "user_id": "user_43"}),
]


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "data"
    ok("project", "create", "a secret shop", "--data", str(folder))
    ok("ask", "schema", "--data", str(folder))
    return folder


@pytest.fixture
def stopped(made_once: Path, folder: Path) -> Path:
    """A folder with a project and a store, which no process has open."""
    shutil.copytree(made_once, folder, symlinks=True)
    return folder


class Paced(Sender):
    """As a visitor's browsers do, not as fast as it can."""

    def _batch(self, turn: int) -> list[Json]:
        self._stopped.wait(wide(0.2, 0.03))
        return super()._batch(turn)


def answers(project: Project, some: Iterable[str] = SOME) -> dict[str, Any]:
    """Of every question there is, or some of each kind, and every event."""
    asked = wide(some, PARAMS)
    found: dict[str, Any] = {name: over_http(project, name) for name in asked}
    return {**found, "all events": project.stored(include_bots="true")}


def same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """`expected`: of these questions, or of more."""
    assert "all events" in found
    for name, answer in found.items():
        assert json.dumps(answer, indent=1) == json.dumps(expected[name], indent=1), name


def told(server: Server) -> Project:
    """A project with something of everything."""
    project = Project(server)
    tell(project)
    project.track("$group", user_id="user_42", properties={"account_id": "acme"})
    project.track("$pageview", anonymous_id="d2", url="https://shop.example/?utm_source=mail")
    project.track("signup", anonymous_id="d2", user_id="user_43", event_id="s43")
    for method, path, decision in DECISIONS:
        reply = project.change(method, f"/v1/identity/{path}", decision)
        assert reply.status == 200, reply
    project.stored()
    of = ("--data", str(server.folder), "--project", project.project_id)
    ok("goal", "set", "joined", "signup", *of)
    return project


@contextmanager
def load(project: Project) -> Iterator[list[Paced]]:
    """Events that keep coming as long as the block lasts; it begins when they do."""
    acknowledged = threading.Semaphore(0)
    senders = [Paced(0, project, acknowledged)]
    for sender in senders:
        sender.up.set()
        sender.start()
    for _ in range(5):
        assert acknowledged.acquire(timeout=30)
    try:
        yield senders
    finally:
        for sender in senders:
            sender.stop()


def backups(target: Path) -> list[str]:
    return [each["backup_id"] for each in json.loads(ok("backup", "list", str(target), "--json"))]


def make(folder: Path, target: Path, *more: str) -> Json:
    said = ok("backup", str(target), "--data", str(folder), "--json", *more)
    made: Json = json.loads(said)
    return made


def killed(fraction: float, whole_s: float, *command: str, **environ: str) -> None:
    """The command, killed after this part of the time that all of it takes."""
    with forked.start(*command, env={**CLEAN, **environ}, stdout=PIPE, stderr=PIPE) as process:
        with suppress(subprocess.TimeoutExpired):  # any moment will do: none decides what is right
            process.wait(fraction * whole_s)
        process.send_signal(signal.SIGKILL)


def took_s(do: Callable[[], object]) -> float:
    started = time.monotonic()
    do()
    return time.monotonic() - started


def test_restored_answers_are_the_originals_under_load_and_kills(
    folder: Path, tmp_path: Path
) -> None:
    chance, target = random.Random(25), tmp_path / "backups"
    with Server(folder) as server:
        quiet, busy = told(server), Project(server)
        before = answers(quiet)
        with load(busy) as senders:
            whole_s = took_s(lambda: make(folder, target))
            for third in KILLS:
                at = third + chance.uniform(-1 / 6, 1 / 6)
                killed(at, whole_s, "backup", str(target), "--data", str(folder))
            sent_before = [sender.sent for sender in senders]
            made = make(folder, target)
            sent_after = [sender.sent + 1 for sender in senders]
        assert backups(target)[-1] == made["backup_id"]
        ok("backup", "check", str(target), "--all")
        same(answers(quiet), before)
        assert server.stop() == 0

    restored = tmp_path / "restored"
    for third in KILLS:
        at = third + chance.uniform(-1 / 6, 1 / 6)
        killed(at, whole_s, "restore", str(target), "--to", str(restored))
        done = run("project", "list", "--data", str(restored))
        # Either there is nothing yet, or all of it.
        whole = (restored / "control.db").exists() and not (restored / ".restoring").exists()
        assert (done.returncode == 0) == whole
        if done.returncode == 0:
            shutil.rmtree(restored)
    said = ok("restore", str(target), "--to", str(restored), "--check")
    assert "all is as it was" in said
    assert "is not empty" in fails("restore", str(target), "--to", str(restored))

    with Server(restored) as server:
        same(answers(quiet.again(server)), before)
        stored = {row["event_id"] for row in busy.again(server).stored()}
        assert server.stop() == 0
    for number in range(len(senders)):
        mine = {each for each in stored if each.startswith(f"{number}-")}
        # What one sender had acknowledged, in its order, up to one moment.
        assert mine == {f"{number}-{n}" for n in range(len(mine))}
        assert sent_before[number] * 40 <= len(mine) <= sent_after[number] * 40


def test_a_backup_can_be_checked_on_a_later_day(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The day that was not over then is over now."""
    with Server(folder) as server:
        project = Project(server)
        project.batch([{"event": "x", "anonymous_id": "a"}])
        assert project.stored()
    settings, at_ms = Settings(data=str(folder)), now_ms()
    with Control.of(settings, create=False) as control:
        # However busy this machine is.
        monkeypatch.setattr(sampling, "SAMPLE_S", 120.0)
        monkeypatch.setattr(sampling, "ONE_S", 60)
        then = sample(settings, control, at_ms)
        monkeypatch.setattr(context, "now_ms", lambda: at_ms + 2 * DAY_MS)
        assert set(then) == set(keys(control))
        assert sample(settings, control, at_ms) == then


def test_the_next_backup_adds_what_is_new_and_old_ones_go(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "backups"
    with Server(folder) as server:
        project = Project(server)
        for number in range(8):
            project.batch(events(1000 * number, 1000))
        assert len(project.stored()) == 8000
        store = SocketStore(folder)
        store.execute("OPTIMIZE TABLE events FINAL")
        first = make(folder, target)
        project.batch(events(8000, 10))
        assert len(project.stored(event="$pageview")) == 8010
        second = make(folder, target)
        assert first["rows"]["events"] == 8000
        assert second["rows"]["events"] == 8010
        assert second["added_bytes"] < first["added_bytes"]
        parts = list(target.rglob("part-*"))
        assert 0 < len(parts) < first["files"] + second["files"] - 2  # one each is the rest
        # What a killed backup had linked goes with the next look around; this process is none.
        left = snapshot.snapshot_folder(folder / "store", "backup_1f2e3d4c_00000000")
        left.mkdir()
        assert snapshot.remove_abandoned(folder, folder / "store") == [left.name]
        assert not list((folder / "store" / "shadow").glob("backup_*"))

    # The older one alone goes, and nothing that the newer one needs.
    blobs = set((target / "blobs").rglob("*.zst"))
    said = ok("backup", "prune", str(target), "--keep", "1")
    assert "Deleted 1 backup" in said
    assert backups(target) == [second["backup_id"]]
    assert set((target / "blobs").rglob("*.zst")) < blobs
    ok("backup", "check", str(target))
    restored = tmp_path / "restored"
    said = ok("restore", str(target), "--to", str(restored), "--check")
    assert "all is as it was" in said
    # Where no server runs, too; and its settings are not those of the copy.
    (restored / "threadline.toml").write_text("port = 8788\n")
    make(restored, target)
    again = tmp_path / "again"
    ok("restore", str(target), "--to", str(again), "--check")
    assert (again / "threadline.toml.restored").read_text() == "port = 8788\n"
    assert not (again / "threadline.toml").exists()


def events(first: int, many: int) -> list[Json]:
    return [
        {
            "event": "$pageview",
            "event_id": f"e{number}",
            "anonymous_id": f"d{number % 997}",
            "timestamp": f"2026-05-{1 + number % 28:02}T10:00:00Z",
            "properties": {"number": number},
        }
        for number in range(first, first + many)
    ]


def test_what_is_damaged_is_said_and_written_anew(stopped: Path, tmp_path: Path) -> None:
    target, folder = tmp_path / "backups", stopped
    (folder / "store").rename(tmp_path / "store")
    assert "there is no " in fails("backup", str(target), "--data", str(folder))
    assert not backups(target)
    (tmp_path / "store").rename(folder / "store")
    made = make(folder, target)
    (blob,) = (target / "blobs").rglob("*.zst")
    whole = blob.read_bytes()
    blob.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    damaged = run("backup", "check", str(target))
    assert damaged.returncode == 1
    of = f"blobs/{blob.parent.name}/{blob.name}"
    assert f"{of} is not what was written (as many bytes, {len(whole):,}," in damaged.stderr
    to = tmp_path / "restored"
    said = run("restore", str(target), "--to", str(to)).stderr
    assert "is not what was written. `threadline backup check --all` says" in said
    assert "threadline restore" in fails("project", "list", "--data", str(to))
    blob.unlink()
    assert f"has no blobs/{blob.parent.name}" in run("backup", "check", str(target)).stderr
    # The same files again: what is missing is written, and the older backup is whole, too.
    ok("backup", str(target), "--data", str(folder))
    blob.write_bytes(whole)
    ok("backup", "check", str(target), "--all")
    ok("restore", str(target), "--to", str(to), "--at", made["backup_id"])
    manifest = target / "backups" / f"{made['backup_id']}.json"
    manifest.write_text(manifest.read_text().replace('"written":', '"written": 1'))
    assert "is damaged" in run("backup", "list", str(target)).stderr
    said = fails("backup", "prune", str(target), "--keep", "1")
    assert "Nothing is deleted" in said
    assert f"delete {manifest} if" in said  # and whoever does that is not stuck
    assert "no backup 20" in fails("restore", str(target), "--to", str(to / "b"), "--at", "20")


def test_an_older_backup_is_not_taken_for_a_latest_that_cannot_be_read(
    stopped: Path, tmp_path: Path
) -> None:
    target, to = tmp_path / "backups", tmp_path / "restored"
    older, latest = sorted(make(stopped, target)["backup_id"] for _ in range(2))
    manifest = target / "backups" / f"{latest}.json"
    manifest.write_text(manifest.read_text()[:-100])
    said = fails("restore", str(target), "--to", str(to))
    assert f"{latest}.json is damaged" in said
    assert f"{older}: name it with --at" in said
    assert f"{older}: name it with --at" in fails("backup", "check", str(target))
    assert not to.exists()
    ok("restore", str(target), "--to", str(to), "--at", older)


def test_a_restored_folder_says_that_its_events_are_in_it(stopped: Path, tmp_path: Path) -> None:
    target, to = tmp_path / "backups", tmp_path / "restored"
    events = tmp_path / "events.ndjson"
    events.write_text('{"event": "signup", "user_id": "u1"}\n')
    ok("import", str(events), "--data", str(stopped))
    make(stopped, target)
    ok("restore", str(target), "--to", str(to))
    elsewhere = f"chdb://{tmp_path / 'other'}"
    said = run("ask", "stats", "--data", str(to), THREADLINE_STORE=elsewhere)
    assert said.returncode == 1
    assert "lie in chdb" in said.stderr
    ok("ask", "stats", "--data", str(to))


def test_a_target_holds_backups_of_one_folder(stopped: Path, tmp_path: Path) -> None:
    target, other = tmp_path / "backups", tmp_path / "other"
    shutil.copytree(stopped, other, symlinks=True)
    with closing(open_db(other)) as db:
        db.execute("UPDATE block SET log_id = '01900000-0000-7000-8000-000000000000'")
    make(stopped, target)
    said = run("backup", str(target), "--data", str(tmp_path / "other")).stderr
    assert "holds backups of another data folder" in said
    assert len(backups(target)) == 1


def test_an_encrypted_backup_is_read_with_the_key_alone(stopped: Path, tmp_path: Path) -> None:
    folder = stopped
    mine, others = (pyrage.x25519.Identity.generate() for _ in range(2))
    keys = {"mine": tmp_path / "mine.txt", "others": tmp_path / "others.txt"}
    for name, key in (("mine", mine), ("others", others)):
        keys[name].write_text(f"# made by a test\n{key}\n")
    target, to = tmp_path / "backups", str(tmp_path / "restored")
    wrong = fails("backup", str(target), "--data", str(folder), "--encrypt-to", "nobody")
    assert "begin with age1" in wrong
    public = str(mine.to_public())
    made = json.loads(
        ok(
            *("backup", str(target), "--data", str(folder), "--json"),
            THREADLINE_BACKUP_ENCRYPT_TO=public,
        )
    )
    assert made["encrypted_to"] == [public]
    raw = b"".join(path.read_bytes() for path in target.rglob("*") if path.is_file())
    assert b"secret shop" not in raw
    ok("backup", "check", str(target))
    for name, said in (("", "--identity"), ("others", "cannot be decrypted")):
        given = ["--identity", str(keys[name])] if name else []
        assert said in run("restore", str(target), "--to", to, *given).stderr
    ok("restore", str(target), "--to", to, "--identity", str(keys["mine"]), "--check")
    assert "a secret shop" in ok("project", "list", "--data", to)


def test_the_server_makes_backups_by_itself(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "backups"
    given = {"THREADLINE_BACKUP_EVERY": "24h", "THREADLINE_BACKUP_TO": str(target)}
    with Server(folder, **given) as server:
        server.await_line('"backup_made"')
        assert len(backups(target)) == 1
        jobs = json.loads(ok("jobs", "--data", str(folder), "--json"))
        assert [(job["kind"], job["state"]) for job in jobs] == [("backup", "done")]
        assert server.stop() == 0
    ok("restore", str(target), "--to", str(tmp_path / "restored"), "--check")
    for wrong, said in (("daily", "24h"), ("1w", "24h")):
        asked = {**given, "THREADLINE_BACKUP_EVERY": wrong}
        assert said in fails("serve", "--data", str(folder), **asked)
    assert "THREADLINE_BACKUP_TO" in fails(
        "serve", "--data", str(folder), THREADLINE_BACKUP_EVERY="1d"
    )


def test_a_bucket_is_a_target_as_a_folder_is(stopped: Path, tmp_path: Path) -> None:
    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    try:
        host, port = moto.get_host_and_port()
        bucket = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }
        urlopen(Request(f"http://{host}:{port}/backups", method="PUT")).close()
        target, to = "s3://backups/shop", str(tmp_path / "restored")
        for _ in range(2):
            ok("backup", target, "--data", str(stopped), "--keep", "1", **bucket)
        assert len(json.loads(ok("backup", "list", target, "--json", **bucket))) == 1
        ok("backup", "check", target, **bucket)
        ok("restore", target, "--to", to, "--check", **bucket)
        said = fails("backup", "list", "s3://missing/shop", **bucket)
        assert "s3://missing/shop does not answer as it should" in said
    finally:
        moto.stop()
    assert "s3://BUCKET/PREFIX" in fails("backup", "list", "ftp://backups")


def test_what_cannot_be_a_backup_is_said(folder: Path, tmp_path: Path) -> None:
    ok("project", "create", "shop", "--data", str(folder))
    said = fails("backup", str(tmp_path / "target"), "--data", str(folder))
    assert "No event was ever stored here" in said
    for target in (folder, folder / "backups"):
        assert "is inside the data folder" in fails("backup", str(target), "--data", str(folder))
    assert not (folder / "backups").exists()
