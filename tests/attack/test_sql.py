"""Whoever may ask in SQL gets at nothing but one project's rows, and takes nothing down."""

import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attack.test_projects import events
from tests.http.test_sql import asked, let_in, rows
from tests.support import Project, Reply, Server, run_async, side_by_side
from tests.width import WIDE, wide
from threadline.contract.errors import Busy
from threadline.runtime.asking_sql import AT_ONCE, Turns

TIMES = wide(1, 20)
TABLES = ("events", "stitched_events", "visits", "persons", "accounts")
# Columns with texts that begin `secret-of-`, which the rows of both projects have.
SECRET = {
    "events": "source",
    "stitched_events": "campaign",
    "visits": "campaign",
    "persons": "first_campaign",
    "accounts": "account_id",
}


@pytest.fixture(scope="module")
def projects(server: Server) -> tuple[Project, Project]:
    made = []
    for mark in ("alpha", "beta"):
        project = Project(server)
        let_in(server, project)
        project.batch(events(mark))
        project.change("PUT", "/v1/identity/aliases", {"user_id": "u2", "alias_of": f"{mark}-user"})
        made.append(project)
    return made[0], made[1]


def keeps_to_itself(projects: tuple[Project, Project], reply: Reply, query: str) -> None:
    """Nothing in the answer is the other project's."""
    assert reply.status in (200, 400, 503), (query, reply)
    for hidden in ("of-beta", "beta-news", "beta-user", "beta bought", projects[1].project_id):
        assert hidden.encode() not in reply.body, (query, reply.body[:500])


