"""Work that takes long, in one table: listed as it runs, cancelled, gone on with after a kill."""

import json
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from subprocess import PIPE

import msgspec
import pytest
from typer.testing import CliRunner

from tests import forked
from tests.cli.test_commands import CLEAN, fails, ok, run
from tests.dying import Killed, listed, load, unsynced_store, wrong
from tests.ingest.leftovers import until_erased
from tests.ingest.test_reclassify import RULES, fill, sources
from tests.support import Json, Project, Server, until
from tests.width import wide
from threadline.cli import jobs as command
from threadline.cli.main import COMMANDS, create_cli
from threadline.identity.states import STATES
from threadline.ingest.log import Log, open_db
from threadline.ingest.recovery import alone, rebuild_states
from threadline.jobs import Cancelled, JobError, Work, jobs_db, table, view, work
from threadline.settings import Settings
from threadline.store import REBUILD, RECLASSIFY, Statements, Store, begin, store_url

LINES = 3000
WAIT_S = 60


def jobs(folder: Path, *more: str) -> list[Json]:
    found: list[Json] = json.loads(ok("jobs", "--json", *more, "--data", str(folder)))
    return found


def events_file(folder: Path) -> Path:
    path = folder / "events.ndjson"
    lines = [
        json.dumps({"event": "x", "anonymous_id": f"d{n}", "timestamp": "2026-05-01T10:00:00Z"})
        for n in range(LINES)
    ]
    path.write_text("\n".join(lines))
    return path


def freeze(server: Server) -> None:
    """Where it does not hold a lock that everybody else would wait for."""
    while True:
        server.process.send_signal(signal.SIGSTOP)
        until(lambda: is_stopped(server.process.pid))
        try:
            for name in ("log.db", "control.db"):
                with closing(sqlite3.connect(server.folder / name, timeout=0)) as db:
                    db.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError:
            server.process.send_signal(signal.SIGCONT)


def is_stopped(pid: int) -> bool:
    """With all its threads."""
    try:
        tasks = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/stat")]
    except OSError:  # a thread has just ended
        return False
    return all(task.rpartition(")")[2].split()[0] == "T" for task in tasks)


@contextmanager
def importing(server: Server, project: Project, path: Path) -> Iterator[forked.Process]:
    """An import that is at work, and comes no further than its first requests: the server is kept
    from answering until the block goes on with it."""
    freeze(server)
    arguments = ["import", str(path), "--project", project.project_id]
    with forked.start(
        *arguments, "--data", str(server.folder), env=CLEAN, stdout=PIPE, stderr=PIPE
    ) as process:
        try:
            while not [job for job in jobs(server.folder) if job["state"] == "running"]:
                assert process.poll() is None, process.communicate()
            yield process
        finally:
            server.process.send_signal(signal.SIGCONT)
            if process.poll() is None:
                process.kill()


def test_a_request_to_forget_is_a_job_and_its_receipt_a_view_of_it(folder: Path) -> None:
    with Server(folder) as server:
        project = Project(server)
        project.track("x", user_id="lovelace", anonymous_id="phone")
        receipt_id = project.post("/v1/forget", {"user_id": "lovelace"}).json["receipt_id"]
        until_erased(project)
        (job,) = jobs(folder)
        assert (job["job_id"], job["kind"], job["state"]) == (receipt_id, "forget", "done")
        assert (job["project"], job["events"], job["progress"]) == (project.project_id, 1, 1.0)
        assert job["requested"] <= job["started"] <= job["finished"]
        (receipt,) = json.loads(ok("receipts", "--json", "--data", str(folder)))
        assert receipt["receipt_id"] == receipt_id
        assert receipt["erased"] is True
        assert receipt["accepted_ms"] <= receipt["finished_ms"] <= receipt["erased_ms"]
        assert ", 1 event, off the disk 2" in ok("receipts", "--data", str(folder))
        text = ok("jobs", "--data", str(folder))
        assert text.splitlines()[0].split() == command.COLUMNS
        assert "cannot be taken back" in fails("jobs", "cancel", receipt_id, "--data", str(folder))
        assert "lovelace" not in text
        assert server.stop() == 0


