"""What each role may ask: every route of the reference, and none that takes events."""

import re
from typing import Any

import pytest

from tests.access.browser import OWN, Browser, signed_in
from tests.support import ORIGIN, Json, Project, Server
from threadline.contract.access import Role

ROLES: tuple[Role, ...] = ("viewer", "editor", "owner")
TELLS = re.compile(r"Member: ([a-z or]+)\.")
INGEST = [
    "/v1/track",
    "/v1/batch",
    "/v1/identify",
    "/v1/page",
    "/v1/screen",
    "/v1/group",
    "/v1/alias",
]
# Taken back at once: whoever tries signs out.
ENDS_ITSELF = {("post", "/v1/auth/sign-out")}


@pytest.fixture(scope="module")
def everybody(house: Server) -> dict[str, Browser]:
    project = Project(house)
    return {role: signed_in(house, project.again(), role) for role in ROLES}


@pytest.fixture(scope="module")
def document(everybody: dict[str, Browser]) -> Json:
    return everybody["owner"].get("/openapi.json").json


def operations(document: Json) -> list[tuple[str, str, Any]]:
    return [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_the_reference_says_who_may_and_it_is_so(
    everybody: dict[str, Browser], document: Json
) -> None:
    """Asked with an empty body and made-up ids: who may is told what is wrong with those."""
    seen: set[str] = set()
    for method, path, operation in operations(document):
        if (method, path) in ENDS_ITSELF:
            continue
        told = TELLS.search(operation.get("description", ""))
        may = told[1].split(" or ") if told else []
        keys = {"key": []} in operation.get("security", [])
        ways = {name for way in operation.get("security", []) for name in way}
        assert ("session" in ways) == bool(may), path
        for role, browser in everybody.items():
            if may == list(ROLES) and role != "viewer":
                continue  # whoever may do more may do this, too
            address = re.sub(r"\{\w+\}", "no-such-thing", path)
            reply = browser.send(method.upper(), address, None if method == "get" else {})
            error = reply.json.get("error", "") if reply.status >= 400 else ""
            who = (method, path, role, reply.status, error)
            if role in may:
                assert reply.status not in (401, 403), who
            elif may:
                assert error == "insufficient_role", who
            elif keys:
                assert error == "missing_bearer_token", who
            seen.add(error)
    assert {"insufficient_role", "missing_bearer_token"} <= seen


@pytest.mark.parametrize(
    ("method", "path", "least"),
    [
        ("GET", "/v1/users", "viewer"),
        ("GET", "/v1/stats", "viewer"),
        ("GET", "/v1/schema", "viewer"),
        ("GET", "/v1/goals", "viewer"),
        ("PUT", "/v1/goals/sale", "editor"),
        ("DELETE", "/v1/goals/sale", "editor"),
        ("POST", "/v1/annotations", "editor"),
        ("GET", "/v1/share-links", "editor"),
        ("POST", "/v1/share-links", "editor"),
        ("PUT", "/v1/identity/aliases", "owner"),
        ("DELETE", "/v1/identity/links", "owner"),
        ("POST", "/v1/forget", "owner"),
        ("GET", "/v1/members", "owner"),
        ("POST", "/v1/members", "owner"),
        ("POST", "/v1/sql", None),
        ("POST", "/v1/track", None),
    ],
)
def test_what_was_decided(
    everybody: dict[str, Browser], method: str, path: str, least: Role | None
) -> None:
    may = ROLES[ROLES.index(least) :] if least else ()
    for role, browser in everybody.items():
        reply = browser.send(method, path, None if method == "GET" else {})
        refused = reply.status in (401, 403)
        assert refused == (role not in may), (role, reply)


@pytest.mark.parametrize("path", INGEST)
def test_a_cookie_sends_no_events(everybody: dict[str, Browser], path: str) -> None:
    owner = everybody["owner"]
    body = {"event": "x", "events": [], "userId": "u", "anonymous_id": "a", "user_id": "u"}
    reply = owner.send("POST", path, body)
    assert (reply.status, reply.error) == (401, "missing_bearer_token")
    beacon = owner.raw("POST", path, body, {**OWN, "Origin": ORIGIN})
    assert (beacon.status, beacon.error) == (401, "missing_bearer_token")


def test_with_a_key_the_cookie_does_not_count(house: Server, shop: Project) -> None:
    owner = signed_in(house, shop, "owner")
    for name, error in (("rk", "insufficient_scope"), ("pk", "insufficient_scope")):
        headers = {"Authorization": f"Bearer {shop.keys[name]}", "Origin": ORIGIN}
        reply = owner.raw("PUT", "/v1/goals/x", {"event": "x"}, {**headers, **owner.about})
        assert (reply.status, reply.error) == (403, error)
    reply = owner.send("GET", "/v1/users", Authorization="Bearer sk_live_no_such")
    assert reply.error == "malformed_api_key"
    # A key says which project; the header and the origin of a page do not matter then.
    headers = {"Authorization": f"Bearer {shop.keys['sk']}", "Threadline-Project": "prj_other"}
    assert owner.raw("PUT", "/v1/goals/x", {"event": "x"}, headers).status == 200


def test_which_project(house: Server, shop: Project, viewer: Browser) -> None:
    other = Project(house)
    shop.track("here")
    other.track("there")

    def asked(path: str, **headers: str) -> Json:
        reply = viewer.raw("GET", path, None, {**OWN, **headers})
        return {"error": reply.error} if reply.status >= 400 else reply.json

    def event(found: Json) -> str:
        return str(found["rows"][0]["event_name"])

    shop.stored()
    other.stored()
    assert event(asked("/v1/query", **{"Threadline-Project": shop.project_id})) == "here"
    assert event(asked(f"/v1/query?_project={other.project_id}")) == "there"
    # Every member sees every project; none is taken by itself where there are several.
    both = {"Threadline-Project": shop.project_id}
    assert event(asked(f"/v1/query?_project={other.project_id}", **both)) == "here"
    assert asked("/v1/query")["error"] == "invalid_params"
    assert asked("/v1/query?_project=")["error"] == "invalid_params"
    for unknown in ("prj_000000000000", "'", "%00", shop.project_id.upper()):
        assert asked(f"/v1/query?_project={unknown}")["error"] == "not_found"


def test_a_role_counts_from_the_next_request(house: Server, owner: Browser, shop: Project) -> None:
    other = signed_in(house, shop.again(), "owner")
    member_id = other.me()["member"]["member_id"]
    path = f"/v1/members/{member_id}"
    assert owner.send("PUT", path, {"role": "viewer"}).json["role"] == "viewer"
    assert other.get("/v1/members").error == "insufficient_role"
    assert other.get("/v1/users").status == 200
    assert owner.send("DELETE", path).status == 200
    assert other.get("/v1/users").error == "not_signed_in"
    assert other.email is None


def test_what_a_member_gets_is_in_no_cache(viewer: Browser) -> None:
    for path in ("/v1/users", "/v1/auth/me", "/v1/auth/sessions", "/v1/members"):
        reply = viewer.get(path)
        assert "no-store" in reply.headers["Cache-Control"], path
        assert "Cookie" in reply.headers["Vary"]
        assert reply.headers.get("Access-Control-Allow-Origin") in (None, "*")
        assert "Access-Control-Allow-Credentials" not in reply.headers
