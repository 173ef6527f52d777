"""The command line as scripts and people use it."""

import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from subprocess import PIPE
from urllib.request import Request, urlopen

import pytest

import threadline
from tests import forked
from tests.support import MEASURED, ROOT, Project, Server, row_values
from threadline.ingest import dead_letters, row
from threadline.ingest.log import Log, open_db

# Nothing of the shell that runs the tests, but where the code is.
CLEAN = {
    "PATH": "/usr/bin:/bin",
    "COLUMNS": "100",
    "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    **MEASURED,
}


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return forked.run(*arguments, env={**CLEAN, **environ})


def ok(*arguments: str, **environ: str) -> str:
    done = run(*arguments, **environ)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fails(*arguments: str, **environ: str) -> str:
    """The one line on stderr."""
    done = run(*arguments, **environ)
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


DASHBOARD = ("dashboard", "dashboard members")
DEFINED = ("segment", "goal", "annotation")
HELP = [
    "",
    "serve",
    "demo",
    "dashboard",
    "dashboard login-link",
    "dashboard members",
    "dashboard members list",
    "dashboard members add",
    "dashboard members remove",
    "dashboard members role",
    "project",
    "project create",
    "project list",
    "project set",
    "project export",
    "project import",
    "segment",
    "segment list",
    "segment set",
    "segment delete",
    "goal",
    "goal list",
    "goal set",
    "goal delete",
    "annotation",
    "annotation list",
    "annotation set",
    "annotation delete",
    "backup",
    "backup make",
    "backup list",
    "backup check",
    "backup prune",
    "restore",
    "migrate-store",
    "rates",
    "rates import",
    "rules",
    "rules check",
    "rules set",
    "rules show",
    "rules clear",
    "classify",
    "reclassify",
    "key",
    "key create",
    "key list",
    "key revoke",
    "key rotate",
    "dead-letter",
    "dead-letter list",
    "dead-letter show",
    "dead-letter retry",
    "dead-letter drop",
    "receipts",
    "jobs",
    "jobs cancel",
    "import",
    "import files",
    "import list",
    "import undo",
    "export",
    "user",
    "doctor",
    "rebuild",
    "sql",
]


OF_PYTHON = re.compile(r"<\w|[{}]|\bint\b|\bstr\b|\bbool\b|list\[|<=|>=|None|--no-(?!ids)")


@pytest.mark.parametrize("command", HELP)
def test_every_command_explains_itself(command: str) -> None:
    text = ok(*command.split(), "--help")
    assert "Usage:" in text
    assert not OF_PYTHON.search(text), text
    assert max(map(len, ok(*command.split(), "--help", COLUMNS="80").splitlines())) <= 90
    if command not in ("", "project", "key", "dead-letter", "rules", *DASHBOARD, *DEFINED):
        assert "Example:" in text


def test_the_commands_are_grouped_by_what_they_are_for() -> None:
    titles = re.findall(r"^(\w+)$", ok("--help"), flags=re.MULTILINE)
    assert titles == ["Run", "Data", "Ask", "Maintain", "Options"]
    assert "Times are UTC" in ok("--help")


# These two, and a demo below, are started as anybody starts them.
@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_a_process_of_its_own_says_what_a_forked_one_does(argument: str) -> None:
    script = Path(sys.executable).with_name("threadline")
    command = [sys.executable, str(script), argument]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=CLEAN)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ok(argument)