def test_an_import_is_listed_while_it_runs_and_goes_on_after_a_kill(folder: Path) -> None:
    data = ("--data", str(folder))
    with Server(folder) as server:
        project = Project(server)
        path = events_file(folder.parent)
        with importing(server, project, path) as process:
            (job,) = jobs(folder)
            assert (job["kind"], job["project"]) == ("import", project.project_id)
            assert "events.ndjson" in job["about"]
            assert job["took_s"] >= 0
            assert f"job {job['job_id']}" in fails(
                "import", str(path), "--project", project.project_id, *data
            )
            process.kill()
            process.wait(WAIT_S)
            (killed,) = jobs(folder)
            assert killed["state"] == "interrupted"
        found = run("doctor", *data)
        assert found.returncode == 1
        assert f"interrupted: {job['job_id']} of events.ndjson" in found.stdout
        ok("import", str(path), "--project", project.project_id, *data)
        (done,) = jobs(folder)
        assert (done["job_id"], done["state"]) == (job["job_id"], "done")
        assert (done["done"], done["unit"]) == (path.stat().st_size, "bytes")
        assert len(project.stored()) == LINES
        assert "nothing was interrupted" in ok("doctor", *data)
        assert server.stop() == 0


def test_an_import_is_cancelled_and_can_be_begun_again(folder: Path) -> None:
    data = ("--data", str(folder))
    with Server(folder) as server:
        project = Project(server)
        path = events_file(folder.parent)
        with importing(server, project, path) as process:
            (job,) = jobs(folder)
            assert "stops at its next step" in ok("jobs", "cancel", job["job_id"], *data)
            (asked,) = jobs(folder)
            assert (asked["state"], asked["cancelling"]) == ("running", True)
            server.process.send_signal(signal.SIGCONT)
            _, said = process.communicate(timeout=WAIT_S)
            assert process.returncode == 1
            assert f"Cancelled by threadline jobs cancel {job['job_id']}" in said
        (cancelled,) = jobs(folder)
        assert (cancelled["state"], cancelled["cancelling"]) == ("cancelled", False)
        assert "is over" in fails("jobs", "cancel", job["job_id"], *data)
        ok("import", str(path), "--project", project.project_id, *data)
        assert [each["state"] for each in jobs(folder)] == ["cancelled", "done"]
        assert len(project.stored()) == LINES
        assert server.stop() == 0


def test_two_kinds_at_once_and_two_that_exclude_each_other(folder: Path) -> None:
    data = ("--data", str(folder))
    with Server(folder) as server:
        project = Project(server)
        path = events_file(folder.parent)
        with alone(Settings(data=str(folder))), work(folder, table.REBUILD, unit="tables") as job:
            job.progress(2, len(STATES), "half_hours", now=True)
            ok("import", str(path), "--project", project.project_id, *data)
            rebuild, done = jobs(folder)
            assert (rebuild["job_id"], rebuild["state"]) == (job.job_id, "running")
            assert (rebuild["step"], rebuild["progress"]) == (
                "half_hours",
                round(2 / len(STATES), 3),
            )
            assert (done["kind"], done["state"]) == ("import", "done")
            text = ok("jobs", *data)
            assert f"{2 / len(STATES):.0%}, 2 of {len(STATES)} tables, half_hours" in text
            for other in ("rebuild", f"reclassify --project {project.project_id}"):
                assert "is running in" in fails(*other.split(), *data)
        ok("rebuild", *data)
        assert [each["state"] for each in jobs(folder)] == ["done", "done", "done"]
        assert server.stop() == 0


def test_one_that_somebody_is_at_work_on_is_not_begun_twice(folder: Path) -> None:
    Log(folder).close()
    with (
        work(folder, table.IMPORT, "p", "file"),
        pytest.raises(JobError, match="at work on this"),
        work(folder, table.IMPORT, "p", "file"),
    ):
        pass
    with jobs_db(folder) as db:
        assert db is not None
        (job,) = table.listed(db)
        assert job.state == table.DONE


@pytest.mark.parametrize(
    ("ending", "state"),
    [
        (None, "done"),
        (KeyboardInterrupt(), "stopped"),
        (ValueError("no room"), "failed"),
        (Killed(), "interrupted"),
    ],
)
def test_how_a_job_ends_and_what_goes_on_with_it(
    folder: Path, ending: BaseException | None, state: str
) -> None:
    """What ended early is one job with what goes on with it; what is done is another."""
    Log(folder).close()

    def once(fails_with: BaseException | None) -> str:
        with work(folder, table.IMPORT, "p", "file", "bytes", left_by=(Killed,)) as job:
            job.progress(1, 2, "half", now=True)
            if fails_with:
                raise fails_with
        return job.job_id

    with jobs_db(folder) as db:
        assert db is not None
        if ending:
            with pytest.raises(type(ending)):
                once(ending)
        else:
            once(None)
        (first,) = view.shown(db, folder)
        assert first.state == state
        assert first.error == ("no room" if state == "failed" else "")
        again = once(None)
        assert (again == first.job_id) == (ending is not None)
        assert {job.state for job in view.shown(db, folder)} == {"done"}


