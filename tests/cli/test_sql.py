"""The three questions that the product began with, as SQL that anybody can run."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_commands import fails, ok, run
from tests.identity import oracle
from tests.identity.steps import TIES, wire
from tests.support import ROOT, Json, Project, Server
from tests.test_story import tell
from threadline.cli.table import as_table
from threadline.contract.policies import POLICIES
from threadline.identity.resolution import resolve
from threadline.runtime.sql import Limits, Number, SqlQuestions
from threadline.runtime.sql_refused import SqlRefused
from threadline.store import Store

RECIPES = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "identity.md").read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the story in it, and nobody serving."""
    folder = tmp_path_factory.mktemp("told") / "data"
    with Server(folder) as server:
        tell(Project(server))
        server.stop()
    return folder


def rows(folder: Path, query: str, *options: str) -> list[Json]:
    text = ok("sql", query, "--data", str(folder), "--format", "ndjson", *options)
    return [json.loads(line) for line in text.splitlines()]


def test_the_documented_recipes(told: Path) -> None:
    first_touch, before, waited = RECIPES
    (touch,) = rows(told, first_touch)
    assert (touch["owner"], touch["source"], touch["medium"]) == ("user_42", "facebook", "paid")
    assert [row["event_id"] for row in rows(told, before)] == ["e1", "e2", "e3"]
    (times,) = rows(told, waited)
    assert (times["persons"], round(times["mean_days"], 2)) == (1, 5.88)


def test_it_only_reads(told: Path) -> None:
    for statement in (
        "DROP TABLE events",
        "INSERT INTO events SELECT * FROM events",
        "SELECT 1) --",
    ):
        assert "threadline: " in fails("sql", statement, "--data", str(told))
    assert "user_42" in ok("sql", "SELECT owner FROM stitched_events", "--data", str(told))
    assert len(rows(told, "SELECT * FROM stitched_events", "--rows", "2")) == 2
    assert "choose one of" in fails("sql", "SELECT 1", "--stitch", "all", "--data", str(told))


