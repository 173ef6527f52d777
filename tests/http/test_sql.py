"""`POST /v1/sql`: who may, what it answers, in which forms, within which limits."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars
import pytest

from tests.cli.test_commands import fails, ok
from tests.support import Json, Project, Reply, Server
from threadline.control import Control
from threadline.http.sql import KINDS, Format
from threadline.questions.sql_tables import COLUMNS

JUNE = "2026-06-01T10:{:02}:00Z"


def let_in(server: Server, project: Project) -> None:
    with Control(server.folder) as control:
        control.grant(project.keys["rk"], "sql")


def asked(project: Project, query: str, path: str = "", **body: object) -> Reply:
    return project.post(f"/v1/sql{path}", {"query": query, **body}, key="rk")


def rows(project: Project, query: str, path: str = "", **body: object) -> list[Json]:
    reply = asked(project, query, path, **body)
    assert reply.status == 200, reply
    found: list[Json] = reply.json["rows"]
    return found


def events() -> list[Json]:
    """A user who came by facebook, signed up and came back by a search; and a stranger."""

    def page(device: str, minute: int, day: int = 1, **more: object) -> Json:
        at = f"2026-06-{day:02}T10:{minute:02}:00Z"
        return {"event": "$pageview", "anonymous_id": device, "timestamp": at, **more}

    shop = "https://shop.example"
    return [
        page("d1", 0, url=f"{shop}/?utm_source=facebook&utm_medium=paid&utm_campaign=may"),
        page("d1", 5, url=f"{shop}/pricing"),
        page(
            "d1",
            6,
            url=f"{shop}/welcome",
            user_id="ann",
            event="signup",
            properties={"account_id": "acme"},
        ),
        page("d2", 0, 3, url=f"{shop}/docs", referrer="https://www.google.com/", user_id="ann"),
        page("d3", 0, 2, url=f"{shop}/blog"),
    ]


@pytest.fixture(scope="module")
def shop(server: Server) -> Project:
    project = Project(server)
    let_in(server, project)
    project.batch(events())
    return project


def test_it_takes_a_key_that_may(server: Server) -> None:
    project = Project(server)
    for kind, words in {
        "pk": "key create --kind rk --scope sql",
        "sk": "key create --kind rk --scope sql",
        "rk": f"threadline key grant {project.keys['rk'].rpartition('_')[0]} --scope sql",
    }.items():
        reply = project.post("/v1/sql", {"query": "SELECT 1"}, key=kind)
        assert (reply.status, reply.error) == (403, "insufficient_scope")
        assert words in reply.json["details"]["message"]
    folder = ("--data", str(server.folder))
    rk = project.keys["rk"]
    assert "may ask in SQL" in ok("key", "grant", rk, "--scope", "sql", *folder)
    assert "may already ask in SQL" in ok("key", "grant", rk, "--scope", "sql", *folder)
    assert rows(project, "SELECT 1 AS one") == [{"one": 1}]
    assert project.get("/v1/stats", metric="persons").status == 200
    listed = json.loads(ok("key", "list", "--project", project.project_id, "--json", *folder))
    assert [key["scopes"] for key in listed if key["kind"] == "rk"] == [["sql"]]
    assert "+ sql" in ok("key", "list", "--project", project.project_id, *folder)
    assert "may not ask in SQL" in ok("key", "withdraw", rk, "--scope", "sql", *folder)
    assert asked(project, "SELECT 1").error == "insufficient_scope"


def test_scopes_are_of_read_keys_and_stay_when_one_is_rotated(server: Server) -> None:
    project = Project(server)
    folder = ("--data", str(server.folder))
    of = ("--project", project.project_id, *folder)
    assert "There is no scope 'all'. Scopes: sql" in fails(
        "key", "grant", project.keys["rk"], "--scope", "all", *folder
    )
    assert "is for rk keys" in fails("key", "grant", project.keys["sk"], "--scope", "sql", *folder)
    assert "is for rk keys" in fails("key", "create", "--kind", "pk", "--scope", "sql", *of)
    made = json.loads(ok("key", "create", "--kind", "rk", "--scope", "sql", "--json", *of))
    again = json.loads(ok("key", "rotate", made["prefix"], "--json", *folder))
    project.keys["rk"] = again["key"]
    assert rows(project, "SELECT 1 AS one") == [{"one": 1}]


def test_tables_of_visits_and_persons(shop: Project) -> None:
    people = {row["owner"]: row for row in rows(shop, "SELECT * FROM persons")}
    assert people.keys() == {"ann", "d3"}
    ann = people["ann"]
    assert list(ann) == list(COLUMNS["persons"])
    assert ann == {
        **ann,
        "known": True,
        "first_seen": "2026-06-01T10:00:00.000Z",
        "last_seen": "2026-06-03T10:00:00.000Z",
        "events": 4,
        "devices": 2,
        "first_source": "facebook",
        "first_medium": "paid",
        "first_campaign": "may",
        "first_path": "/",
        "last_source": "google",
        "last_medium": "organic",
        "last_path": "/docs",
    }
    assert people["d3"]["known"] is False
    assert people["d3"]["last_source"] == "direct"
    found = rows(shop, "SELECT * FROM visits ORDER BY started")
    assert [list(row) for row in found] == [list(COLUMNS["visits"])] * 3
    assert [
        (row["owner"], row["source"], row["entry_path"], row["exit_path"], row["page_views"])
        for row in found
    ] == [
        ("ann", "facebook", "/", "/welcome", 2),
        ("d3", "direct", "/blog", "/blog", 1),
        ("ann", "google", "/docs", "/docs", 1),
    ]
    assert [(row["seconds"], row["bounce"], row["known"]) for row in found] == [
        (360, False, True),
        (0, True, False),
        (0, True, True),
    ]
    joined = rows(
        shop,
        "SELECT p.first_source AS came_by, count() AS visits, sum(v.events) AS events"
        " FROM visits AS v JOIN persons AS p ON p.owner = v.owner"
        " WHERE p.owner IN (SELECT owner FROM stitched_events WHERE event_name = 'signup')"
        " GROUP BY came_by",
    )
    assert joined == [{"came_by": "facebook", "visits": 2, "events": 4}]


def test_accounts_are_a_table(shop: Project) -> None:
    sql = "SELECT account_id, owner, known FROM accounts"
    assert rows(shop, sql) == [{"account_id": "acme", "owner": "ann", "known": True}]


def test_policies_and_times(server: Server, shop: Project) -> None:
    def owners(path: str) -> set[str]:
        return {row["owner"] for row in rows(shop, "SELECT owner FROM persons", path)}

    assert owners("?stitch=next") == {"ann", "d3"}
    assert owners("?stitch=none") == {"ann", "d1", "d3"}
    for table in ("visits", "persons", "accounts"):
        reply = asked(shop, f"SELECT * FROM {table}", "?stitch=any")
        assert (reply.status, reply.error) == (400, "invalid_payload")
        assert "choose one of first, next, last, none" in reply.json["details"]["message"]
    # Columns of that name are no tables.
    query = "SELECT count() AS visits FROM stitched_events HAVING visits > 0"
    assert rows(shop, query, "?stitch=any") == [{"visits": 5}]
    reply = asked(shop, "SELECT 1 AS one", "?stitch=last")
    assert reply.json["stitch"] == "last"
    for table in ("events", "stitched_events", "visits", "persons"):
        count = f"SELECT count() AS n FROM {table}"
        assert rows(shop, count, "?as_of=2020-01-01") == [{"n": 0}]
        assert rows(shop, count)[0]["n"] > 0
    with Control(server.folder) as control:
        control.set_visit_timeout(shop.project_id, 240)
        control.set_visit_timeout(shop.project_id, 5)
    assert rows(shop, "SELECT count() AS n FROM visits") == [{"n": 3}]


def test_the_command_line_asks_the_same(server: Server, shop: Project) -> None:
    for query in (
        "SELECT * FROM visits ORDER BY started",
        "SELECT * FROM persons ORDER BY owner",
        "SELECT * FROM stitched_events ORDER BY timestamp, event_id",
    ):
        where = ("--data", str(server.folder), "--project", shop.project_id)
        printed = ok("sql", query, *where, "--format", "json")
        assert json.loads(printed) == rows(shop, query)
    query = "SELECT count() AS n FROM events WHERE path = {path:String}"
    given = ("--param", "path=/blog", "--as-of", "2099-01-01")
    assert ok("sql", query, *where, *given, "--format", "ndjson") == '{"n":1}\n'
    assert "write a name and its value" in fails("sql", query, *where, "--param", "path")
    assert "--as-of yesterdayish" in fails("sql", query, *where, "--as-of", "yesterdayish")


VALUES: list[tuple[str, object, object]] = [
    ("String", "it's \\ a\ttab\nü 😀 %s {x:String} ; --", None),
    ("String", "", None),
    ("Int64", -7, None),
    ("UInt64", 18446744073709551615, None),
    ("Float64", 1.5, None),
    ("Bool", True, None),
    ("Bool", False, None),
    ("Nullable(String)", None, None),
    ("Array(String)", ["a'b", "\\", "\n"], None),
    ("Array(Int32)", [1, -2], None),
    ("Array(Nullable(Int32))", [1, None], None),
    ("Date", "2026-06-01", None),
    ("DateTime64(3, 'UTC')", "2026-06-01 10:00:00.000", "2026-06-01T10:00:00.000Z"),
]


@pytest.mark.parametrize(("kind", "value", "found"), VALUES)
def test_values_are_bound(shop: Project, kind: str, value: object, found: object) -> None:
    query = f"SELECT {{value:{kind}}} AS value"
    expected = value if found is None else found
    assert rows(shop, query, params={"value": value}) == [{"value": expected}]


def test_no_value_is_one_of_ours(shop: Project) -> None:
    query = "SELECT count() AS n, {project_id:String} AS p FROM stitched_events"
    assert rows(shop, query, params={"project_id": "x"}) == [{"n": 5, "p": "x"}]
    for query, given, words in (
        ("SELECT {x:String}", {}, "There is no value for {x:String}"),
        ("SELECT 1", {"x": "1"}, "the query has no {x:Type}"),
        ("SELECT {threadline_project_id:String}", {}, "does not begin with threadline_"),
        ("SELECT count() FROM {t:Identifier}", {"t": "events"}, "a value is a String"),
        ("SELECT {x:UInt8}", {"x": "many"}, "x"),
    ):
        reply = asked(shop, query, params=given)
        assert (reply.status, reply.error) == (400, "invalid_payload")
        assert words in reply.json["details"]["message"]
    query = "SELECT count() AS n, {threadline_project_id:String} AS p FROM stitched_events"
    reply = asked(shop, query, params={"threadline_project_id": "x"})
    assert reply.status == 400
    assert "threadline_" in reply.json["details"]["message"]


FORMS: dict[Format, Callable[[bytes], Any]] = {
    "json": lambda body: json.loads(body)["rows"],
    "csv": lambda body: list(csv.DictReader(io.StringIO(body.decode()))),
    "arrow": lambda body: polars.read_ipc_stream(body).to_dicts(),
    "parquet": lambda body: polars.read_parquet(body).to_dicts(),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_say_where_they_are_cut(shop: Project, form: Format) -> None:
    query = "SELECT number, toString(number) AS text FROM numbers(10) ORDER BY number"
    media_type = KINDS[form].media_type
    for limit, count in ((3, 3), (10, 10), (11, 10)):
        reply = asked(shop, query, f"?format={form}&limit={limit}")
        assert reply.status == 200, reply
        assert reply.headers["Content-Type"] == media_type
        found = FORMS[form](reply.body)
        assert [(int(row["number"]), row["text"]) for row in found] == [
            (number, str(number)) for number in range(count)
        ]
        assert reply.headers.get("Threadline-Truncated") == ("true" if limit == 3 else None)
        if form == "json":
            assert reply.json.get("truncated") == (True if limit == 3 else None)
            codes = [each["code"] for each in reply.json.get("warnings", [])]
        else:
            codes = json.loads(reply.headers.get("Threadline-Warnings", "[]"))
        assert len(codes) == (limit == 3)
    headers = {
        "Authorization": f"Bearer {shop.keys['rk']}",
        "Accept": f"text/html, {media_type.partition(';')[0]};q=0.9, */*",
        "Content-Type": "application/json",
    }
    accepted = shop.send("POST", "/v1/sql?limit=3", json.dumps({"query": query}), headers)
    assert accepted.body == asked(shop, query, f"?format={form}&limit=3").body


def test_answers_are_valid_whatever_is_in_them(shop: Project) -> None:
    query = (
        "SELECT toUInt64(18446744073709551615) AS big, nan AS nothing, '\\xff\\0' AS bytes,"
        " '=1+1' AS formula, [1, 2] AS list, map('a', 1) AS object, 'a\"b\\n' AS `na\"me`"
    )
    reply = asked(shop, query)
    assert [column["name"] for column in reply.json["columns"]] == list(reply.json["rows"][0])
    assert reply.json["columns"][0] == {"name": "big", "type": "UInt64"}
    assert reply.json["rows"] == [
        {
            "big": 18446744073709551615,
            "nothing": None,
            "bytes": "\ufffd\0",
            "formula": "=1+1",
            "list": [1, 2],
            "object": {"a": 1},
            'na"me': 'a"b\n',
        }
    ]
    (row,) = FORMS["csv"](asked(shop, query, "?format=csv").body)
    assert (row["formula"], row["list"]) == ("'=1+1", "[1,2]")
    empty = asked(shop, "SELECT owner FROM persons WHERE owner = 'nobody'")
    assert empty.json["rows"] == []
    assert asked(shop, "SELECT 1 AS a WHERE 0", "?format=csv").body == b"a\n"


def test_what_is_wrong_is_said(shop: Project) -> None:
    for path, body, error in (
        ("?format=xml", {"query": "SELECT 1"}, "invalid_params"),
        ("?limit=0", {"query": "SELECT 1"}, "invalid_params"),
        ("?limit=100001", {"query": "SELECT 1"}, "invalid_params"),
        ("?stich=next", {"query": "SELECT 1"}, "invalid_params"),
        ("", {"query": ""}, "invalid_payload"),
        ("", {"sql": "SELECT 1"}, "invalid_payload"),
        ("", {"query": "SELECT 1", "params": {"x": {"y": 1}}}, "invalid_payload"),
        ("", {"query": "SELEC 1"}, "invalid_payload"),
        ("?format=parquet", {"query": "SHOW TABLES"}, "invalid_payload"),
    ):
        reply = shop.post(f"/v1/sql{path}", body, key="rk")
        assert (reply.status, reply.error) == (400, error), (body, reply)
    reply = asked(shop, "SELECT ownr FROM persons")
    assert "ownr" in reply.json["details"]["fieldErrors"]["query"][0]
    reply = shop.post("/v1/sql", {"query": "SELECT 1 AS a", "parms": {}}, key="rk")
    assert reply.json["rows"] == [{"a": 1}]
    assert "parms" in reply.json["warnings"][0]["message"]
    assert rows(shop, "SHOW TABLES")[2:] == [
        {"name": "visits"},
        {"name": "persons"},
        {"name": "accounts"},
    ]
    for table in ("stitched_events", "visits", "persons", "accounts"):
        described = rows(shop, f"DESCRIBE {table}")
        assert [row["name"] for row in described] == list(COLUMNS[table])


def test_it_is_counted_and_logged(tmp_path: Path) -> None:
    with Server(tmp_path / "data", THREADLINE_LOG_SQL="1") as server:
        project = Project(server)
        let_in(server, project)
        rows(project, "SELECT 1 AS secret_of_a_query")
        asked(project, "DROP TABLE events")
        asked(project, "SELECT 1", "?format=xml")
        metrics = project.send(
            "GET", "/metrics", headers={"Authorization": f"Bearer {project.keys['sk']}"}
        ).body.decode()
        assert 'threadline_sql_questions_total{outcome="answered"} 1.0' in metrics
        assert 'threadline_sql_questions_total{outcome="refused"} 2.0' in metrics
        line = json.loads(server.await_line("sql_asked", "secret_of_a_query"))
        assert line["project_id"] == project.project_id