REFUSED = [
    "SELECT * FROM system.{}",
    "SELECT * FROM default.{}",
    "SELECT * FROM INFORMATION_SCHEMA.{}",
    "SELECT * FROM `system`.`{}`",
    "SELECT * FROM {}_mv",
    "SELECT * FROM merge('default', '{}')",
    "SELECT * FROM remote('127.0.0.1', default.{})",
    "SELECT * FROM remoteSecure('127.0.0.1', default.{})",
    "SELECT * FROM cluster('default', default.{})",
    "SELECT * FROM clusterAllReplicas('default', default.{})",
    "SELECT * FROM view(SELECT * FROM default.{})",
    "SELECT * FROM loop(default.{})",
    "SELECT * FROM viewIfPermitted(SELECT * FROM default.{} ELSE null('a String'))",
    "SELECT * FROM mergeTreeIndex(default, {})",
    "SELECT * FROM mergeTreeProjection(default, {}, x)",
    "SELECT 1 IN default.{}",
    "SELECT 1 GLOBAL IN default.{}",
    "SELECT in(1, default.{})",
    "SELECT joinGet('default.{}', 'user_id', 1)",
    "SELECT joinGetOrNull('{}', 'user_id', 1)",
    "SELECT dictGet('default.{}', 'user_id', 1)",
    "SELECT dictHas('{}', 1)",
    "SELECT hasColumnInTable('default', '{}', 'user_id')",
    "SELECT getMaxTableNameLengthForDatabase('{}')",
    "WITH x AS (SELECT * FROM default.{}) SELECT * FROM x",
    "SELECT * FROM (SELECT * FROM (SELECT * FROM default.{}))",
    "SELECT 1 UNION ALL SELECT 1 FROM default.{}",
    "SELECT 1 UNION DISTINCT (SELECT 1 INTERSECT SELECT 1 FROM default.{})",
    "SELECT (SELECT any(user_id) FROM default.{})",
    "SELECT arrayMap(x -> (SELECT count() FROM default.{}), [1])",
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM default.{})",
    "SELECT 1 ORDER BY (SELECT count() FROM default.{})",
    "SELECT 1 LIMIT (SELECT count() FROM default.{})",
    "SELECT * FROM events AS e ASOF JOIN default.{} AS o ON o.user_id = e.user_id AND o.t < e.t",
    "SELECT * FROM events ARRAY JOIN (SELECT groupArray(user_id) FROM default.{}) AS x",
    "/* SELECT */ SELECT/**/*/**/FROM/**/default/**/./**/{}",
    "SELECT * FROM -- {}\n default.{}",
    "TABLE default.{}",
    "EXPLAIN SELECT * FROM default.{}",
    "EXPLAIN AST SELECT * FROM {}",
    "SELECT * FROM (EXPLAIN SELECT * FROM default.{})",
    "DESCRIBE default.{}",
    "DESCRIBE (SELECT * FROM default.{})",
    "SHOW CREATE TABLE {}",
    "SHOW COLUMNS FROM {}",
    "EXISTS TABLE {}",
    "CHECK TABLE {}",
    "CREATE VIEW v AS SELECT * FROM {}",
    "CREATE TEMPORARY TABLE t AS SELECT * FROM {}",
    "DROP TABLE {}",
    "RENAME TABLE {} TO other",
    "OPTIMIZE TABLE {} FINAL",
    "ALTER TABLE {} DELETE WHERE 1",
    "DELETE FROM {} WHERE 1",
    "UPDATE {} SET user_id = 'x' WHERE 1",
    "INSERT INTO {} SELECT * FROM {}",
    "INSERT INTO FUNCTION file('/tmp/x', CSV) SELECT * FROM {}",
    "SELECT 1; SELECT * FROM default.{}",
    "SELECT 1 FROM events; -- \n DROP TABLE {}",
    "SELECT * FROM {{t:Identifier}}",
    "SELECT * FROM default.{{t:Identifier}}",
]
OTHERS = [
    "SELECT * FROM url('http://127.0.0.1:1/', LineAsString)",
    "SELECT * FROM urlCluster('default', 'http://127.0.0.1:1/', LineAsString)",
    "SELECT * FROM file('/etc/passwd', LineAsString)",
    "SELECT * FROM fileCluster('default', '/etc/passwd', LineAsString)",
    "SELECT * FROM s3('http://127.0.0.1:1/x')",
    "SELECT * FROM gcs('http://127.0.0.1:1/x')",
    "SELECT * FROM hdfs('hdfs://127.0.0.1:1/x')",
    "SELECT * FROM azureBlobStorage('x')",
    "SELECT * FROM deltaLake('http://127.0.0.1:1/x')",
    "SELECT * FROM iceberg('http://127.0.0.1:1/x')",
    "SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')",
    "SELECT * FROM postgresql('127.0.0.1:1', 'd', 't', 'u', 'p')",
    "SELECT * FROM mongodb('127.0.0.1:1', 'd', 't', 'u', 'p', 'a String')",
    "SELECT * FROM redis('127.0.0.1:1', 'k', 'k String')",
    "SELECT * FROM sqlite('control.db', 'keys')",
    "SELECT * FROM odbc('DSN=x', 'a', 'b')",
    "SELECT * FROM jdbc('x', 'a', 'b')",
    "SELECT * FROM executable('cat', CSV, 'a String')",
    "SELECT * FROM python('x')",
    "SELECT * FROM Python(x)",
    "SELECT * FROM dictionary('x')",
    "SELECT * FROM input('a String')",
    "SELECT * FROM generateRandom('a String')",
    "SELECT * FROM values('a String', 'x')",
    "SELECT * FROM null('a String')",
    "SELECT * FROM format(CSV, 'a,b')",
    "SELECT * FROM fuzzJSON('x')",
    "SELECT file('/etc/passwd')",
    "SELECT FILE('/etc/passwd')",
    "SELECT arrayMap(file, ['/etc/passwd'])",
    "SELECT arrayMap(FILE, ['/etc/passwd'])",
    "SELECT arrayFilter(`file`, ['/etc/passwd'])",
    "WITH file AS f SELECT arrayMap(f, ['/etc/passwd'])",
    "SELECT mapApply(joinGet, map('a', 'b'))",
    "SELECT * APPLY(file) FROM (SELECT '/etc/passwd')",
    "SELECT * APPLY(x -> file(x)) FROM (SELECT '/etc/passwd')",
    "WITH x -> file(x) AS f SELECT f('/etc/passwd')",
    "SELECT sleep(1)",
    "SELECT SLEEP(1)",
    "SELECT sleepEachRow(0.1) FROM numbers(10)",
    "SELECT hostName(), version(), uptime()",
    "SELECT currentUser()",
    "SELECT getServerSetting('max_server_memory_usage')",
    "SELECT catboostEvaluate('/x', 1)",
    "SELECT aiGenerate('x', 'y')",
    "SELECT showCertificate()",
    "SELECT levenshteinDistance(repeat('a', 60000), materialize(repeat('b', 60000)))",
    "SELECT 1 SETTINGS max_execution_time = 0",
    "SELECT 1 SETTINGS additional_table_filters = {}",
    "SELECT * FROM (SELECT * FROM events SETTINGS additional_table_filters = {})",
    "SET additional_table_filters = {}",
    "SELECT 1 FORMAT CSV",
    "SELECT * FROM events INTO OUTFILE '/tmp/threadline-out'",
    "SELECT * FROM events INTO OUTFILE '/tmp/threadline-out' AND STDOUT FORMAT CSV",
    "SELECT * FROM events PREWHERE event_name = 'x'",
    "SELECT * FROM events FINAL PREWHERE event_name = 'x'",
    "SYSTEM SHUTDOWN",
    "KILL QUERY WHERE 1",
    "GRANT ALL ON *.* TO default",
    "CREATE FUNCTION f AS x -> x",
    "USE system",
    "BEGIN TRANSACTION",
    "BACKUP DATABASE default TO File('/tmp/threadline-out')",
    "WITH RECURSIVE t AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM t) SELECT count() FROM t",
]
NAMES = ("links", "half_hours", "user_touches", "events", "tables", "query_log", "processes")