def test_a_rebuild_that_is_cancelled_leaves_nothing_to_finish(folder: Path) -> None:
    """What was not begun is as it was; but what was wrong before has still to be made anew."""
    tables = [state.table for state in STATES]

    def cancelled_at(number: int, store: Statements) -> None:
        def progressed(name: str) -> None:
            if name == tables[number]:
                raise Cancelled("rebuild-1")

        with pytest.raises(Cancelled):
            rebuild_states(store, Settings(data=str(folder)), [], lambda: False, progressed)

    with unsynced_store(folder) as store:
        load(store)
        for number in range(0, len(tables), wide(4, 1)):
            cancelled_at(number, store)
            assert (wrong(store), listed(store)) == (set(), set())
        begin(store, REBUILD, ["traffic_sources"])
        cancelled_at(1, store)
        assert listed(store) == {"traffic_sources"}


def test_what_has_to_be_finished_cannot_be_cancelled(folder: Path) -> None:
    Log(folder).close()
    with jobs_db(folder) as db, work(folder, table.RECLASSIFY, "p", unit="visits") as job:
        assert db is not None
        job.keep()
        with pytest.raises(JobError, match="cannot be cancelled"):
            view.cancel(db, folder, job.job_id)
        table.ask_cancel(db, job.job_id)  # as somebody who was a moment too late
        job.progress(1, now=True)
        with pytest.raises(JobError, match="There is no job nobody"):
            view.cancel(db, folder, "nobody")


def test_one_that_was_killed_is_cancelled_at_once(folder: Path) -> None:
    Log(folder).close()
    with pytest.raises(Killed), work(folder, table.IMPORT, "p", "file", left_by=(Killed,)) as job:
        raise Killed
    assert "will not be continued" in ok("jobs", "cancel", job.job_id, "--data", str(folder))
    assert [each["state"] for each in jobs(folder)] == ["cancelled"]


def begin_and_end(store: Store, folder: Path, project_id: str, ending: type[BaseException]) -> None:
    with work(folder, table.RECLASSIFY, project_id, left_by=(Killed,)):
        begin(store, RECLASSIFY, [project_id])
        raise ending


