"""Projects and keys over HTTP: made, changed, rotated and revoked, each by its own project only."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_commands import ok
from tests.support import ORIGIN, Json, Project, Reply, Server
from threadline.contract.times import now_ms, parse_ms
from threadline.control import Control


def delete(project: Project, path: str, key: str = "sk") -> Reply:
    return project.send("DELETE", path, headers={"Authorization": f"Bearer {project.keys[key]}"})


def listed(project: Project) -> dict[str, Json]:
    return {row["label"]: row for row in project.get("/v1/keys", key="sk").json["rows"]}


def label(key: str) -> str:
    return key.rpartition("_")[0]


def add(project: Project, **given: Any) -> Json:
    reply = project.post("/v1/keys", given)
    assert reply.status == 201, reply
    return reply.json


def no_secret(project: Project, reply: Reply) -> None:
    for key in project.keys.values():
        assert key.rpartition("_")[2].encode() not in reply.body


def test_a_project_sees_itself_alone(server: Server, project: Project) -> None:
    Project(server)
    for key in ("rk", "sk"):
        reply = project.get("/v1/projects", key=key)
        assert reply.status == 200, reply
        (row,) = reply.json["rows"]
        assert row["project_id"] == project.project_id
        assert (row["origins"], row["stitch"]) == ([ORIGIN], None)
        no_secret(project, reply)
    shown = ok("project", "list", "--json", "--data", str(server.folder))
    assert f'"{project.project_id}"' in shown
    assert project.get("/v1/projects", key="pk").error == "insufficient_scope"
    # Nor does it make others.
    reply = project.post("/v1/projects", {"name": "another"})
    assert (reply.status, reply.error) == (401, "not_signed_in")


def test_a_change_counts_at_once_and_leaves_the_rest(server: Server, project: Project) -> None:
    path = f"/v1/projects/{project.project_id}"
    before = project.get("/v1/projects").json["rows"][0]
    change = {"stitch": "first", "visit_timeout_minutes": 45, "origins": ["https://NEW.example/"]}
    reply = project.change("PUT", path, change)
    assert reply.status == 200, reply
    after = {**before, **change, "origins": ["https://new.example"]}
    assert reply.json == project.get("/v1/projects").json["rows"][0] == after
    assert project.ask("/v1/time-to-conversion", conversion="x")["stitch"] == "first"
    old = {"Origin": ORIGIN, "Authorization": f"Bearer {project.keys['pk']}"}
    assert project.send("POST", "/v1/track", '{"event": "x"}', old).error == "origin_not_allowed"
    new = {**old, "Origin": "https://new.example"}
    assert project.send("POST", "/v1/track", '{"event": "x"}', new).status == 202
    # Null is said, and not left out.
    assert project.change("PUT", path, {"stitch": None}).json == {**after, "stitch": None}
    assert project.change("PUT", path, {}).json == {**after, "stitch": None}
    name = f"renamed {project.project_id}"
    assert project.change("PUT", path, {"name": f" {name} "}).json["name"] == name
    assert name in ok("project", "list", "--data", str(server.folder))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"stitch": "best"}, "stitch"),
        ({"visit_timeout_minutes": 4}, "visit_timeout_minutes"),
        ({"visit_timeout_minutes": "30"}, "visit_timeout_minutes"),
        ({"origins": ["shop.example"]}, "origins"),
        ({"origins": "https://shop.example"}, "origins"),
        ({"origins": ["https://shop.example/path"]}, "origins"),
        ({"subdomains": "some"}, "subdomains"),
        ({"name": None}, "name"),
        ({"visit_timeout": 30}, "visit_timeout"),
        ({"project_id": "prj_1"}, "project_id"),
    ],
)
def test_what_cannot_be_is_refused_by_field(project: Project, body: Json, field: str) -> None:
    before = project.get("/v1/projects").json
    reply = project.change("PUT", f"/v1/projects/{project.project_id}", body)
    assert (reply.status, reply.error) == (400, "invalid_payload"), reply
    assert field in reply.json["details"]["fieldErrors"]
    assert project.get("/v1/projects").json == before


def test_names_are_one_projects(server: Server, project: Project) -> None:
    other = Project(server)
    (row,) = other.get("/v1/projects").json["rows"]
    for name, said in ((row["name"], "already"), ("  ", "needs a name"), ("a\nb", "line breaks")):
        reply = project.change("PUT", f"/v1/projects/{project.project_id}", {"name": name})
        assert (reply.status, reply.error) == (400, "invalid_payload")
        assert said in reply.json["details"]["message"]
    # And another's project is none.
    for project_id in (other.project_id, "prj_none"):
        reply = project.change("PUT", f"/v1/projects/{project_id}", {"stitch": "last"})
        assert (reply.status, reply.error) == (404, "not_found")
    assert other.get("/v1/projects").json["rows"] == [row]
    reply = project.change("PUT", f"/v1/projects/{project.project_id}", {}, key="rk")
    assert reply.error == "insufficient_scope"


def test_keys_are_made_rotated_and_revoked(project: Project) -> None:
    reply = project.post("/v1/keys", {"kind": "rk", "name": "dashboard", "scopes": ["sql"]})
    made = reply.json
    assert reply.headers["Cache-Control"] == "no-store"
    project.keys["new"] = made["key"]
    assert label(made["key"]) == made["label"]
    assert (made["name"], made["scopes"], made["state"]) == ("dashboard", ["sql"], "active")
    assert project.get("/v1/users", key="new").status == 200
    assert listed(project)[made["label"]] == {n: v for n, v in made.items() if n != "key"}
    reply = project.get("/v1/keys", key="sk")
    assert made["key"].encode() not in reply.body
    no_secret(project, reply)

    rotated = project.post(f"/v1/keys/{made['label']}/rotate", {"keep_for": "24h"}).json
    project.keys["newer"] = rotated["key"]
    for key in ("new", "newer"):
        assert project.get("/v1/users", key=key).status == 200
    assert rotated["name"] == rotated["old"]["name"] == "dashboard"
    assert rotated["scopes"] == ["sql"]
    left_ms = parse_ms(rotated["old"]["ends_at"]) - now_ms()
    assert 23 * 3_600_000 < left_ms <= 24 * 3_600_000
    at_once = project.post(f"/v1/keys/{rotated['prefix']}/rotate", {}).json
    assert at_once["old"]["state"] == "revoked"
    assert project.get("/v1/users", key="newer").error == "invalid_api_key"

    reply = delete(project, f"/v1/keys/{made['label']}")
    assert reply.json["state"] == "revoked"
    assert delete(project, f"/v1/keys/{made['label']}").json == reply.json
    assert project.get("/v1/users", key="new").error == "invalid_api_key"
    late = project.post(f"/v1/keys/{made['label']}/rotate", {"keep_for": "1h"})
    assert (late.status, late.error) == (400, "invalid_payload")
    assert "is revoked already" in late.json["details"]["message"]


def test_keys_are_a_projects_own(server: Server, project: Project) -> None:
    other = Project(server)
    theirs = label(other.keys["sk"])
    assert theirs not in listed(project)
    for given in (theirs, "sk_live_nothing1234", other.keys["sk"], project.keys["rk"]):
        for reply in (
            delete(project, f"/v1/keys/{given}"),
            project.post(f"/v1/keys/{given}/rotate", {}),
        ):
            assert (reply.status, reply.error) == (404, "not_found")
            no_secret(other, reply)
            no_secret(project, reply)
    assert other.get("/v1/users", key="sk").status == 200
    # A key may be replaced by itself, and that is the last it does.
    new = project.post(f"/v1/keys/{label(project.keys['sk'])}/rotate", {}).json["key"]
    assert project.get("/v1/users", key="sk").error == "invalid_api_key"
    project.keys["sk"] = new
    assert project.get("/v1/keys", key="sk").status == 200


def test_who_may_and_what_is_no_key(project: Project) -> None:
    mine = label(project.keys["pk"])
    for key in ("rk", "pk"):
        for reply in (
            project.get("/v1/keys", key=key),
            project.post("/v1/keys", {"kind": "rk"}, key=key),
            project.post(f"/v1/keys/{mine}/rotate", {}, key=key),
            delete(project, f"/v1/keys/{mine}", key=key),
        ):
            assert (reply.status, reply.error) == (403, "insufficient_scope")
    before = listed(project)
    for wrong in (
        {},
        {"kind": "ak"},
        {"kind": "sk", "env": "prod"},
        {"kind": "sk", "scopes": ["sql"]},
        {"kind": "rk", "scopes": ["root"]},
        {"kind": "rk", "name": "x" * 201},
        {"kind": "rk", "secret": "mine"},
    ):
        reply = project.post("/v1/keys", wrong)
        assert (reply.status, reply.error) == (400, "invalid_payload"), wrong
    for keep_for in ("1w", "0h", "367d", "", 24):
        reply = project.post(f"/v1/keys/{mine}/rotate", {"keep_for": keep_for})
        assert (reply.status, reply.error) == (400, "invalid_payload")
        assert "keep_for" in reply.json["details"]["fieldErrors"]
    assert listed(project) == before
    add(project, kind="pk", env="test")
    assert len(listed(project)) == len(before) + 1


def test_an_owner_who_is_signed_in_sees_all_and_makes_others(folder: Path) -> None:
    with Server(folder) as server:
        one, other = Project(server), Project(server)
        with Control(folder) as control:
            member = control.add_member("ada@shop.example", "Ada", "owner")
            token = control.sign_in(member, "link", "a test").token
        headers = {
            "Cookie": f"threadline_session={token}",
            "Sec-Fetch-Site": "same-origin",
            "Content-Type": "application/json",
            "Threadline-Project": one.project_id,
        }

        def ask(method: str, path: str, body: object = None) -> Reply:
            return one.send(method, path, json.dumps(body) if body else None, headers)

        found = [row["project_id"] for row in ask("GET", "/v1/projects").json["rows"]]
        assert sorted(found) == sorted([one.project_id, other.project_id])
        reply = ask("PUT", f"/v1/projects/{other.project_id}", {"stitch": "last"})
        assert (reply.status, reply.json["stitch"]) == (200, "last")
        wanted = {"name": "new", "origins": ["https://new.example"], "subdomains": "separate"}
        reply = ask("POST", "/v1/projects", wanted)
        assert reply.status == 201, reply
        made = reply.json
        assert made == {**made, **wanted, "stitch": None, "visit_timeout_minutes": 30}
        one.keys["new"] = made["keys"]["sk"]
        assert one.get("/v1/projects", key="new").json["rows"][0]["name"] == "new"
        assert "already" in ask("POST", "/v1/projects", wanted).json["details"]["message"]
        # Of keys, those of the project that the request names.
        assert {row["project_id"] for row in ask("GET", "/v1/keys").json["rows"]} == {
            one.project_id
        }
        reply = ask("DELETE", f"/v1/keys/{label(other.keys['rk'])}")
        assert reply.status == 404
        headers["Threadline-Project"] = other.project_id
        assert ask("DELETE", f"/v1/keys/{label(other.keys['rk'])}").json["state"] == "revoked"
        assert server.stop() == 0
