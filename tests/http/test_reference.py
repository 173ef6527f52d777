"""The server about itself: health, the OpenAPI document, the reference page, and the docs."""

import re
from pathlib import Path

import msgspec
import pytest
from openapi_spec_validator import validate

from tests.support import ROOT, Json, Project, Server
from threadline.contract import errors
from threadline.contract.policies import PARTITIONS, POLICIES, Policy
from threadline.control import Control
from threadline.settings import Settings


@pytest.fixture
def document(project: Project) -> Json:
    return project.send("GET", "/openapi.json").json


def test_health(project: Project) -> None:
    for path in ("/healthz", "/readyz"):
        reply = project.send("GET", path)
        assert (reply.status, reply.json) == (200, {"ok": True})


def test_the_document_is_valid_and_complete(document: Json) -> None:
    validate(document)
    assert sorted(document["paths"]) == [
        "/healthz",
        "/mcp",
        "/mcp/account",
        "/metrics",
        "/openapi.json",
        "/readyz",
        "/v1/a.js",
        "/v1/accounts",
        "/v1/accounts/{account_id}",
        "/v1/addons/{name}",
        "/v1/alias",
        "/v1/annotations",
        "/v1/annotations/{annotation_id}",
        "/v1/attribution",
        "/v1/attribution/why",
        "/v1/auth/link",
        "/v1/auth/me",
        "/v1/auth/oidc/callback",
        "/v1/auth/oidc/start",
        "/v1/auth/password",
        "/v1/auth/sessions",
        "/v1/auth/sessions/{session_id}",
        "/v1/auth/setup",
        "/v1/auth/sign-out",
        "/v1/batch",
        "/v1/boards",
        "/v1/boards/{name}",
        "/v1/changes",
        "/v1/classify",
        "/v1/dead-letters",
        "/v1/export",
        "/v1/forget",
        "/v1/funnel",
        "/v1/funnel/people",
        "/v1/goals",
        "/v1/goals/{name}",
        "/v1/group",
        "/v1/identify",
        "/v1/identity/accounts",
        "/v1/identity/aliases",
        "/v1/identity/explain",
        "/v1/identity/likely-duplicates",
        "/v1/identity/links",
        "/v1/identity/preview",
        "/v1/identity/shared-devices",
        "/v1/identity/stats",
        "/v1/identity/suspicious",
        "/v1/insights",
        "/v1/insights/{name}",
        "/v1/jobs",
        "/v1/keys",
        "/v1/keys/{label}",
        "/v1/keys/{label}/rotate",
        "/v1/members",
        "/v1/members/{member_id}",
        "/v1/members/{member_id}/link",
        "/v1/page",
        "/v1/paths",
        "/v1/paths/people",
        "/v1/projects",
        "/v1/projects/{project_id}",
        "/v1/query",
        "/v1/receipts",
        "/v1/reclassify",
        "/v1/refusals",
        "/v1/retention",
        "/v1/retention/people",
        "/v1/rules",
        "/v1/rules/test",
        "/v1/schema",
        "/v1/screen",
        "/v1/segments",
        "/v1/segments/{name}",
        "/v1/sessions",
        "/v1/share-links",
        "/v1/share-links/{share_id}",
        "/v1/sources",
        "/v1/sql",
        "/v1/stats",
        "/v1/time-to-conversion",
        "/v1/track",
        "/v1/users",
        "/v1/users/{user_id}",
        "/v1/users/{user_id}/events",
        "/v1/users/{user_id}/export",
        "/v1/visits",
    ]
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["summary"]
            for parameter in operation["parameters"]:
                assert parameter["schema"], (path, parameter)
            assert "500" in operation["responses"]
    query = document["paths"]["/v1/query"]["get"]
    assert [parameter["name"] for parameter in query["parameters"]] == [
        "from",
        "to",
        "tz",
        "event",
        "source",
        "medium",
        "user_id",
        "anonymous_id",
        "include_bots",
        "limit",
        "cursor",
    ]
    track = document["paths"]["/v1/track"]["post"]
    assert {"202", "400", "401", "403", "413", "415", "429", "503"} <= set(track["responses"])
    assert document["components"]["schemas"]["Event"]["required"] == ["event"]