def test_the_version() -> None:
    assert ok("--version") == f"threadline {threadline.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["user"], "USER_ID is missing. See "),
        (["user", "u", "--limit", "x"], "--limit: write a whole number, 1 to 1000. See "),
        (["user", "u", "--limit", "0"], "--limit: write a whole number, 1 to 1000. See "),
        (["user", "u", "--limt", "5"], "There is no option --limt; did you mean --limit"),
        (["serve", "--port", "8787.5"], "--port: write a whole number. See "),
        (["key", "create"], "--kind KIND is missing. See "),
        (["usr"], "Did you mean 'user'? See "),
    ],
)
def test_a_command_written_wrongly_is_one_line(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert message in done.stderr


def test_projects_and_keys(folder: Path) -> None:
    data = ["--data", str(folder)]
    created = json.loads(
        ok("project", "create", "shop", "--origin", "https://shop.example", "--json", *data)
    )
    assert sorted(created["keys"]) == ["pk", "rk", "sk"]
    (listed,) = json.loads(ok("project", "list", "--json", *data))
    assert listed["project_id"] == created["project_id"]
    assert listed["origins"] == ["https://shop.example"]
    assert "shop" in ok("project", "list", *data)

    made = json.loads(ok("key", "create", "--project", "shop", "--kind", "ak", "--json", *data))
    assert made["key"].startswith(f"ak_live_{made['prefix']}_")
    assert "Revoked" in ok("key", "revoke", made["prefix"], *data)
    rows = {row["prefix"]: row for row in json.loads(ok("key", "list", "--json", *data))}
    assert len(rows) == 4
    assert rows[made["prefix"]]["revoked_at"]
    assert "revoked" in ok("key", "list", "--project", "shop", *data)

    assert "choose another name" in fails("project", "create", "shop", *data)
    assert "is not an origin" in fails("project", "create", "b", "--origin", "b.example", *data)
    assert "There is no kind 'xk'" in fails("key", "create", "--kind", "xk", *data)
    assert "key list" in fails("key", "revoke", "nothing", *data)
    assert "There is no project 'x'" in fails("key", "list", "--project", "x", *data)


def test_a_user_as_a_timeline_with_the_server_and_without(folder: Path) -> None:
    with Server(folder) as server:
        project = Project(server)
        told = (ROOT / "examples" / "story.json").read_bytes()
        assert project.post("/v1/batch", told, User_Agent="curl/8.14.1").status == 202
        running = ok("user", "user_42", "--data", str(folder))
        assert "facebook / paid" in running
        assert "5 days 21 hours later" in running
        thread = re.findall(r"^  ([┊┢┃])", running, flags=re.MULTILINE)
        assert thread == sorted(thread, key="┊┢┃".index), "anonymous, tied, known"
        readme = [line.strip() for line in (ROOT / "README.md").read_text().splitlines()]
        for line in running.splitlines():
            assert line.strip() in readme, "the README shows what is really printed"
        assert "There is no user 'nobody'" in fails("user", "nobody", "--data", str(folder))
        prefixes = {key.split("_")[2] for key in project.keys.values()}
        rows = json.loads(ok("key", "list", "--json", "--data", str(folder)))
        assert {row["prefix"] for row in rows} == prefixes, "no key is left behind"
        assert "Another Threadline serves" in fails("serve", "--data", str(folder), "--port", "0")
        server.stop()
    assert ok("user", "user_42", "--data", str(folder)) == running
    both = json.loads(ok("user", "user_42", "--stitch", "next", "--json", "--data", str(folder)))
    assert both["profile"]["first_touch"]["source"] == "facebook"
    assert len(both["journey"]["rows"]) == 6
    assert "There is no user 'nobody'" in fails("user", "nobody", "--data", str(folder))
    assert "choose one of" in fails("user", "user_42", "--stitch", "all", "--data", str(folder))


def test_the_doctor_is_content_with_a_healthy_folder(folder: Path) -> None:
    with Server(folder) as server:
        Project(server)
        text = ok("doctor", "--data", str(folder))
        assert f"the server at {server.url}" in text
        server.stop()
    text = ok("doctor", "--data", str(folder))
    assert "✗" not in text
    assert "opens the store" in text


def test_the_doctor_says_how_to_mend(folder: Path) -> None:
    done = run("doctor", "--data", str(folder))
    assert done.returncode == 1
    assert "does not exist" in done.stdout
    assert "threadline serve" in done.stdout
    with Server(folder) as server:
        server.stop()
    done = run("doctor", "--data", str(folder))
    assert done.returncode == 1
    assert "threadline project create" in done.stdout
    done = run("doctor", THREADLINE_PROT="1")
    assert done.returncode == 1
    assert "Did you mean THREADLINE_PORT?" in done.stdout


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"THREADLINE_PORTT": "1"}, "Did you mean THREADLINE_PORT?"),
        ({"THREADLINE_PORT": "eighty"}, "THREADLINE_PORT=eighty is not a whole number."),
        ({"THREADLINE_PORT": "70000"}, "THREADLINE_PORT=70000 is more than 65535."),
        ({"THREADLINE_STORE": "oracle"}, "write chdb"),
        ({"THREADLINE_STORE": "clickhouse://u:secret@host:port/x"}, "u:***@host:port/x is not"),
        ({"THREADLINE_STORE": "clickhouse://[host:8123/x"}, "write chdb"),
        ({"THREADLINE_COUNTRY_DB": "no.mmdb"}, "no.mmdb"),
    ],
)
def test_a_wrong_setting_stops_the_start(
    folder: Path, environ: dict[str, str], message: str
) -> None:
    environ = {"THREADLINE_PORT": "0", **environ}
    assert message in fails("serve", "--data", str(folder), **environ)
    assert not folder.exists(), "it is said before anything is made"


def test_settings_are_looked_at_before_the_port(server: Server, folder: Path) -> None:
    port = server.url.rpartition(":")[2]
    message = fails("serve", "--data", str(folder), "--port", port, THREADLINE_STORE="oracle")
    assert "write chdb" in message


def test_the_file_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / "threadline.toml").write_text('data = "from-file"\nprot = 1\n')
    done = forked.run("serve", cwd=tmp_path)
    assert "threadline.toml: there is no setting 'prot'; did you mean 'port'?" in done.stderr
    (tmp_path / "threadline.toml").write_text('data = "from-file"\n')
    for environ, wanted in (({}, "from-file"), ({"THREADLINE_DATA": "other"}, "other")):
        done = forked.run("doctor", cwd=tmp_path, env={**CLEAN, **environ})
        assert f"data = {wanted}" in done.stdout
        assert "read from threadline.toml" in done.stdout