@pytest.fixture(scope="module")
def two_projects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Three events each of the projects prj_a and prj_b."""
    with Store(f"chdb://{tmp_path_factory.mktemp('two') / 'store'}") as store:
        for name in ("a", "b"):
            store.execute(
                "INSERT INTO events"
                " (project_id, timestamp, event_id, event_name, anonymous_id, user_id, is_bot)"
                " SELECT {p:String}, '2026-05-01 10:00:00', concat({p:String}, toString(number)),"
                " 'x', {p:String}, {p:String}, number = 3 FROM numbers(4)",
                {"p": f"prj_{name}"},
            )
        yield store


LIMITS = Limits(2, 1024**3, 1024**3, 64 * 1024**2)


@pytest.fixture
def asking(two_projects: Store) -> SqlQuestions:
    on = resolve(two_projects, "prj_a", "next")
    return SqlQuestions(two_projects, on, LIMITS, in_memory=False)


ALLOWED = {
    "SELECT count(), uniq(project_id) FROM events": [["3", "1"]],
    "SELECT count() FROM stitched_events;": [["3"]],
    "SELECT ';' -- ;\n": [[";"]],
    "SELECT $x$ ; '$x$ /* ; */ # ;": [[" ; '"]],
    "SELECT 1 AS `a;b`": [["1"]],
    "(SELECT 1) UNION ALL SELECT 1": [["1"], ["1"]],
    "FROM events SELECT count()": [["3"]],
    "WITH x AS (SELECT * FROM events) SELECT count() FROM x AS y, x": [["9"]],
    "WITH events AS (SELECT 1 AS one) SELECT * FROM events": [["1"]],
    "WITH (SELECT groupArray(event_id) FROM events) AS ids "
    "SELECT count() FROM events WHERE event_id IN ids AND has(ids, event_id)": [["3"]],
    "SELECT (SELECT count() FROM events WHERE project_id != 'prj_a') AS others": [["0"]],
    "SELECT count() FROM events WHERE event_id IN (SELECT event_id FROM events)": [["3"]],
    "SELECT max(number) FROM numbers(3)": [["2"]],
    "SHOW TABLES": [["stitched_events"], ["events"], ["visits"], ["persons"], ["accounts"]],
    "WITH RECURSIVE t AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM t WHERE a < 5) "
    "SELECT count() FROM t": [["5"]],
    "SELECT 'INTO OUTFILE', 'SETTINGS', 'file(', 'system.tables', 'DROP TABLE events'": [
        ["INTO OUTFILE", "SETTINGS", "file(", "system.tables", "DROP TABLE events"]
    ],
}
REFUSED = {
    "only SELECT": [
        "DROP TABLE events",
        "/* SELECT */ DROP TABLE events",
        "TRUNCATE TABLE events",
        "INSERT INTO events SELECT * FROM events",
        "INSERT INTO events VALUES (1)",
        "ALTER TABLE events DELETE WHERE 1",
        "CREATE TEMPORARY TABLE t (a UInt8)",
        "SET readonly = 0",
        "USE system",
        "KILL QUERY WHERE 1",
        "SYSTEM FLUSH LOGS",
        "EXPLAIN SELECT 1",
        "SHOW CREATE TABLE events",
        "SHOW PROCESSLIST",
        "DESCRIBE url('http://127.0.0.1:1/x')",
        "BACKUP TABLE events TO Disk('a', 'b')",
        "SELECT 1 PARALLEL WITH DROP TABLE events",
        "",
    ],
    "only one SELECT": [
        "SELECT 1; DROP TABLE events",
        "SELECT ';'; SELECT 1",
        "SELECT 1 /* ; */ ; SELECT 2",
        "SELECT $x$ ' $x$; SELECT 2",
    ],
    "Syntax error": [
        "SELEC 1",
        "SELECT 1) --",
        "SELECT 1 /*",
        "SELECT 'x",
        "SELECT 1) LIMIT 1; ALTER TABLE events DELETE WHERE 1; SELECT * FROM (SELECT 1",
    ],
    "is not for questions": [
        "SELECT * FROM links",
        "SELECT * FROM default.events",
        "SELECT * FROM `default`.`events`",
        "SELECT * FROM system.tables",
        "SELECT * FROM INFORMATION_SCHEMA.tables",
        "SELECT 1 UNION ALL SELECT 1 FROM links",
        "SELECT 1 EXCEPT SELECT rows FROM system.parts",
        "SELECT (SELECT count() FROM system.parts)",
        "SELECT count() FROM events AS e JOIN links AS l ON 1 = 1",
        "SELECT sum(1) OVER (ORDER BY (SELECT count() FROM links)) FROM events",
        "SELECT 1 LIMIT (SELECT count() FROM links)",
        "SELECT 'x' IN links",
        "SELECT 'x' IN default.links",
        "SELECT ('x', 'y') NOT IN system.databases",
        "WITH links AS (SELECT 1 AS a) SELECT * FROM links",
        "SELECT * FROM (WITH links AS (SELECT 1) SELECT * FROM links), links",
    ],
    "is not a table here": [
        "SELECT * FROM url('http://127.0.0.1:1/x', 'LineAsString')",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM merge('default', '.*')",
        "SELECT * FROM merge('.*')",
        "SELECT * FROM remote('127.0.0.1', system.one)",
        "SELECT * FROM cluster('default', system.one)",
        "SELECT * FROM s3('http://127.0.0.1:1/x')",
        "SELECT * FROM mysql('h', 'd', 't', 'u', 'p')",
        "SELECT * FROM executable('x', CSV, 'a String')",
        "SELECT * FROM input('a String')",
        "SELECT * FROM view(SELECT 1 FROM links)",
        "SELECT * FROM loop(links)",
        "SELECT * FROM dictionary('d')",
        "SELECT * FROM (EXPLAIN SELECT 1)",
        "SELECT * FROM (SELECT * FROM generateRandom('a String'))",
    ],
    "is not answered here": [
        "SELECT file('/etc/passwd')",
        "SELECT `file`('/etc/passwd')",
        "SELECT * APPLY(file) FROM (SELECT '/etc/passwd' AS a)",
        "SELECT COLUMNS('a') APPLY(x -> file(x)) FROM (SELECT '/etc/passwd' AS a)",
        "SELECT arrayMap(x -> file(x), ['/etc/passwd'])",
        "SELECT sum(1) OVER (ORDER BY file('/etc/passwd')) FROM events",
        "SELECT dictGet('a', 'b', 1)",
        "SELECT joinGet('events', 'event_id', 1)",
        "SELECT currentDatabase()",
        "SELECT DATABASE()",
        "SELECT hostName()",
        "SELECT getSetting('readonly')",
        "SELECT sleep(3)",
        "SELECT sleepEachRow(1) FROM numbers(3)",
    ],
    "is not for the query to say": [
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT * FROM (SELECT 1 SETTINGS max_execution_time = 0)",
        "SELECT 1 FORMAT CSV",
        "SELECT 1 INTO OUTFILE '{out}'",
        "SELECT 1 INTO OUTFILE '{out}' TRUNCATE FORMAT CSV",
    ],
    "There is no value for": ["SELECT {project_id:String}", "SELECT {x:String}"],
    "does not begin with": ["SELECT {threadline_as_of:String}"],
    "a value is a String": [
        "SELECT * FROM {t:Identifier}",
        "SELECT {c:Identifier} FROM events",
        "SELECT 'x' IN {t:Identifier}",
        "SELECT {x:Array(Identifier)}",
        "SELECT {x:Tuple(a String)}",
    ],
    "Write WHERE instead": ["SELECT count() FROM events PREWHERE event_name = 'x'"],
    "is a table's": ["WITH events AS (SELECT 1 AS one) SELECT count() FROM stitched_events"],
    "longer than 2 s": ["SELECT max(number) FROM numbers(10000000000000)"],
    "memory limit": ["SELECT groupArray(randomString(1000000)) FROM numbers(100000)"],
    "Unknown expression identifier": ["SELECT ownr FROM stitched_events"],
    "non-zero": ["SELECT throwIf(number = 3) FROM numbers(10)"],
}


@pytest.mark.parametrize("query", ALLOWED)
def test_what_may_be_asked(asking: SqlQuestions, query: str) -> None:
    assert asking.answer(query, 10).rows == ALLOWED[query]


@pytest.mark.parametrize("why", REFUSED)
def test_what_may_not_is_said_and_changes_nothing(
    asking: SqlQuestions, two_projects: Store, why: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for query in REFUSED[why]:
        with pytest.raises(SqlRefused, match=f"(?i){re.escape(why)}"):
            asking.answer(query.replace("{out}", str(out)), 10)
        # The next answer is its own.
        assert asking.answer("SELECT count(), 7 FROM events", 10).rows == [["3", "7"]]
    assert not out.exists()
    (left,) = two_projects.query("SELECT count() AS n FROM events", {})
    assert left["n"] == 8


def test_the_second_door_holds_without_the_first(asking: SqlQuestions) -> None:
    """What the engine answers on this handle whatever it is asked."""
    for query, found in {
        "SELECT count() FROM default.events": [[3]],
        "SELECT count() FROM links": [[2]],
        "SELECT count() FROM schema_migrations": [[0]],
        "SELECT uniq(project_id), any(project_id) FROM user_touches": [[1, "prj_a"]],
        "SELECT 'prj_b' IN (SELECT project_id FROM links)": [[0]],
    }.items():
        assert json.loads(f"[{asking.asked(query, 'JSONCompactEachRow').decode()}]") == found
    for query in (
        "INSERT INTO events (project_id) VALUES ('x')",
        "SELECT 1; DROP TABLE links",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT 1 SETTINGS readonly = 0",
    ):
        with pytest.raises(Exception, match=r"(?i)readonly"):
            asking.asked(query, "JSON")


def test_bots_are_in_both_tables_when_asked_for(two_projects: Store) -> None:
    on = resolve(two_projects, "prj_a", "next", bots=True)
    asking = SqlQuestions(two_projects, on, LIMITS, in_memory=False)
    for table in ("events", "stitched_events"):
        assert asking.answer(f"SELECT count() FROM {table}", 10).rows == [["4"]]


def test_columns_can_be_described(asking: SqlQuestions) -> None:
    found = asking.answer("DESCRIBE stitched_events", 10)
    assert found.names == ["name", "type"]
    assert [row[0] for row in found.rows][:3] == ["owner", "known", "timestamp"]
    assert ["ip_hash", "FixedString(16)"] in asking.answer("DESC TABLE events;", 10).rows
    with pytest.raises(SqlRefused, match="There is no links to ask"):
        asking.answer("DESCRIBE links", 10)


def test_errors_name_the_place_in_the_users_own_text(told: Path) -> None:
    said = fails("sql", "SELECT owner,\n  ü 1 FRM x", "--data", str(told))
    assert "Syntax error in line 2, column 3, near 'ü'" in said
    assert "Only SELECT is answered" in said
    assert "Columns of stitched_events: owner, known, timestamp" in said
    said = fails("sql", "SELECT ownr FROM stitched_events", "--data", str(told))
    assert "Maybe you meant: ['owner']" in said
    assert "WITH stitched_events" not in said


def test_beside_a_server(server: Server, project: Project, tmp_path: Path) -> None:
    other = Project(server)
    for each, count in ((project, 3), (other, 5)):
        each.batch([{"event": "x", "anonymous_id": f"d{n}"} for n in range(count)])
    where = ("--data", str(server.folder), "--project", project.project_id)
    asked = ("sql", "SELECT count() AS n FROM events", *where, "--format")
    assert ok(*asked, "ndjson") == '{"n":3}\n'
    out = tmp_path / "out"
    for query in (
        "SELECT 1) LIMIT 1; ALTER TABLE events DELETE WHERE 1; SELECT * FROM (SELECT 1",
        "SELECT throwIf(number = 3) FROM numbers(10)",
        f"SELECT 1 INTO OUTFILE '{out}'",
        "SELECT * FROM url('http://127.0.0.1:1/x', 'LineAsString')",
    ):
        assert "threadline: " in fails("sql", query, *where)
        assert ok(*asked, "json") == '[{"n":3}]\n'
    assert not out.exists()
    assert len(other.stored()) == 5


def test_a_calculation_that_the_engine_cannot_stop_ends_the_command() -> None:
    program = (
        "import threading; from threadline.cli.sql import within;"
        " within(0, threading.Event().wait, 7); print('went on')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("threadline: The query took longer than 7 s; ask for less")


def test_formats(told: Path) -> None:
    query = (
        "SELECT toUInt64(18446744073709551615) AS big, -1.50 AS number, '=1+1' AS text,"
        " NULL AS nothing, [1, 2] AS list"
    )
    asked = ("sql", query, "--data", str(told), "--format")
    assert ok(*asked, "csv").splitlines() == [
        "big,number,text,nothing,list",
        """18446744073709551615,-1.5,'=1+1,,"[1,2]\"""",
    ]
    row = '{"big":18446744073709551615,"number":-1.5,"text":"=1+1","nothing":null,"list":[1,2]}'
    assert ok(*asked, "ndjson") == f"{row}\n"
    assert ok(*asked, "json") == f"[{row}]\n"
    assert "choose one of table, csv, json, ndjson" in fails(*asked, "xml")
    done = run("sql", "SELECT number FROM numbers(9)", "--rows", "2", "--data", str(told))
    assert done.stdout.split() == ["number", "──────", "0", "1"]
    assert "Only the first 2 rows are shown" in done.stderr