def test_every_error_is_documented_somewhere(document: Json) -> None:
    documented = {
        code
        for methods in document["paths"].values()
        for operation in methods.values()
        for response in operation["responses"].values()
        for code in re.findall(r"^- `(\w+)`", response["description"], flags=re.MULTILINE)
    }
    # Of the router itself, not of any route.
    assert documented | {"method_not_allowed"} == {
        error.code for error in errors.ApiError.__subclasses__()
    }


def test_the_reference_page_needs_nothing_from_elsewhere(project: Project, document: Json) -> None:
    reply = project.send("GET", "/docs/api/")
    assert reply.status == 200
    page = reply.body.decode()
    assert "<script" not in page
    assert not re.search(r'(src|href)="https?:', page)
    assert page.count("<section") == sum(map(len, document["paths"].values()))


def test_the_reference_is_there_as_markdown(project: Project, document: Json) -> None:
    reply = project.send("GET", "/docs/api.md")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/markdown; charset=utf-8")
    text = reply.body.decode()
    routes = re.findall(r"^### ([A-Z]+) (\S+)$", text, re.MULTILINE)
    there = {(verb.upper(), path) for path, found in document["paths"].items() for verb in found}
    assert {*routes} == there
    assert len(routes) == len(there)
    (stats,) = re.findall(r"^### GET /v1/stats\n(.*?)^### ", text, re.DOTALL | re.MULTILINE)
    for said in (
        "curl ",
        "- `metric` (",
        "Answer 200 (application/json)",
        "400 `invalid_group_by`:",
    ):
        assert said in stats, said
    assert not re.search(r"</?[a-z]", stats), "it is no HTML"
    assert len(text) < 500_000
    page = project.send("GET", "/docs/api/").body.decode()
    assert 'href="/docs/api.md"' in page


def test_the_docs_name_every_setting_and_every_error() -> None:
    settings = (ROOT / "docs" / "settings.md").read_text()
    for field in msgspec.structs.fields(Settings):
        assert f"| `THREADLINE_{field.name.upper()}` |" in settings
    listed = (ROOT / "docs" / "errors.md").read_text()
    for error in errors.ApiError.__subclasses__():
        assert f"| {error.status} | `{error.code}` |" in listed
        # What `docs_url` of an answer points to.
        assert f"\n### {error.code}\n" in listed


def test_user_ids_may_hold_anything(project: Project) -> None:
    for user_id in ("a/b", "a%2Fb", "..", "a?b#c", "ü ñ", "events", "%", "+"):
        project.track("x", user_id=user_id, anonymous_id=f"of {user_id}")
    for user_id in ("a/b", "a%2Fb", "a?b#c", "ü ñ", "events", "%", "+"):
        (row,) = project.journey(user_id)
        assert row["user_id"] == user_id


def test_pages_follow_each_other_without_gap_or_overlap(project: Project) -> None:
    project.batch(
        [
            {
                "event": "x",
                "event_id": f"e{n:02}",
                "anonymous_id": f"d{n % 5}",
                "user_id": f"u{n % 5}",
                "timestamp": f"2026-05-01T10:00:{n // 3:02}Z",
            }
            for n in range(25)
        ]
    )

    def walk(path: str, **params: object) -> list[Json]:
        rows: list[Json] = []
        cursor = None
        while True:
            answer = project.ask(path, limit=2, cursor=cursor, **params)
            rows += answer["rows"]
            cursor = answer["next_cursor"]
            if cursor is None:
                return rows

    assert [r["event_id"] for r in walk("/v1/query")] == [f"e{n:02}" for n in range(24, -1, -1)]
    mine = [f"e{n:02}" for n in range(0, 25, 5)]
    assert [r["event_id"] for r in walk("/v1/users/u0/events")] == mine
    assert [r["event_id"] for r in walk("/v1/users/u0/events", order="desc")] == mine[::-1]
    assert [r["user_id"] for r in walk("/v1/users")] == ["u3", "u4", "u0", "u1", "u2"]


def test_users_as_csv_and_ndjson(project: Project) -> None:
    assert project.get("/v1/users", format="csv").body.startswith(b"user_id,known_since,")
    project.track("x", user_id='a "quoted", name', anonymous_id="d")
    project.track("x", user_id="b", anonymous_id="d")
    reply = project.get("/v1/users", format="csv", limit=1)
    assert reply.headers["Content-Type"].startswith("text/csv")
    assert reply.headers["Threadline-Next-Cursor"]
    assert len(reply.body.splitlines()) == 2
    reply = project.get("/v1/users", format="ndjson")
    assert reply.headers["Content-Type"].startswith("application/x-ndjson")
    assert [msgspec.json.decode(line)["user_id"] for line in reply.body.splitlines()] == [
        "b",
        'a "quoted", name',
    ]


