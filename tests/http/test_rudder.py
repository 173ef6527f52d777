"""What RudderStack's browser client asks for besides the Segment spec."""

import base64
import json

from tests.support import ORIGIN, Json, Project, Reply


def ask(project: Project, method: str = "GET", key: str = "pk", **headers: str) -> Reply:
    packed = base64.b64encode(f"{project.keys[key]}:".encode()).decode()
    given = {"Authorization": f"Basic {packed}", "Origin": ORIGIN, **headers}
    return project.send(method, "/sourceConfig/?p=npm&v=3.34.1&build=modern", headers=given)


def test_the_configuration_has_no_destinations(project: Project) -> None:
    reply = ask(project)
    assert reply.status == 200
    source = reply.json["source"]
    assert source.pop("id")
    assert source == {"enabled": True, "config": {}, "destinations": []}
    assert reply.headers["Access-Control-Allow-Origin"] == ORIGIN
    reply = ask(project, "HEAD")  # it asks so whether anything blocks it
    assert (reply.status, reply.body) == (200, b"")
    by_address = f"/sourceConfig?writeKey={project.keys['pk']}"
    assert project.send("GET", by_address, headers={"Origin": ORIGIN}).status == 200


def test_the_configuration_is_for_pages_of_the_project(project: Project) -> None:
    reply = ask(project, Origin="https://elsewhere.example")
    assert (reply.status, reply.error) == (403, "origin_not_allowed")
    reply = ask(project, key="sk")
    assert (reply.status, reply.error) == (403, "key_kind_not_allowed")
    reply = project.send("GET", "/sourceConfig/", headers={"Origin": ORIGIN})
    assert (reply.status, reply.error) == (401, "missing_bearer_token")
    assert reply.headers["Access-Control-Allow-Origin"] == "*"  # so that the page can read why
    reply = project.send("POST", "/sourceConfig/", "{}", {"Origin": ORIGIN})
    assert (reply.status, reply.error) == (405, "method_not_allowed")


def test_its_preflight_is_answered(project: Project) -> None:
    headers = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "anonymousid,authorization,content-type,sentat",
    }
    reply = project.send("OPTIONS", "/v1/page", headers=headers)
    assert reply.status == 204
    assert "anonymousid" in reply.headers["Access-Control-Allow-Headers"]


def test_a_beacon_has_the_key_in_its_address(project: Project) -> None:
    call: Json = {"type": "track", "event": "x", "anonymousId": "v1", "messageId": "m1"}
    body = json.dumps({"batch": [call]})
    headers = {"Origin": ORIGIN, "Content-Type": "text/plain"}

    def send(token: str) -> Reply:
        return project.send("POST", f"/beacon/v1/batch?writeKey={token}", body, headers)

    for _ in range(2):
        reply = send(project.keys["pk"])
        assert (reply.status, reply.json) == (200, {"success": True})
    assert [row["event_id"] for row in project.stored()] == ["m1"]
    reply = send(project.keys["sk"])
    assert (reply.status, reply.error) == (403, "key_kind_not_allowed")
    assert send("").error == "missing_bearer_token"
    assert send("nonsense").error == "key_kind_not_allowed"
    assert send("pk_live_%00%FF").status == 401
    # Where a header has a key, that one counts.
    headers["Authorization"] = f"Bearer {project.keys['pk']}"
    assert send(project.keys["sk"]).status == 200


def test_no_referrer_has_a_name_of_its_own(project: Project) -> None:
    page = {"url": "https://shop.example/", "referrer": "$direct"}
    call = {"anonymousId": "v1", "userId": "", "messageId": "m1", "context": {"page": page}}
    assert project.post("/v1/page", {**call, "properties": page}).status == 200
    (row,) = project.stored()
    assert (row["source"], row["referrer"], row["user_id"]) == ("direct", "", None)
    assert json.loads(row["properties"])["referrer"] == "$direct"