def _asked(project: Project, query: str) -> Reply:
    return asked(project, query, params={"t": "links"} if "{t:" in query else {})


def test_nothing_else_is_named(projects: tuple[Project, Project]) -> None:
    chance = random.Random(20)
    queries = [query.replace("{}", chance.choice(NAMES)).replace("{{", "{") for query in REFUSED]
    queries = [query.replace("}}", "}") for query in queries] + OTHERS
    for query, reply in zip(queries, side_by_side(_asked, projects[0], queries), strict=True):
        keeps_to_itself(projects, reply, query)
        assert (reply.status, reply.error) == (400, "invalid_payload"), (query, reply)
        assert reply.json["details"]["message"]
    assert not Path("/tmp/threadline-out").exists()
    assert rows(projects[1].again(), "SELECT count() AS n FROM events")[0]["n"] == len(
        events("beta")
    )


# What takes rows apart, fails on some, or tells of them in an error.
ON_EACH = [
    "SELECT * FROM {t}",
    "SELECT * FROM {t} AS a LEFT JOIN {t} AS b ON 1 = 1 LIMIT 50",
    "SELECT * FROM {t} WHERE 1 OR project_id != ''",
    "SELECT * FROM {t} WHERE {c} LIKE 'secret-of-b%' OR {c} LIKE 'bet%'",
    "SELECT groupArray(tuple(*)) FROM {t}",
    "SELECT count() FROM {t} WHERE toInt32(if({c} LIKE '%alpha%' OR {c} = '', '1', {c})) = 1",
    "SELECT count() FROM {t} WHERE NOT throwIf({c} LIKE '%of-bet%', 'found')",
    "SELECT count() FROM {t} WHERE throwIf({c} LIKE '%of-bet%') = 0",
    "SELECT sum(toInt32(if({c} LIKE '%alpha%' OR {c} = '', '1', {c}))) FROM {t}",
    "SELECT max(x) FROM (SELECT *, toDate(if({c} LIKE '%bet%', {c}, '2026-01-01')) AS x FROM {t})"
    " WHERE x > '2020-01-01'",
    "SELECT {c}, count() FROM {t} GROUP BY {c} HAVING NOT throwIf({c} LIKE '%of-bet%')",
    "SELECT 1 FROM {t} ORDER BY toInt32(if({c} LIKE '%bet%', {c}, '1'))",
    "SELECT 1 FROM {t} AS a JOIN {t} AS b ON a.{c} = b.{c} AND NOT throwIf(b.{c} LIKE '%of-bet%')"
    " WHERE NOT throwIf(a.{c} LIKE '%of-bet%')",
    "SELECT 1 FROM {t} WHERE {c} IN (SELECT {c} FROM {t} WHERE NOT throwIf({c} LIKE '%of-bet%'))",
    "SELECT row_number() OVER (ORDER BY throwIf({c} LIKE '%of-bet%')) FROM {t}",
    "WITH (SELECT groupArray({c}) FROM {t} WHERE NOT throwIf({c} LIKE '%bet%')) AS x SELECT x",
    "WITH {t} AS (SELECT * FROM {t}) SELECT * FROM {t}",
    "SELECT * FROM {t} SAMPLE 1",
    "SELECT * FROM {t} FINAL",
]


