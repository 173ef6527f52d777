"""Why nothing arrives: what was refused is counted by reason, and nothing personal is kept."""

import pytest

from tests.support import ORIGIN, Json, Project, Server

OTHER = "https://other.example"


def rows(project: Project) -> dict[tuple[str, bool], Json]:
    """By reason, and whether it is this project's."""
    answer = project.ask("/v1/refusals")
    return {(row["reason"], row["project_id"] is not None): row for row in answer["rows"]}


def send(project: Project, path: str, key: str, body: str, **headers: str) -> int:
    given = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **headers}
    return project.send("POST", path, body, given).status


def test_reasons_of_a_project_are_its_own(server: Server, project: Project) -> None:
    other = Project(server)
    pk, sk, rk = (project.keys[kind] for kind in ("pk", "sk", "rk"))
    assert send(project, "/v1/track", pk, '{"event": "x"}', Origin=OTHER) == 403
    assert send(project, "/v1/batch", pk, '{"events": []}', Origin=ORIGIN) == 400
    assert send(project, "/v1/track", sk, '{"event": ""}') == 400
    assert send(project, "/v1/track", rk, '{"event": "x"}') == 403
    found = rows(project)
    mine = {reason: row for (reason, own), row in found.items() if own}
    assert {reason: row["count"] for reason, row in mine.items()} == {
        "origin_not_allowed": 1,
        "invalid_payload": 2,
        "insufficient_scope": 1,
    }
    origin = mine["origin_not_allowed"]
    assert (origin["origin"], origin["route"]) == (OTHER, "/v1/track")
    assert origin["project_id"] == project.project_id
    assert origin["meaning"].endswith("the project does not list.")
    # The last of them was no page's.
    last = mine["invalid_payload"]
    assert (last["origin"], last["route"]) == (None, "/v1/track")
    assert last["first_at"] <= last["last_at"]
    assert not [own for _, own in rows(other) if own]
    assert send(project, "/v1/track", sk, '{"event": "x"}') == 202
    assert rows(project) == found


def test_what_is_nobodys_is_everybodys_to_see(server: Server, project: Project) -> None:
    sk = project.keys["sk"]
    before = {at: row["count"] for at, row in rows(project).items()}
    assert send(project, "/v1/track", f"{sk[:-1]}!", "{}") == 401
    assert send(project, "/v1/track", f"{sk[:-3]}xyz", "{}", Origin=OTHER) == 401
    assert project.send("POST", "/v1/track", "{}").status == 401
    after = rows(Project(server))
    for reason in ("malformed_api_key", "invalid_api_key", "missing_bearer_token"):
        assert after[reason, False]["count"] == before.get((reason, False), 0) + 1
    assert after["invalid_api_key", False]["origin"] == OTHER


def test_a_preflight_from_elsewhere_is_seen(project: Project) -> None:
    """The request itself never comes."""
    before = rows(project).get(("origin_not_allowed", False), {"count": 0})["count"]
    asked = {"Origin": "https://nobody.example", "Access-Control-Request-Method": "POST"}
    for path in ("/v1/batch", "/v1/stats", "/nowhere"):
        assert project.send("OPTIONS", path, headers=asked).status == 403
    row = rows(project)["origin_not_allowed", False]
    assert row["count"] == before + 1
    assert (row["origin"], row["route"]) == ("https://nobody.example", "/v1/batch")


@pytest.mark.parametrize(
    ("origin", "kept"),
    [
        ("null", "null"),
        ("https://a.example:8443", "https://a.example:8443"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("https://lovelace:secret@a.example", None),
        ("https://a.example/users/lovelace", None),
        ("lovelace@a.example", None),
        (f"https://{'a' * 9000}.example", None),
        ("<script>alert(1)</script>", None),
    ],
)
def test_nothing_but_an_origin_is_kept(project: Project, origin: str, kept: str | None) -> None:
    body = '{"event": "x", "user_id": "lovelace@a.example"}'
    assert send(project, "/v1/track", project.keys["pk"], body, Origin=origin) == 403
    reply = project.get("/v1/refusals")
    row = next(row for row in reply.json["rows"] if row["project_id"])
    assert row["origin"] == kept
    assert b"lovelace" not in reply.body
    assert project.keys["pk"].encode() not in reply.body


def test_who_may_see_them(project: Project) -> None:
    answer = project.ask("/v1/refusals")
    assert answer["since"] in answer["note"]
    assert "restart" in answer["note"]
    assert project.get("/v1/refusals", key="sk").status == 200
    assert project.get("/v1/refusals", key="pk").error == "insufficient_scope"
    assert project.send("GET", "/v1/refusals").error == "missing_bearer_token"
    assert project.get("/v1/refusals", limit=3).error == "invalid_params"
    # What a question refuses is no event that did not arrive.
    before = rows(project)
    assert project.get("/v1/stats", metric="none").status == 400
    assert rows(project) == before
