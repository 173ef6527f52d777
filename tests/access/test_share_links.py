"""A share link shows its page, with its filters, time and policy, and nothing else; until it is
revoked."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from tests.access.browser import Browser
from tests.support import Json, Project, Reply

OUTSIDE = (403, "outside_share_link")


def share(browser: Browser, page: str = "overview", query: str = "") -> Json:
    given = {"page": page, "query": query, "name": "For the board"}
    reply = browser.send("POST", "/v1/share-links", given)
    assert reply.status == 200, reply
    return reply.json


def by_link(project: Project, token: str, path: str, **params: Any) -> Reply:
    """As somebody without an account asks."""
    query = urlencode({name.rstrip("_"): value for name, value in params.items()})
    headers = {"Authorization": f"Bearer {token}", "Sec-Fetch-Site": "same-origin"}
    return project.send("GET", f"{path}?{query}" if query else path, headers=headers)


def ask(project: Project, token: str, path: str, **params: Any) -> tuple[int, str]:
    reply = by_link(project, token, path, **params)
    return reply.status, reply.json.get("error", "")


def today(ago: int = 0) -> str:
    return (datetime.now(UTC) - timedelta(days=ago)).date().isoformat()


def test_it_shows_its_page_to_anybody_until_it_is_revoked(editor: Browser, shop: Project) -> None:
    made = share(editor, "overview", "from=2026-05-01&to=2026-06-01&stitch=first")
    address = urlsplit(made["link"])
    assert f"{address.scheme}://{address.netloc}" == shop.url
    assert address.path == f"/dashboard/share/{made['token']}"
    assert made["embed"] == f"{shop.url}/dashboard/embed/{made['token']}"
    assert made["token"].startswith("share_")

    told = by_link(shop, made["token"], "/v1/auth/me").json
    assert told["member"] is None
    assert [each["project_id"] for each in told["projects"]] == [shop.project_id]
    assert told["shared"] == {
        "name": "For the board", "page": "overview",
        "query": "from=2026-05-01&to=2026-06-01&stitch=first",
    }  # fmt: skip

    shop.track("signup", user_id="u1", timestamp="2026-05-02")
    shop.stored()
    asked = {"from_": "2026-05-01", "to": "2026-06-01", "stitch": "first", "metric": "persons"}
    found = by_link(shop, made["token"], "/v1/stats", **asked)
    assert found.json["rows"][0]["value"] == 1
    assert found.json == shop.ask("/v1/stats", **asked)

    (listed,) = editor.get("/v1/share-links").json["rows"]
    assert made["token"] not in str(listed)
    assert (listed["share_id"], listed["page"]) == (made["share_id"], "overview")
    path = f"/v1/share-links/{made['share_id']}"
    assert editor.send("DELETE", path).status == 200
    assert editor.send("DELETE", path).status == 404
    assert ask(shop, made["token"], "/v1/stats", **asked) == (401, "invalid_link")
    assert ask(shop, made["token"], "/v1/auth/me") == (401, "invalid_link")
    assert editor.get("/v1/share-links").json["rows"] == []


@pytest.mark.parametrize(
    ("page", "paths"),
    [
        ("overview", ["stats", "visits", "sources", "identity/stats", "attribution"]),
        ("attribution", ["attribution", "time-to-conversion"]),
        ("funnels", ["funnel", "stats"]),
        ("retention", ["retention"]),
        ("paths", ["paths"]),
        ("people", ["users"]),
        ("people/ada%2Flove", ["users/ada%2Flove", "users/ada%2Flove/events"]),
    ],
)
def test_each_page_asks_its_own_questions_only(
    editor: Browser, shop: Project, page: str, paths: list[str]
) -> None:
    token = share(editor, page, "range=all")["token"]
    shop.track("x", user_id="ada/love")
    needed: dict[str, dict[str, str]] = {
        "attribution": {"conversion": "x"}, "time-to-conversion": {"conversion": "x"},
        "funnel": {"steps": "x,y"}, "paths": {"event": "x"}, "query": {}, "users": {},
    }  # fmt: skip
    for path in paths:
        reply = by_link(shop, token, f"/v1/{path}", **needed.get(path, {}))
        assert reply.status == 200, reply
    everything = [
        *("stats", "visits", "sources", "users", "users/ada%2Flove", "users/bo", "funnel"),
        *("query", "export", "schema", "paths", "retention", "funnel/people", "accounts"),
        *("retention/people", "attribution/why", "identity/shared-devices", "users/bo/events"),
        *("share-links", "members", "auth/sessions", "segments/x", "sql", "track"),
    ]
    allowed = {*paths, "visits", "sources", "stats", "identity/stats"}
    if page.startswith("people/"):
        allowed = set(paths)
    for path in everything:
        if path in allowed:
            continue
        status, error = ask(shop, token, f"/v1/{path}", **needed.get(path, {}))
        assert (status, error) in (
            OUTSIDE, (401, "not_signed_in"), (405, "method_not_allowed")
        ), path  # fmt: skip


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_it_changes_nothing(editor: Browser, shop: Project, method: str) -> None:
    token = share(editor)["token"]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    paths = {
        "POST": ["/v1/track", "/v1/batch", "/v1/forget", "/v1/share-links", "/v1/annotations"],
        "PUT": ["/v1/goals/x", "/v1/identity/links"],
        "DELETE": ["/v1/goals/x", "/v1/identity/aliases"],
    }[method]
    for path in paths:
        reply = shop.send(method, path, '{"event": "x"}', headers)
        assert (reply.status, reply.error) == OUTSIDE, path


FIXED = "from=2026-05-01&to=2026-06-01&filters=country==DE&stitch=last&compare=previous_period"
SAME: dict[str, str] = {
    "from_": "2026-05-01", "to": "2026-06-01", "filters": "country==DE", "stitch": "last"
}  # fmt: skip


@pytest.mark.parametrize(
    "changed",
    [
        {"filters": "country==FR"},
        {"filters": ""},
        {"filters": "country==DE;user_id==u1"},
        {"from_": "2026-04-01"},
        {"from_": "all"},
        {"to": "2026-07-01"},
        {"stitch": "first"},
        {"stitch": ""},
        {"compare": "previous_year"},
        {"as_of": "2026-05-20"},
        {"include_bots": "true"},
        {"per": "account"},
        {"group_by": "user_id"},
        {"group_by": "source,properties.email"},
        {"group_by": "traits.email"},
        {"event": "signup{user_id=u1}"},
    ],
)
def test_what_is_asked_is_what_was_shared(
    editor: Browser, shop: Project, changed: dict[str, str]
) -> None:
    token = share(editor, "overview", FIXED)["token"]
    assert ask(shop, token, "/v1/stats", **SAME) == (200, "")
    wanted = {name: value for name, value in {**SAME, **changed}.items() if value}
    reply = by_link(shop, token, "/v1/stats", **wanted)
    assert (reply.status, reply.error) == OUTSIDE
    (name,) = changed
    assert f"{name.rstrip('_')} has to be" in reply.json["details"]["message"]


def test_what_a_page_does_besides_is_its_own(editor: Browser, shop: Project) -> None:
    token = share(editor, "overview", FIXED)["token"]
    for own in (
        {"compare": "previous_period", "metric": "visits"},
        {"group_by": "source,medium"},
        {"interval": "day", "metric": "persons"},
        {"event": "signup", "tz": "UTC"},
        {"_cache": "1"},
    ):
        assert ask(shop, token, "/v1/stats", **SAME, **own) == (200, ""), own
    grouped = share(editor, "overview", f"{FIXED}&by=properties.plan")["token"]
    assert ask(shop, grouped, "/v1/stats", **SAME, group_by="properties.plan") == (200, "")


@pytest.mark.parametrize(
    ("query", "right", "wrong"),
    [
        ("", {"from_": today(29)}, {"from_": today(40)}),
        ("range=7d", {"from_": today(6)}, {}),
        ("range=7d", {"from_": "7d"}, {"from_": today(6), "to": today(1)}),
        ("range=mtd", {"from_": "mtd"}, {"from_": "ytd"}),
        ("range=all", {}, {"from_": "1d"}),
        (
            "range=2026-05-01..2026-05-31",
            {"from_": "2026-05-01", "to": "2026-06-01"},
            {"from_": "2026-05-01"},
        ),
    ],
)
def test_the_range_of_the_address_is_the_time_that_is_asked_for(
    editor: Browser, shop: Project, query: str, right: dict[str, str], wrong: dict[str, str]
) -> None:
    token = share(editor, "overview", query)["token"]
    assert ask(shop, token, "/v1/stats", **right) == (200, "")
    assert ask(shop, token, "/v1/stats", **wrong) == OUTSIDE


def test_a_policy_that_the_address_leaves_out_is_the_projects(
    editor: Browser, shop: Project
) -> None:
    token = share(editor, "overview", "range=all")["token"]
    assert ask(shop, token, "/v1/stats", stitch="next") == (200, "")
    assert ask(shop, token, "/v1/stats", stitch="none") == OUTSIDE


def test_one_persons_page_is_of_one_person(editor: Browser, shop: Project) -> None:
    shop.batch([
        {"event": "x", "user_id": "ada", "event_id": "e1", "anonymous_id": "a"},
        {"event": "x", "user_id": "bo", "event_id": "e2", "anonymous_id": "b"},
    ])  # fmt: skip
    shop.stored()
    token = share(editor, "people/ada")["token"]
    assert ask(shop, token, "/v1/users/ada") == (200, "")
    assert ask(shop, token, "/v1/users/ada/events", phase="before") == (200, "")
    assert ask(shop, token, "/v1/users/bo") == OUTSIDE
    assert ask(shop, token, "/v1/users/ada/events", user_id="bo")[0] in (400, 403)
    assert ask(shop, token, "/v1/identity/explain", event_id="e2") == OUTSIDE


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"page": "settings"}, "page"),
        ({"page": "live"}, "page"),
        ({"page": ""}, "page"),
        ({"page": "overview/x"}, "page"),
        ({"query": "a=1&a=2"}, "query"),
        ({"query": "x" * 5000}, "query"),
        ({"name": ""}, ""),
        ({"nmae": "x"}, "nmae"),
    ],
)
def test_what_cannot_be_shared(editor: Browser, given: dict[str, str], field: str) -> None:
    body = {"page": "overview", "name": "x", **given}
    reply = editor.send("POST", "/v1/share-links", body)
    assert (reply.status, reply.error) == (400, "invalid_payload")
    assert not field or field in reply.json["details"]["fieldErrors"]


def test_a_key_shares_too_and_only_its_own(shop: Project, editor: Browser) -> None:
    body = {"page": "overview", "name": "x"}
    assert shop.post("/v1/share-links", body).status == 200
    assert shop.post("/v1/share-links", body, key="rk").error == "insufficient_scope"
    (row,) = editor.get("/v1/share-links").json["rows"]
    assert row["created_by"] == shop.keys["sk"].split("_")[2]


@pytest.mark.parametrize("token", ["share_", "share_x", "share_" + "x" * 43, "share_" + "x" * 9999])
def test_a_token_that_is_none(shop: Project, token: str) -> None:
    assert ask(shop, token, "/v1/stats") == (401, "invalid_link")
