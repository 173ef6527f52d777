"""Who may do what, from where: the documented 401 and 403, and no data of another project."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import forked
from tests.support import ORIGIN, Project, Server
from threadline.control import Control

BODIES: dict[str, object] = {
    "/v1/track": {"event": "x"},
    "/v1/batch": {"events": [{"event": "x"}]},
    "/v1/identify": {"anonymous_id": "a", "user_id": "u"},
    "/v1/forget": {"user_id": "nobody"},
}
READS: dict[str, dict[str, str]] = {
    "/v1/query": {},
    "/v1/export": {},
    "/v1/stats": {"metric": "persons"},
    "/v1/sources": {},
    "/v1/sessions": {},
    "/v1/users": {},
    "/v1/users/u": {},
    "/v1/users/u/events": {},
    "/v1/time-to-conversion": {"conversion": "signup"},
    "/v1/attribution": {"conversion": "signup"},
    "/v1/funnel": {"steps": "visit,signup"},
    "/v1/funnel/people": {"steps": "visit,signup", "step": "1"},
    "/v1/retention": {},
    "/v1/retention/people": {"cohort_start": "2026-05-01", "period": "0"},
    "/v1/paths": {"event": "signup"},
    "/v1/paths/people": {"event": "signup", "node": "visit"},
    "/v1/identity/shared-devices": {},
    "/v1/identity/explain": {"event_id": "e1"},
    "/v1/identity/stats": {},
    "/v1/identity/suspicious": {},
    "/v1/identity/likely-duplicates": {},
}
DECISIONS = [
    ("DELETE", "/v1/identity/links", {"anonymous_id": "a", "user_id": "u"}),
    ("PUT", "/v1/identity/links", {"anonymous_id": "a", "user_id": "u"}),
    ("PUT", "/v1/identity/aliases", {"user_id": "u", "alias_of": "v"}),
    ("DELETE", "/v1/identity/aliases", {"user_id": "u"}),
]


@pytest.mark.parametrize("path", [*BODIES, *READS])
def test_every_route_wants_a_key(project: Project, path: str) -> None:
    def error(**headers: str) -> tuple[int, str]:
        method = "POST" if path in BODIES else "GET"
        reply = project.send(method, path, "{}" if path in BODIES else None, headers)
        return reply.status, reply.error

    sk = project.keys["sk"]
    assert error() == (401, "missing_bearer_token")
    assert error(Authorization="Bearer ") == (401, "missing_bearer_token")
    assert error(Authorization=f"Basic {sk}") == (401, "missing_bearer_token")
    assert error(Authorization="Bearer hello") == (401, "malformed_api_key")
    assert error(Authorization=f"Bearer {sk[:20]}") == (401, "malformed_api_key")
    assert error(Authorization=f"Bearer {sk[:-1]}") == (401, "invalid_api_key")
    assert error(Authorization=f"Bearer {sk[:-1]}ä") == (401, "malformed_api_key")
    assert error(Authorization=f"Bearer {sk}x") == (401, "invalid_api_key")
    assert error(Authorization=f"Bearer rk{sk[2:]}") == (401, "key_kind_mismatch")
    assert error(Authorization=f"Bearer {sk.replace('live', 'test')}") == (401, "invalid_api_key")


@pytest.mark.parametrize("path", BODIES)
def test_who_may_write(project: Project, path: str) -> None:
    secret = "forget_requires_secret_key"
    refused = {
        "sk": None,
        "pk": secret if path == "/v1/forget" else None,
        "rk": secret if path == "/v1/forget" else "insufficient_scope",
    }
    for kind, error in refused.items():
        reply = project.post(path, BODIES[path], key=kind)
        assert (reply.json.get("error"), reply.status == 403) == (error, error is not None)


@pytest.fixture(scope="module")
def read(server: Server) -> Project:
    project = Project(server)
    project.track("x", event_id="e1", user_id="u")
    return project


@pytest.mark.parametrize("path", READS)
def test_who_may_read(read: Project, path: str) -> None:
    params = READS[path]
    assert read.get(path, key="sk", **params).status == 200
    assert read.get(path, key="rk", **params).status == 200
    reply = read.get(path, key="pk", **params)
    assert (reply.status, reply.error) == (403, "insufficient_scope")


@pytest.mark.parametrize(("method", "path", "body"), DECISIONS)
def test_who_may_decide(project: Project, method: str, path: str, body: object) -> None:
    for kind in ("pk", "rk"):
        reply = project.change(method, path, body, key=kind)
        assert (reply.status, reply.error) == (403, "insufficient_scope")
    assert project.change(method, path, body).status == 200
    assert project.change(method, path, {"user_id": 7}).error == "invalid_payload"
    assert project.change(method, path, []).error == "invalid_payload"


def test_account_keys_are_for_mcp(server: Server, project: Project) -> None:
    with Control(server.folder) as control:
        project.keys["ak"] = str(control.create_key(project.project_id, "ak"))
    reply = project.get("/v1/query", key="ak")
    assert (reply.status, reply.error) == (403, "key_kind_not_allowed")


def test_no_answer_holds_another_projects_data(server: Server, project: Project) -> None:
    other = Project(server)
    for number, tenant in enumerate((project, other)):
        # The same device, user and event ids: only the key tells them apart.
        tenant.track("visit", event_id="e1", anonymous_id="a", properties={"of": number})
        tenant.track("signup", event_id="e2", anonymous_id="a", user_id="u")
    for number, tenant in enumerate((project, other)):
        rows = tenant.stored()
        assert len(rows) == 2
        assert rows[1]["properties"] == f'{{"of": {number}}}'
        assert len(tenant.journey("u")) == 2
        assert len(tenant.ask("/v1/users")["rows"]) == 1
        answer = tenant.ask("/v1/time-to-conversion", conversion="signup")
        assert answer["rows"][0]["persons"] == 1
    project.post("/v1/forget", {"user_id": "u"})
    assert project.stored() == []
    assert len(other.journey("u")) == 2


def test_no_answer_moves_with_another_projects_data(server: Server, project: Project) -> None:
    def tell(tenant: Project, users: str) -> None:
        for minute, user in enumerate(users):
            at = f"2026-05-01T10:{minute:02}"
            events = [("visit", None), ("signup", user), ("visit", None)]
            tenant.batch(
                [
                    {
                        "event": event,
                        "event_id": f"e{3 * minute + second + 1}",
                        "timestamp": f"{at}:{second:02}Z",
                        "anonymous_id": "a",
                        "user_id": user,
                    }
                    for second, (event, user) in enumerate(events)
                ]
            )

    tell(project, "u")
    before = {path: project.get(path, **params).body for path, params in READS.items()}
    other = Project(server)
    tell(other, "vuwu")
    for method, path, body in (DECISIONS[0], DECISIONS[2]):
        assert other.change(method, path, body).json["changed"]
    assert other.get("/v1/stats", metric="persons").body != before["/v1/stats"]
    for path, params in READS.items():
        assert project.get(path, **params).body == before[path], path


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "",
        "null",
        "https://shop.example.evil.example",
        "http://shop.example",
        "https://shop.example:8443",
        "https://sub.shop.example",
        "https://evilshop.example",
    ],
)
def test_browser_keys_work_from_listed_origins_only(project: Project, origin: str | None) -> None:
    headers = {"Authorization": f"Bearer {project.keys['pk']}"}
    if origin is not None:
        headers["Origin"] = origin
    reply = project.send("POST", "/v1/track", '{"event":"x"}', headers)
    assert (reply.status, reply.error) == (403, "origin_not_allowed")
    # Readable, so that the page learns why; but nothing says that it may.
    assert reply.headers["Access-Control-Allow-Origin"] == ("*" if origin else None)
    assert project.stored() == []


@pytest.mark.parametrize(
    ("listed", "origin"),
    [
        ("https://shop.example", "https://shop.example"),
        ("https://Shop.Example/", "https://shop.example"),
        ("https://shop.example:443", "https://shop.example"),
        ("https://*.shop.example", "https://www.shop.example"),
        ("https://*.shop.example", "https://a.b.shop.example"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("https://münchen.example", "https://xn--mnchen-3ya.example"),
        ("http://[0::1]:3000", "http://[::1]:3000"),
        ("https://*.shop.example:8443", "https://www.shop.example:8443"),
    ],
)
def test_origins_may_be_patterns(server: Server, listed: str, origin: str) -> None:
    project = Project(server, origins=[listed])
    headers = {"Authorization": f"Bearer {project.keys['pk']}", "Origin": origin}
    reply = project.send("POST", "/v1/track", '{"event":"x"}', headers)
    assert reply.status == 202
    assert reply.headers["Access-Control-Allow-Origin"] == origin
    assert reply.headers["Vary"] == "Origin"
    error = project.send("POST", "/v1/track", "{}", headers)
    assert error.status == 400
    assert error.headers["Access-Control-Allow-Origin"] == origin, "or the page cannot read why"


@pytest.mark.parametrize(
    "origin",
    [
        *("https://evil.example/.wild.example", "https://evil.example#.wild.example"),
        *("https://evil.example?.wild.example", "https://evil.example\\.wild.example"),
        *("https://evil.example%00.wild.example", "https://.wild.example"),
        *("https://*.wild.example", "https://a@b.wild.example", "https://a..wild.example"),
        *("https://wild.example", "https://www.wild.example:99999", "https://www.wild.example."),
        f"https://{'a.' * 2000}wild.example",
    ],
)
def test_junk_matches_no_pattern_and_is_not_echoed(server: Server, origin: str) -> None:
    project = Project(server, origins=["https://*.wild.example"])
    headers = {"Authorization": f"Bearer {project.keys['pk']}", "Origin": origin}
    reply = project.send("POST", "/v1/track", '{"event":"x"}', headers)
    assert (reply.status, reply.error) == (403, "origin_not_allowed")
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    reply = project.send("OPTIONS", "/v1/track", headers=asked)
    assert (reply.status, reply.error) == (403, "origin_not_allowed")
    assert "Access-Control-Allow-Origin" not in reply.headers
    as_server = {"Authorization": f"Bearer {project.keys['sk']}", "Origin": origin}
    reply = project.send("POST", "/v1/track", '{"event":"x"}', as_server)
    assert reply.status == 202
    assert "Access-Control-Allow-Origin" not in reply.headers


def test_preflights_are_answered_without_a_key(project: Project) -> None:
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    reply = project.send("OPTIONS", "/v1/track", headers={**asked, "Origin": ORIGIN})
    assert reply.status == 204
    assert reply.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Authorization" in reply.headers["Access-Control-Allow-Headers"]
    assert "POST" in reply.headers["Access-Control-Allow-Methods"]
    reply = project.send("OPTIONS", "/v1/track", headers={**asked, "Origin": "https://evil.test"})
    assert (reply.status, reply.error) == (403, "origin_not_allowed")
    assert "Access-Control-Allow-Origin" not in reply.headers


def threadline(server: Server, *arguments: str) -> str:
    done = forked.run(*arguments, "--data", str(server.folder))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_revoking_and_rotating_work_at_once(server: Server, project: Project) -> None:
    prefix = project.keys["rk"].split("_")[2]
    assert project.get("/v1/query").status == 200
    rotated = threadline(server, "key", "rotate", prefix).splitlines()[0]
    assert project.get("/v1/query").error == "invalid_api_key"
    project.keys["rk"] = rotated
    assert project.get("/v1/query").status == 200
    said = threadline(server, "key", "revoke", rotated)
    assert rotated.rpartition("_")[0] in said
    assert rotated not in said
    assert project.get("/v1/query").error == "invalid_api_key"


def test_a_revoked_key_never_works_again_under_load(server: Server, project: Project) -> None:
    """Whatever is sent after the command has returned is refused, however busy the server is."""
    stop = threading.Event()

    def send() -> None:
        mine = project.again()
        while not stop.is_set():
            assert mine.post("/v1/track", {"event": "busy"}).status == 202

    with ThreadPoolExecutor(3) as pool:
        sending = [pool.submit(send) for _ in range(3)]
        try:
            with Control(server.folder) as control:
                for _ in range(20):
                    project.keys["new"] = str(control.create_key(project.project_id, "rk"))
                    assert project.get("/v1/identity/explain", key="new").status == 400
                    control.revoke_key(project.keys["new"])
                    reply = project.get("/v1/identity/explain", key="new")
                    assert (reply.status, reply.error) == (401, "invalid_api_key")
        finally:
            stop.set()
        for each in sending:
            each.result()


def test_a_rotated_key_works_until_it_ends(server: Server, project: Project) -> None:
    old = project.keys["rk"]
    new = threadline(server, "key", "rotate", old, "--keep-for", "24h").splitlines()[0]
    assert project.get("/v1/query").status == 200
    project.keys["rk"] = new
    assert project.get("/v1/query").status == 200
    with Control(server.folder) as control:
        prefix = old.split("_")[2]
        with control._write_and_tell() as db:
            db.execute("UPDATE keys SET expires_ms = 1000 WHERE prefix = ?", (prefix,))
    project.keys["rk"] = old
    reply = project.get("/v1/query")
    assert (reply.status, reply.error) == (401, "invalid_api_key")
    assert "expired at 1970-01-01T00:00:01.000Z" in reply.json["details"]["message"]
    headers = {"Authorization": f"Bearer {old}", "Content-Type": "application/json"}
    assert project.send("POST", "/v1/track", '{"event":"x"}', headers).status == 401


def test_browser_keys_have_a_rate_limit_per_address(server: Server) -> None:
    project = Project(server)
    replies = [project.post("/v1/batch", {"events": [{"event": "x"}]}, key="pk") for _ in range(40)]
    refused = [reply for reply in replies if reply.status != 202]
    assert 20 <= len(replies) - len(refused) < 40
    assert {reply.error for reply in refused} == {"rate_limited"}
    assert refused[0].headers["Retry-After"] == "1"
    assert 0 < refused[0].json["details"]["retry_after_s"] <= 1
    assert project.post("/v1/track", {"event": "x"}, key="pk").status == 202, "its own bucket"
    accepted = [project.post("/v1/batch", {"events": [{"event": "x"}]}) for _ in range(40)]
    assert {reply.status for reply in accepted} == {202}, "servers have no limit"
