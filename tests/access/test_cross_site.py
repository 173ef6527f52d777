"""What other sites make a browser ask does not count, whatever cookie goes along."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.access.browser import PASSWORD, SESSION, Browser, add, signed_in
from tests.support import ORIGIN, Project, Server

FOREIGN: list[Mapping[str, str]] = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "HOST"},
    {"Origin": "https://evil.example"},
    {"Origin": ORIGIN},  # of the project: that lets it send events
    {"Origin": "null"},
    {"Origin": "HOST.evil.example"},
    {"Origin": "http://evil.example@HOST"},
    {},
]


def from_there(headers: Mapping[str, str], shop: Project) -> dict[str, str]:
    return {name: value.replace("HOST", shop.url) for name, value in headers.items()}


@pytest.mark.parametrize("headers", FOREIGN)
def test_nothing_is_changed_for_another_site(
    shop: Project, owner: Browser, headers: Mapping[str, str]
) -> None:
    sent = {**from_there(headers, shop), **owner.about}
    for method, path in (
        ("PUT", "/v1/goals/sale"),
        ("POST", "/v1/forget"),
        ("POST", "/v1/members"),
        ("DELETE", "/v1/auth/sessions/x"),
        ("POST", "/v1/auth/sign-out"),
        ("PUT", "/v1/auth/password"),
    ):
        reply = owner.raw(method, path, {}, sent)
        assert (reply.status, reply.error) == (403, "csrf"), path
    assert owner.get("/v1/goals").json["rows"] == []
    assert owner.email


@pytest.mark.parametrize("headers", [each for each in FOREIGN if each])
def test_nobody_is_signed_in_by_another_site(
    house: Server, shop: Project, headers: Mapping[str, str]
) -> None:
    """As somebody else, whose dashboard they would take for their own."""
    member = add(house, "viewer")
    body = {"email": member.email, "password": PASSWORD, "token": "x"}
    for path in ("/v1/auth/password", "/v1/auth/link", "/v1/auth/setup"):
        reply = Browser(shop).raw("POST", path, body, from_there(headers, shop))
        assert (reply.status, reply.error) == (403, "csrf")


def test_older_browsers_name_the_origin_only(shop: Project, owner: Browser) -> None:
    headers = {**owner.about, "Origin": shop.url}
    assert owner.raw("PUT", "/v1/goals/sale", {"event": "x"}, headers).status == 200


def test_what_only_reads_is_read_by_links_too(owner: Browser) -> None:
    """A link to a file is followed from anywhere; its answer is for nobody's script."""
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": ORIGIN, **owner.about}
    reply = owner.raw("GET", "/v1/users", None, headers)
    assert reply.status == 200
    assert "Access-Control-Allow-Origin" not in reply.headers


def test_a_preflight_lets_no_cookie_along(shop: Project) -> None:
    reply = shop.send("OPTIONS", "/v1/users", headers={
        "Origin": ORIGIN, "Access-Control-Request-Method": "GET",
    })  # fmt: skip
    assert reply.status == 204
    assert "Access-Control-Allow-Credentials" not in reply.headers


def test_a_cookie_of_another_server_is_nobodys(house: Server, shop: Project, folder: Path) -> None:
    with Server(folder) as other:
        there = Project(other)
        stranger = signed_in(other, there, "owner")
        here = Browser(shop)
        here.cookies = dict(stranger.cookies)
        assert here.get("/v1/users").error == "not_signed_in"
        assert here.email is None
        assert stranger.email
        other.stop()


@pytest.mark.parametrize("value", ["", "x", "x" * 43, "x" * 5000, "a=b", '"', "%00", "ä"])
def test_a_cookie_that_is_none(shop: Project, value: str) -> None:
    browser = Browser(shop)
    browser.cookies = {"theme": "dark", SESSION: value}
    reply = browser.get("/v1/users")
    assert reply.status == 401
    assert reply.error == ("not_signed_in" if 0 < len(value) < 128 else "missing_bearer_token")
    assert browser.email is None
