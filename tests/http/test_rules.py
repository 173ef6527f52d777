"""A project's own rules over HTTP: kept, tried on a visit, and what they would change."""

import json

import pytest

from tests.cli.test_commands import ok
from tests.support import Json, Project, Reply, Server

RULES = """\
# Ours.
- id: podcast
  when:
    params: {utm_source: "pod-*"}
  source: podcast
  medium: audio
"""
POD = "https://shop.example/?utm_source=pod-7&utm_campaign=launch"
AD = "https://shop.example/?utm_source=google&utm_medium=cpc"
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


def post(project: Project, path: str, body: object, key: str = "rk") -> Json:
    reply = project.post(path, body, key=key)
    assert reply.status == 200, reply
    return reply.json


def refused(reply: Reply, field: str) -> str:
    assert (reply.status, reply.error) == (400, "invalid_payload"), reply
    (message,) = reply.json["details"]["fieldErrors"][field]
    return str(message)


def test_rules_are_kept_as_they_were_written(server: Server, project: Project) -> None:
    assert project.ask("/v1/rules") == {"rules": "", "own": []}
    reply = project.change("PUT", "/v1/rules", {"rules": RULES})
    assert reply.status == 200, reply
    assert reply.json == project.ask("/v1/rules")
    assert reply.json["rules"] == RULES
    (rule,) = reply.json["own"]
    assert (rule["rule_id"], rule["confidence"]) == ("custom:podcast", "high")
    own = ("--data", str(server.folder), "--project", project.project_id)
    assert ok("rules", "show", *own) == RULES
    project.track("visit", anonymous_id="a", url=POD)
    (row,) = project.stored()
    assert (row["source"], row["medium"]) == ("podcast", "audio")
    assert project.change("PUT", "/v1/rules", {"rules": ""}).json == {"rules": "", "own": []}
    assert project.ask("/v1/rules")["own"] == []


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("- id: x", "Line 1: when is missing"),
        ("- id: podcast\n  when: {params: {a: b}}\n  sorce: x", "Line 3: there is no 'sorce'"),
        ("rules: []", "Line 1: expected a list of rules"),
        ("- [", "not YAML"),
        ("x" * 65_537, "65536"),
        (7, "text"),
    ],
)
def test_rules_that_cannot_be_used_name_the_line(
    project: Project, rules: object, said: str
) -> None:
    for reply in (
        project.change("PUT", "/v1/rules", {"rules": rules}),
        project.post("/v1/rules/test", {"url": POD, "rules": rules}),
        project.post("/v1/reclassify", {"dry_run": True, "rules": rules}),
    ):
        assert said in refused(reply, "rules")
    assert project.ask("/v1/rules")["rules"] == ""


def test_a_visit_is_tried_on_rules_that_nobody_has_kept(project: Project) -> None:
    now = post(project, "/v1/rules/test", {"url": POD})
    assert (now["source"], now["rule_id"]) == ("pod-7", now["rules"][-1]["rule_id"])
    tried = post(project, "/v1/rules/test", {"url": POD, "rules": RULES})
    assert (tried["source"], tried["medium"], tried["campaign"]) == ("podcast", "audio", "launch")
    assert (tried["rule_id"], tried["confidence"]) == ("custom:podcast", "high")
    assert tried["channel"]
    assert (tried["agent"], tried["problems"]) == (None, [])
    assert post(project, "/v1/rules/test", {"url": POD}) == now
    # As a stored event would be named, and as the older route says.
    project.change("PUT", "/v1/rules", {"rules": RULES})
    kept = post(project, "/v1/rules/test", {"url": POD})
    asked = project.ask("/v1/classify", url=POD)
    assert {name: kept[name] for name in asked} == asked
    assert kept["source"] == "podcast"
    # Rules of none instead of those that are kept.
    assert post(project, "/v1/rules/test", {"url": POD, "rules": ""})["source"] == "pod-7"


def test_what_is_odd_about_a_visit_is_said(project: Project) -> None:
    body = {"url": "shop.example/a", "referrer": "google", "user_agent": BOT}
    found = post(project, "/v1/rules/test", body)
    assert found["agent"]["is_bot"]
    assert found["agent"]["reason"] == "crawler"
    url, referrer = found["problems"]
    assert "url shop.example/a is not an address with a host" in url
    assert "referrer google is not an address with a host" in referrer
    assert refused(project.post("/v1/rules/test", {"url": "x" * 2049}), "url")
    assert refused(project.post("/v1/rules/test", {"urls": POD}), "urls")


def test_a_dry_run_says_what_the_command_says_and_changes_nothing(
    server: Server, project: Project
) -> None:
    project.batch(
        [
            *({"event": "visit", "anonymous_id": f"p{n}", "url": POD} for n in range(3)),
            {"event": "visit", "anonymous_id": "a", "url": AD, "timestamp": "2026-05-01"},
        ]
    )
    before = project.stored()
    nothing = post(project, "/v1/reclassify", {"dry_run": True})
    assert (nothing["events"], nothing["rows"]) == (0, [])
    assert nothing["summary"].startswith("Nothing to do")
    tried = post(project, "/v1/reclassify", {"dry_run": True, "rules": RULES})
    assert (tried["events"], tried["moved"], tried["dry_run"]) == (4, 3, True)
    moved = {(r["source"], r["medium"]): (r["before"], r["after"]) for r in tried["rows"]}
    assert moved["podcast", "audio"] == (0, 3)
    assert moved["google", "paid"] == (1, 1)
    assert "4 events were named by other rules" in tried["summary"]
    since = post(
        project, "/v1/reclassify", {"dry_run": True, "rules": RULES, "since": "2026-05-02"}
    )
    assert since["events"] == 3

    project.change("PUT", "/v1/rules", {"rules": RULES})
    kept = post(project, "/v1/reclassify", {"dry_run": True})
    assert {**kept, "rows": sorted(map(str, kept["rows"]))} == {
        **tried,
        "rows": sorted(map(str, tried["rows"])),
    }
    own = ("--data", str(server.folder), "--project", project.project_id)
    said = json.loads(ok("reclassify", "--dry-run", "--json", *own))
    assert said == {name: kept[name] for name in said}
    assert project.stored() == before


def test_what_a_dry_run_refuses(project: Project) -> None:
    for body, field in (
        ({}, "dry_run"),
        ({"dry_run": False}, "dry_run"),
        ({"dry_run": "yes"}, "dry_run"),
        ({"dry_run": True, "since": "May"}, "since"),
        ({"dry_run": True, "until": "2026-05-01"}, "until"),
    ):
        assert refused(project.post("/v1/reclassify", body), field)
    told = refused(project.post("/v1/reclassify", {"dry_run": False}), "dry_run")
    assert "threadline reclassify" in told


def test_rk_reads_and_sk_writes(server: Server, project: Project) -> None:
    reply = project.change("PUT", "/v1/rules", {"rules": RULES}, key="rk")
    assert reply.error == "insufficient_scope"
    for path, body in (("/v1/rules/test", {"url": POD}), ("/v1/reclassify", {"dry_run": True})):
        assert project.post(path, body, key="rk").status == 200
        assert project.post(path, body, key="sk").status == 200
        assert project.post(path, body, key="pk").error == "insufficient_scope"
    assert project.get("/v1/rules", key="pk").error == "insufficient_scope"
    project.change("PUT", "/v1/rules", {"rules": RULES})
    assert Project(server).ask("/v1/rules")["rules"] == ""