def test_what_is_wrong_with_an_address_is_one_line(server: Server, folder: Path) -> None:
    port = server.url.rpartition(":")[2]
    where = ["--data", str(folder)]
    taken = fails("serve", *where, "--port", port)
    assert f"Port {port} is taken. Stop it, or give --port." in taken
    beside = forked.run("serve", *where, "--port", port, cwd=server.folder.parent)
    assert f"is taken (by Threadline on ./{server.folder.name})" in beside.stderr
    nowhere = fails("serve", *where, "--port", "0", "--host", "192.0.2.1")
    assert "This machine has no address 192.0.2.1." in nowhere
    assert "There is no host 'no.invalid'" in fails("serve", *where, "--host", "no.invalid")
    assert not folder.exists()


def test_the_demo_loads_tells_stops_and_finds_itself_again(folder: Path) -> None:
    def start(*options: str) -> tuple[str, str]:
        """What it told, and its answers; stopped by Ctrl-C."""
        demo = forked.start(
            *("demo", *options, "--port", "0", "--data", str(folder)), stdout=PIPE, stderr=PIPE
        )
        assert demo.stdout
        assert demo.stderr
        told = ""
        for line in demo.stdout:
            told += line
            if "Ctrl-C stops the server" in line:
                break
        url = re.search(r"http://[\d.:]+", told)
        assert url, told
        curls = re.findall(r"Bearer (\S+)' \\\n\s+'(\S+)'", told)
        assert len(curls) == 3
        answers = []
        for key, address in curls:
            request = Request(address, headers={"Authorization": f"Bearer {key}"})
            with urlopen(request, timeout=60) as reply:
                answers.append(reply.read())
            assert json.loads(answers[-1])["rows"], address
        commands = re.findall(r"threadline ask (.+)", told.replace("\\\n", ""))
        assert len(commands) == 3
        answers += [ok("ask", *shlex.split(command)).encode() for command in commands]
        demo.send_signal(signal.SIGINT)
        assert demo.wait(timeout=60) == 0
        assert demo.stderr.read() == "", "no line of a log amid what a person reads"
        demo.stdout.close()
        demo.stderr.close()
        return told.replace(url[0], ""), repr(answers)

    told, answers = start("--events", "4000", "--seed", "5")
    assert "Loading events" in told
    again, same_answers = start("--events", "5000", "--seed", "5")
    assert "Loading events" not in again
    assert "holds a demo of 4,000 events already, so --events 5000 is ignored." in " ".join(
        again.split()
    )
    assert same_answers == answers
    stored = ok("sql", "SELECT count() FROM stitched_events", "--format", "csv", "--include-bots",
                "--data", str(folder)).split()[-1]  # fmt: skip
    assert f"{int(stored):,} events are stored" in told
    assert f"finds the {int(stored):,} events again" in again


def test_a_demo_that_is_stopped_while_it_loads_says_so(folder: Path) -> None:
    demo = subprocess.Popen(
        [*forked.COMMAND, "demo", "--events", "100000", "--port", "0", "--data", str(folder)],
        stdout=PIPE,
        stderr=PIPE,
        text=True,
    )
    while not (folder / "log.db").exists() or not _acknowledged(folder):
        assert demo.poll() is None
    demo.send_signal(signal.SIGINT)
    told, log = demo.communicate(timeout=60)
    assert demo.returncode == 0
    assert "Stopped while loading; the next start continues." in told
    assert "failed" not in told + log


def _acknowledged(folder: Path) -> bool:
    """Whether the loading has begun."""
    with closing(sqlite3.connect(f"file:{folder / 'log.db'}?mode=ro", uri=True)) as db:
        try:
            return bool(db.execute("SELECT 1 FROM sqlite_sequence WHERE seq > 0").fetchall())
        except sqlite3.OperationalError:  # not made yet
            return False


def test_dead_letters(folder: Path) -> None:
    data = ["--data", str(folder)]
    assert "holds no log" in fails("dead-letter", "list", *data)
    ok("project", "create", "shop", *data)
    Log(folder).close()
    assert "took every event" in ok("dead-letter", "list", *data)
    assert "no dead letters" in ok("doctor", *data)
    body = row.encode(row_values(event_id="e1", event_name="odd", url="https://ü.example/"))
    with closing(open_db(folder)) as db:
        for number in (1, 2):
            letter = dead_letters.RefusedEvent(f"letter-{number}", "p", f"e{number}", "odd", body)
            dead_letters.set_aside(db, letter, "Code: 469. It violates a constraint.")
    listed = ok("dead-letter", "list", *data)
    assert "letter-1" in listed
    assert "violates a constraint" in listed
    assert "the store refused 2 events" in run("doctor", *data).stdout
    assert json.loads(ok("dead-letter", "show", "letter-1", *data))["url"] == "https://ü.example/"
    assert "dead-letter list" in fails("dead-letter", "show", "letter-9", *data)
    assert "either" in fails("dead-letter", "drop", *data)
    assert "1 dropped" in ok("dead-letter", "drop", "letter-2", *data)
    assert "1 marked" in ok("dead-letter", "retry", "--all", *data)
    assert json.loads(ok("dead-letter", "list", "--json", *data))[0]["retry"] == 1
    with Server(folder) as server:
        server.stop()
    assert "took every event" in ok("dead-letter", "list", *data)