def test_rows_of_others_are_in_no_answer_and_no_error(projects: tuple[Project, Project]) -> None:
    # Each statement of one table, and of each table a fifth of them.
    queries = [
        query.replace("{t}", table).replace("{c}", SECRET[table])
        for number, query in enumerate(ON_EACH)
        for nth, table in enumerate(TABLES)
        if WIDE or number % len(TABLES) == nth
    ]
    replies = dict(zip(queries, side_by_side(_asked, projects[0], queries), strict=True))
    for query, reply in replies.items():
        keeps_to_itself(projects, reply, query)
        # The condition holds for rows of the other alone, so none of them was looked at.
        if "throwIf" in query:
            assert reply.status == 200, (query, reply)
    assert sum(b"alpha" in reply.body for reply in replies.values()) > len(TABLES)
    for table in TABLES:
        own = rows(projects[0].again(), f"SELECT {SECRET[table]} AS mark FROM {table}")
        assert any("alpha" in row["mark"] for row in own), table


SHADOWED = ("events", "links", "half_hours", "device_users", "user_touches", "traffic_sources")


def test_names_of_ones_own_change_no_table(projects: tuple[Project, Project]) -> None:
    """A name in WITH holds below it, in what stands behind our tables, too."""
    for name in SHADOWED:
        for table in TABLES[1:]:
            query = f"WITH {name} AS (SELECT 1 AS x) SELECT count() AS n FROM {table}"
            reply = asked(projects[0], query)
            assert (reply.status, reply.error) == (400, "invalid_payload"), query
            assert f"another name than {name} in WITH" in reply.json["details"]["message"]
    count = rows(projects[0].again(), "SELECT count() AS n FROM visits")
    for name in (
        "considered",
        "counted_events",
        "owners",
        "person_events",
        "in_order",
        "stretches",
    ):
        query = f"WITH {name} AS (SELECT 1 AS x) SELECT count() AS n FROM visits"
        assert rows(projects[0], query) == count, name


PIECES = (
    "SELECT SELECT SELECT FROM FROM WHERE GROUP BY HAVING ORDER BY LIMIT UNION ALL WITH AS IN NOT "
    "( ) ( ) , . * ; -- /* */ ' \" ` { } events stitched_events visits persons links default "
    "system system.tables default.events count() owner source user_id project_id 1 'x' 1e9 -1 NULL "
    "FINAL SAMPLE PREWHERE SETTINGS FORMAT JSON INTO OUTFILE EXPLAIN JOIN ON USING ARRAY "
    "LEFT ANY APPLY EXCEPT REPLACE COLUMNS('.*') {x:String} {t:Identifier} file "
    "url('http://127.0.0.1:1') numbers(3) throwIf toInt32 OVER INTERSECT OFFSET "
    "QUALIFY \0 \ufeff ü 😀 \\ \n"
).split(" ")
STATEMENTS = [query for query in ON_EACH if "{t}" in query]


def statements(chance: random.Random) -> Iterator[str]:
    for _ in range(25 * TIMES):
        yield " ".join(chance.choices(PIECES, k=chance.randint(1, 15)))
    for _ in range(25 * TIMES):
        table = chance.choice(TABLES)
        words = chance.choice(STATEMENTS).replace("{t}", table).replace("{c}", SECRET[table])
        parts = words.split(" ")
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(parts))
            if chance.random() < 0.5:
                parts[at] = chance.choice(PIECES)
            else:
                parts.insert(at, chance.choice(PIECES))
        yield " ".join(parts)


def test_whatever_is_written(projects: tuple[Project, Project]) -> None:
    queries = list(dict.fromkeys(statements(random.Random(21))))
    seen = set()
    for query, reply in zip(queries, side_by_side(_asked, projects[0], queries), strict=True):
        keeps_to_itself(projects, reply, query)
        seen.add(reply.status)
        if reply.status != 200:
            assert reply.json["details"]["message"], (query, reply)
    assert seen >= {200, 400}
    assert rows(projects[1].again(), "SELECT count() AS n FROM events")[0]["n"] == len(
        events("beta")
    )