def test_filters_of_the_user_list_speak_of_the_first_touch(project: Project) -> None:
    for number, source in enumerate(("facebook", "google"), start=1):
        url = f"https://x/?utm_source={source}&utm_medium=cpc&utm_campaign=c{number}"
        project.track("visit", anonymous_id=source, url=url, timestamp=f"2026-05-0{number}")
        project.track("signup", anonymous_id=source, user_id=source, timestamp="2026-05-09")

    def found(**params: object) -> list[str]:
        return [row["user_id"] for row in project.ask("/v1/users", **params)["rows"]]

    assert found() == ["facebook", "google"]
    assert found(source="google") == ["google"]
    assert found(source="google", medium="email") == []
    assert found(campaign="c1") == ["facebook"]
    assert found(from_="2026-05-02") == ["google"]
    assert found(to="2026-05-02") == ["facebook"]
    assert found(from_="2026-05-01T00:00:00.001Z", to="2026-05-02T00:00:00+00:00") == []
    assert project.ask("/v1/time-to-conversion", conversion="signup", to="2026-05-09")["rows"] == []


@pytest.mark.parametrize("default", [None, *POLICIES])
def test_a_project_may_have_its_own_default_policy(
    server: Server, project: Project, default: Policy | None
) -> None:
    with Control(server.folder) as control:
        _, keys = control.create_project(f"by default {default}", [], stitch=default)
    project.keys["rk"] = str(keys["rk"])
    answer = project.ask("/v1/time-to-conversion", conversion="x")
    assert answer["stitch"] == (default or "any")
    counted = project.ask("/v1/funnel", steps="a,b")
    assert counted["stitch"] == (default if default in PARTITIONS else "next")
    for other in POLICIES:
        answer = project.ask("/v1/time-to-conversion", conversion="x", stitch=other)
        assert answer["stitch"] == other


def test_shared_devices_are_named_wherever_they_took_part(project: Project) -> None:
    for number, user in enumerate(("ada", "bob"), start=1):
        project.track("x", anonymous_id="kiosk", user_id=user, timestamp=f"2026-05-0{number}")
        project.track("x", anonymous_id=f"of {user}", user_id=user)
    for path in ("/v1/users", "/v1/users/ada", "/v1/users/ada/events"):
        assert project.ask(path)["shared_devices"] == ["kiosk"]
    answer = project.ask("/v1/time-to-conversion", conversion="x")
    assert answer["shared_devices"] == ["kiosk"]


def test_metrics_count_what_came_and_what_was_refused(folder: Path) -> None:
    with Server(folder) as server:
        project = Project(server)
        project.batch([{"event": "x", "event_id": "e1"}, {"event": "x", "event_id": "e1"}])
        project.track("x")
        project.post("/v1/track", {"event": "x", "user_id": "null", "plan": "pro"})
        assert project.post("/v1/track", {"event": ""}).status == 400
        project.stored()
        reply = project.get("/metrics")
        assert reply.headers["Content-Type"].startswith("text/plain")
        lines = dict(
            line.rsplit(" ", 1)
            for line in reply.body.decode().splitlines()
            if not line.startswith("#")
        )
        expected = {
            'threadline_events_accepted_total{route="/v1/batch"}': 2,
            'threadline_events_accepted_total{route="/v1/track"}': 2,
            'threadline_events_warned_total{reason="placeholder_id"}': 1,
            'threadline_events_warned_total{reason="unknown_field"}': 1,
            'threadline_requests_rejected_total{code="invalid_payload"}': 1,
            "threadline_events_duplicate_total": 1,
            "threadline_events_written_total": 3,
            "threadline_dead_letters": 0,
            "threadline_log_events": 0,
            "threadline_log_bytes": 0,
            "threadline_writer_lag_seconds": 0,
            "threadline_store_up": 1,
        }
        assert {name: float(lines[name]) for name in expected} == expected
        assert float(lines["threadline_insert_seconds_count"]) >= 1
        server.stop()