def test_a_reclassify_that_was_killed_is_finished_by_the_server(
    folder: Path, tmp_path: Path
) -> None:
    """One that was stopped by hand waits for who stopped it."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    with Server(folder) as server:
        killed, stopped = Project(server), Project(server)
        for project in (killed, stopped):
            fill(project)
            ok("rules", "set", str(rules), "--project", project.project_id, "--data", str(folder))
        before = sources(stopped)
        assert server.stop() == 0
    endings: list[tuple[Project, type[BaseException]]] = [
        (stopped, KeyboardInterrupt),
        (killed, Killed),
    ]
    with Store(store_url("chdb", folder)) as store:
        for project, ending in endings:
            with pytest.raises(ending):
                begin_and_end(store, folder, project.project_id, ending)
    with Server(folder) as server:
        server.await_line("reclassify_resumed", killed.project_id)
        server.await_line("reclassify_finished", killed.project_id)
        assert sources(killed.again(server))["e4"] == "partner custom:partner"
        assert sources(stopped.again(server)) == before
        assert [job["state"] for job in jobs(folder)] == ["stopped", "done"]
        found = run("doctor", "--data", str(folder)).stdout
        assert f"interrupted: reclassify of {stopped.project_id} since 2" in found
        ok("reclassify", "--project", stopped.project_id, "--data", str(folder))
        assert "nothing was interrupted" in ok("doctor", "--data", str(folder))
        assert [job["state"] for job in jobs(folder)] == ["done", "done"]
        assert server.stop() == 0


def test_follow_shows_it_until_it_is_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Log(folder).close()
    arguments = ["jobs", "--follow", "--data", str(folder)]
    app = create_cli(COMMANDS)

    def following(arguments: list[str], job: Work, then: Callable[[], None]) -> str:
        looks: list[float] = []

        def look_again(seconds: float) -> None:
            looks.append(seconds)
            job.progress(len(looks), 3, "on its way", now=True)
            if len(looks) == 3:
                then()

        with monkeypatch.context() as waiting:
            waiting.setattr("threadline.cli.jobs.time.sleep", look_again)
            done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0
        assert len(looks) == 3
        return done.stdout

    def end_of(job: Work) -> Callable[[], None]:
        def end() -> None:
            with jobs_db(folder) as db:
                assert db is not None
                table.end(db, [job.job_id], table.DONE)

        return end

    with work(folder, table.IMPORT, "p", "file", "bytes") as job:
        said = following(arguments, job, end_of(job))
        assert job.job_id in said
        assert "100%, 3 of 3 bytes" in said
    with work(folder, table.IMPORT, "p", "other", "bytes") as job:
        found = json.loads(following([*arguments, "--json"], job, end_of(job)))
        assert [each["state"] for each in found] == ["done", "done"]
    assert "No job is running or waiting" in ok(*arguments)


def test_only_the_latest_of_those_that_are_over_are_listed(folder: Path) -> None:
    Log(folder).close()
    for number in range(view.LATEST + 5):
        with work(folder, table.IMPORT, "p", f"file {number}"):
            pass
    assert len(jobs(folder)) == view.LATEST
    assert len(jobs(folder, "--all")) == view.LATEST + 5


def test_without_jobs_it_says_so(folder: Path) -> None:
    Log(folder).close()
    assert "No jobs" in ok("jobs", "--data", str(folder))


OLD_RECEIPTS = [
    ("r-waiting", None, None),
    ("r-found", None, 3),
    ("r-deleting", 2_000, 4),
    ("r-gone", 2_000, 5),
    ("r-done", 2_000, 6),
]
OLD_STAGES = {0: "r-found", 1: "r-deleting", 2: "r-gone"}


def old_log(folder: Path) -> None:
    """As the version before wrote it, with requests in every state."""
    folder.mkdir()
    with closing(open_db(folder)) as db:
        db.execute(
            "CREATE TABLE schema_migrations"
            " (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_ms INTEGER NOT NULL) STRICT"
        )
        db.executescript((Path(__file__).parent / "schema_4.sql").read_text())
        db.execute("INSERT INTO schema_migrations VALUES (4, 'forgettings', 0)")
        for receipt_id, finished_ms, events in OLD_RECEIPTS:
            db.execute(
                "INSERT INTO receipts VALUES (?, 'p', x'0102', 1000, ?, ?)",
                (receipt_id, finished_ms, events),
            )
        for stage, receipt_id in OLD_STAGES.items():
            plan = b"plan" if stage < 2 else b""
            db.execute(
                "INSERT INTO forgettings VALUES (?, ?, ?, ?)",
                (stage + 1, msgspec.msgpack.encode([receipt_id]), plan, stage),
            )


def test_receipts_of_the_version_before_become_jobs(folder: Path) -> None:
    old_log(folder)
    log = Log(folder)
    assert [
        (r.receipt_id, r.accepted_ms, r.finished_ms, r.events, r.erased) for r in log.receipts()
    ] == [
        ("r-deleting", 1000, 2000, 4, False),
        ("r-done", 1000, 2000, 6, True),
        ("r-found", 1000, None, 3, False),
        ("r-gone", 1000, 2000, 5, False),
        ("r-waiting", 1000, None, None, False),
    ]
    assert (log.count_unfinished_forgets(), log.count_forgets_on_disk()) == (2, 2)
    assert [tuple(each) for each in log.forgettings()] == [(2, b"plan", 1), (3, b"", 2)]
    log.erase([2, 3])
    assert (log.count_unfinished_forgets(), log.count_forgets_on_disk()) == (2, 0)
    log.close()


def test_a_command_that_comes_before_the_new_server_migrates_the_log(folder: Path) -> None:
    old_log(folder)
    (folder / "control.db").touch()
    assert len(jobs(folder)) == len(OLD_RECEIPTS)


def test_a_log_that_is_locked_stops_no_job(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Log(folder).close()
    monkeypatch.setattr("threadline.jobs.working.BUSY_S", 0.0)
    with work(folder, table.IMPORT, "p", "file", "bytes") as job, closing(open_db(folder)) as db:
        db.execute("BEGIN IMMEDIATE")
        job.progress(1, 2, now=True)
        db.execute("ROLLBACK")
        job.progress(2, 2, now=True)
        assert db.execute("SELECT done FROM jobs").fetchall() == [(2,)]


def test_the_table_names_nobody(folder: Path) -> None:
    """Who may see jobs may not thereby see who was to be forgotten."""
    Log(folder).close()
    with closing(sqlite3.connect(folder / "log.db")) as db:
        columns = {row[1] for row in db.execute("PRAGMA table_info(jobs)")}
    assert not columns & {"user_id", "anonymous_id"}
    assert "id_hash" not in view.Shown._fields
