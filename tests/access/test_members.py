"""Members by route and by command: invited, changed, removed, and always an owner left."""

import json
from pathlib import Path

import pytest

from tests.access.browser import Browser, add, fresh_email
from tests.cli.test_commands import fails, ok
from tests.support import Project, Server
from threadline.contract.access import MemberRow


def test_an_invitation_signs_in_and_a_password_follows(owner: Browser, shop: Project) -> None:
    email = fresh_email()
    reply = owner.send("POST", "/v1/members", {"email": email.upper(), "role": "editor"})
    assert reply.status == 200, reply
    invited = reply.json
    assert (invited["email"], invited["role"], invited["has_password"]) == (email, "editor", False)
    assert (invited["name"], invited["last_seen_at"]) == (email.partition("@")[0], None)
    base, _, token = invited["link"].rpartition("/dashboard/link/")
    assert base == shop.url
    browser = Browser(shop.again())
    assert browser.send("POST", "/v1/auth/link", {"token": token}).json["member"]["email"] == email
    given = {"password": "a few new threads"}
    assert browser.send("PUT", "/v1/auth/password", given).status == 200
    assert Browser(shop.again()).sign_in(email, "a few new threads").status == 200
    rows = {row["email"]: row for row in owner.get("/v1/members").json["rows"]}
    assert rows[email]["has_password"]
    assert rows[email]["last_seen_at"]


def test_who_has_lost_the_link_gets_another(owner: Browser, shop: Project, house: Server) -> None:
    member = add(house, "viewer")
    path = f"/v1/members/{member.member_id}/link"
    first, second = (owner.send("POST", path).json["link"] for _ in range(2))
    assert first != second
    token = second.rpartition("/")[2]
    assert Browser(shop.again()).send("POST", "/v1/auth/link", {"token": token}).status == 200
    assert owner.send("POST", "/v1/members/mem_000000000000/link").status == 404


@pytest.mark.parametrize(
    ("given", "status", "error"),
    [
        ({"email": "first@people.example"}, 409, "already_exists"),
        ({"email": " FIRST@people.example"}, 409, "already_exists"),
        ({"email": "x"}, 400, "invalid_payload"),
        ({"email": "a@b@c"}, 400, "invalid_payload"),
        ({"email": "a\r\nb@x.example"}, 400, "invalid_payload"),
        ({"role": "admin"}, 400, "invalid_payload"),
        ({"role": None}, 400, "invalid_payload"),
        ({"name": "x" * 201}, 400, "invalid_payload"),
        ({"name": "a\u0000b"}, 400, "invalid_payload"),
        ({"password": "x"}, 400, "invalid_payload"),
    ],
)
def test_whom_nobody_can_invite(
    owner: Browser, given: dict[str, object], status: int, error: str
) -> None:
    body = {"email": fresh_email(), "role": "viewer", **given}
    reply = owner.send("POST", "/v1/members", body)
    assert (reply.status, reply.error) == (status, error)


def test_the_last_owner_stays(folder: Path) -> None:
    with Server(folder) as server:
        shop = Project(server)
        first = add(server, "owner")
        browser = Browser(shop)
        assert browser.sign_in(first.email).status == 200
        path = f"/v1/members/{first.member_id}"
        other = add(server, "editor")
        for reply in (
            browser.send("DELETE", path),
            browser.send("PUT", path, {"role": "editor"}),
        ):
            assert (reply.status, reply.error) == (409, "last_owner")
        assert browser.send("PUT", path, {"name": "Ada"}).json["role"] == "owner"
        beside = f"/v1/members/{other.member_id}"
        assert browser.send("PUT", beside, {"role": "owner"}).status == 200
        assert browser.send("DELETE", path).status == 200
        assert browser.email is None
        assert browser.send("DELETE", path).error == "not_signed_in"
        server.stop()


def test_by_commands(folder: Path) -> None:
    data = ("--data", str(folder))
    ok("project", "create", "shop", *data)
    assert "There is no member yet" in ok("dashboard", "members", "list", *data)
    said = fails("dashboard", "members", "add", "bo@x.example", *data)
    assert "The first member has to be an owner" in said
    link = json.loads(
        ok("dashboard", "members", "add", "Ada@x.example", "--role", "owner", "--json", *data)
    )
    assert (link["purpose"], "/dashboard/link/" in link["link"]) == ("invitation", True)
    ok("dashboard", "members", "add", "bo@x.example", "--name", "Bo", *data)
    listed = json.loads(ok("dashboard", "members", "list", "--json", *data))
    assert tuple(listed[0]) == MemberRow.__struct_fields__
    assert [(row["email"], row["role"], row["name"]) for row in listed] == [
        ("ada@x.example", "owner", "ada"),
        ("bo@x.example", "viewer", "Bo"),
    ]
    assert "bo@x.example" in ok("dashboard", "members", "list", *data)
    said = fails("dashboard", "members", "add", "bo@x.example", *data)
    assert "There is a member with the e-mail address bo@x.example already." in said
    said = fails("dashboard", "members", "role", "bo@x.example", "boss", *data)
    assert "role: choose one of viewer, editor, owner." in said
    assert "bo@x.example: owner" in ok(
        "dashboard", "members", "role", "bo@x.example", "owner", *data
    )
    said = fails("dashboard", "login-link", *data)
    assert "The owners are: ada@x.example, bo@x.example." in said
    ok("dashboard", "members", "remove", listed[0]["member_id"], *data)
    said = fails("dashboard", "members", "remove", "bo@x.example", *data)
    assert "This is the last owner" in said
    assert "There is no member" in fails("dashboard", "members", "remove", "ada@x.example", *data)
    assert "/dashboard/link/" in ok("dashboard", "login-link", *data)