LONG = "SELECT max(number) FROM numbers(10000000000000)"
MUCH = [
    "SELECT count() FROM numbers(1000000000) AS a, numbers(1000000) AS b",
    "SELECT groupArray(randomString(1000000)) FROM numbers(100000)",
    "SELECT randomString(100000) FROM numbers(100000)",
    "SELECT arrayWithConstant(1000000000, 'x')",
    "SELECT range(1000000000)",
    "SELECT length(repeat('x', 1000000000))",
    "SELECT uniqExact(number) FROM numbers(10000000000)",
    f"SELECT {'(' * 900}1{')' * 900}",
    f"SELECT {'[' * 900}1{']' * 900}",
    f"SELECT {' + '.join(['1'] * 20000)}",
    f"SELECT * FROM {'(SELECT * FROM ' * 120}events{')' * 120}",
]


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Where a question may take two seconds, and 256 MiB."""
    folder = tmp_path_factory.mktemp("hasty") / "data"
    with Server(
        folder, THREADLINE_QUERY_SECONDS="2", THREADLINE_QUERY_MEMORY=str(256 * 1024**2)
    ) as server:
        yield server
        assert server.stop() == 0
        assert not [line for line in server.lines if '"error"' in line]


def test_what_asks_for_too_much_is_stopped(hasty: Server) -> None:
    project = Project(hasty)
    let_in(hasty, project)
    for query in (*MUCH, LONG):
        reply = asked(project, query, "?limit=100000")
        assert reply.status in (400, 503), (query[:80], reply)
        assert reply.json["details"]["message"], query[:80]
        assert project.track("x")["ok"]
    assert (reply.status, reply.error) == (503, "unavailable")
    assert "longer than 2 s" in reply.json["details"]["message"]
    reply = asked(project, "SELECT number FROM numbers(100000000)", "?limit=100000")
    assert len(reply.json["rows"]) == 100_000
    assert reply.json["truncated"] is True


def test_events_and_questions_go_on_beside_what_takes_long(hasty: Server) -> None:
    project = Project(hasty)
    let_in(hasty, project)
    ended: list[Reply] = []

    def ask() -> None:
        ended.append(asked(project.again(), LONG))

    asking = [threading.Thread(target=ask) for _ in range(3 * AT_ONCE)]
    for thread in asking:
        thread.start()
    beside = 0
    while not beside or any(thread.is_alive() for thread in asking):
        assert project.track("x")["ok"]
        assert project.send("GET", "/readyz").status == 200
        assert project.get("/v1/stats", metric="count", event="x").status in (200, 503)
        beside += 1
    for thread in asking:
        thread.join()
    assert {reply.status for reply in ended} == {503}
    assert {reply.error for reply in ended} <= {"unavailable", "busy"}
    assert len(project.stored()) == beside
    assert rows(project, "SELECT count() AS n FROM events") == [{"n": beside}]


def test_what_the_engine_does_not_stop_keeps_its_place_and_nobody_waiting() -> None:
    busy: list[int] = []
    stop = threading.Event()

    async def scenario() -> None:
        turns = Turns(0.01, lambda: busy.append(1))
        for _ in range(AT_ONCE):
            with pytest.raises(TimeoutError):
                await turns.run(stop.wait, 0.01)
        with pytest.raises(Busy):
            await turns.run(lambda: 1, 60)
        stop.set()
        patient = turns.run
        turns._patience_s = 60
        assert await patient(lambda: 1, 60) == 1

        def fail() -> None:
            raise ValueError("as it is")

        for _ in range(AT_ONCE + 1):
            with pytest.raises(ValueError, match="as it is"):
                await turns.run(fail, 60)

    run_async(scenario())
    assert busy == [1]


def test_no_key_of_another_project_asks_here(projects: tuple[Project, Project]) -> None:
    query = "SELECT any(project_id) AS p, uniqExact(project_id) AS n FROM events"
    for project in projects:
        assert rows(project, query) == [{"p": project.project_id, "n": 1}]
    body = json.dumps({"query": query, "project_id": projects[1].project_id})
    reply = projects[0].post("/v1/sql", body.encode(), key="rk")
    assert reply.json["rows"] == [{"p": projects[0].project_id, "n": 1}]
    assert reply.json["warnings"]