def test_a_table_is_as_wide_as_the_terminal() -> None:
    names, wide = ["a", "b", "c"], [["1", "x" * 100, "y\n"], ["22", "ü漢字", "z"]]
    text, left_out = as_table(names, wide, 30)
    assert not left_out
    assert all(len(line) <= 30 for line in text.splitlines())
    assert "…" in text
    assert "y␣" in text
    assert as_table(names, wide, 12)[1] == ["c"]
    assert as_table(names, wide, None)[1] == []
    assert as_table(names, [], 80)[0].splitlines()[0] == "a  b  c"
    assert isinstance(Number("1"), str)


def test_stitched_events_are_the_oracles(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    log = [*TIES, {**TIES[0], "id": "e98", "a": "elsewhere"}]
    with Server(folder) as server:
        Project(server).batch([wire(event) for event in log])
        server.stop()
    for policy in POLICIES:
        found = rows(
            folder, "SELECT owner, known, event_id FROM stitched_events", "--stitch", policy
        )
        assert sorted((r["owner"], r["known"], r["event_id"]) for r in found) == sorted(
            (owner, known, event["id"])
            for event in log
            for owner, known in (
                [(user, True) for user in oracle.owners(event, log, policy)]
                or [(event["a"], False)]
            )
        )


@pytest.mark.parametrize("expression", ["file(''/etc/hostname'')", "hostName()", "sleepEachRow(1)"])
def test_a_table_function_brings_no_expressions(asking: SqlQuestions, expression: str) -> None:
    """The structure of `values` is a text that may hold any of them."""
    with pytest.raises(SqlRefused, match="values"):
        asking.answer(f"SELECT b FROM values('a UInt8, b String ALIAS {expression}', 1)", 10)
