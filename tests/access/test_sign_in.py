"""Signing in by password and by link, how often one may try, and what ends a session."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.access.browser import (
    PASSWORD,
    Browser,
    add,
    fresh_email,
    link_for,
    signed_in,
)
from tests.support import Project, Reply, Server
from threadline.contract.errors import RateLimited
from threadline.control import Control
from threadline.runtime.throttle import BY_ADDRESS, BY_EMAIL, Throttle

WRONG = (401, "sign_in_failed")


def outcome(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.json.get("error", "")


def test_by_password(house: Server, shop: Project) -> None:
    member = add(house, "viewer")
    browser = Browser(shop)
    reply = browser.sign_in(f" {member.email.upper()} ")
    assert reply.status == 200, reply
    assert reply.json["member"] == {
        "member_id": member.member_id, "email": member.email, "name": "Somebody",
        "role": "viewer", "has_password": True,
    }  # fmt: skip
    assert shop.project_id in [each["project_id"] for each in reply.json["projects"]]
    cookie = reply.headers["Set-Cookie"]
    for part in ("; HttpOnly", "; SameSite=Lax", "; Path=/", f"; Max-Age={30 * 86400}"):
        assert part in cookie
    assert "Secure" not in cookie
    assert "Domain" not in cookie
    assert browser.email == member.email


def test_the_cookie_is_for_https_where_the_page_is(house: Server, shop: Project) -> None:
    member = add(house, "viewer")
    body = {"email": member.email, "password": PASSWORD}
    reply = Browser(shop).send("POST", "/v1/auth/password", body, X_Forwarded_Proto="https")
    assert "; Secure" in reply.headers["Set-Cookie"]


def test_a_wrong_one_says_no_more_than_an_unknown_address(house: Server, shop: Project) -> None:
    member = add(house, "owner")
    with Control(house.folder) as control:
        without = control.add_member(fresh_email(), "", "viewer")
    browser = Browser(shop)
    replies = [
        browser.sign_in(member.email, "seven undyed thread"),
        browser.sign_in("nobody@people.example"),
        browser.sign_in(without.email),
        browser.sign_in(member.email, ""),
        browser.sign_in("", ""),
    ]
    assert {outcome(reply) for reply in replies} == {WRONG}
    assert len({reply.body for reply in replies}) == 1
    assert not browser.cookies


def test_a_link_signs_in_once(house: Server, shop: Project) -> None:
    member = add(house, "editor")
    token = link_for(house, member)
    browser, other = Browser(shop), Browser(shop.again())
    assert browser.send("POST", "/v1/auth/link", {"token": token}).json["member"]["role"] == (
        "editor"
    )
    assert browser.email == member.email
    for late in (token, token[:-1], "", "x" * 10_000):
        reply = other.send("POST", "/v1/auth/link", {"token": late})
        assert outcome(reply) == (401, "invalid_link")
    assert not other.cookies


def test_tries_by_e_mail_are_throttled_whoever_makes_them(house: Server, shop: Project) -> None:
    """From addresses of their own, of a member and of nobody alike; others still get in."""
    member, other = add(house, "viewer"), add(house, "viewer")
    browser = Browser(shop)
    body = {"email": member.email, "password": "wrong, wrong, wrong"}
    for email in (member.email, "no.such@people.example"):
        said = [
            browser.send(
                "POST", "/v1/auth/password", {**body, "email": email}, X_Client=f"192.0.2.{n}"
            )
            for n in range(BY_EMAIL.at_once + 1)
        ]
        assert [outcome(reply) for reply in said[:-1]] == [WRONG] * BY_EMAIL.at_once
        assert outcome(said[-1]) == (429, "rate_limited")
        assert int(said[-1].headers["Retry-After"]) > 0
        assert "login-link" in said[-1].json["details"]["message"]
    right = {"email": member.email, "password": PASSWORD}
    assert browser.send("POST", "/v1/auth/password", right).status == 429
    assert browser.sign_in(other.email).status == 200
    # Who was shut out comes by a link.
    assert browser.send("POST", "/v1/auth/link", {"token": link_for(house, member)}).status == 200
    metrics = shop.get("/metrics").body.decode()
    assert 'threadline_sign_ins_total{outcome="throttled"}' in metrics


@pytest.mark.parametrize("path", ["/v1/auth/password", "/v1/auth/link", "/v1/auth/setup"])
def test_tries_from_one_address_are_throttled(shop: Project, path: str) -> None:
    browser = Browser(shop)
    given = {
        "/v1/auth/password": {"password": "x"},
        "/v1/auth/link": {"token": "x"},
        # Refused before anything is hashed.
        "/v1/auth/setup": {"token": "x", "password": "x", "email": "a@x.example"},
    }[path]
    statuses = []
    for n in range(BY_ADDRESS.at_once + 1):
        if path.endswith("password"):
            given["email"] = f"guess{n}@people.example"
        reply = browser.send("POST", path, given, X_Client=f"198.51.100.{len(path)}")
        statuses.append(reply.status)
    assert statuses[-1] == 429
    assert 429 not in statuses[:-1]


def test_a_try_comes_back_with_time_and_with_success() -> None:
    throttle = Throttle()
    for _ in range(100):  # who signs in is never shut out
        throttle.take("a", "ada", now_s=0.0)
        throttle.give_back("a", "ada")
    for _ in range(BY_EMAIL.at_once):
        throttle.take("a", "ada", now_s=0.0)
    with pytest.raises(RateLimited) as refused:
        throttle.take("b", "ada", now_s=0.0)
    assert refused.value.details["retry_after_s"] == BY_EMAIL.every_s
    throttle.take("b", "bo", now_s=0.0)
    throttle.take("c", "ada", now_s=BY_EMAIL.every_s)
    with pytest.raises(RateLimited):
        throttle.take("d", "ada", now_s=BY_EMAIL.every_s)


def test_sessions_are_listed_and_ended_one_by_one(house: Server, shop: Project) -> None:
    member = add(house, "viewer")
    here, there = Browser(shop), Browser(shop.again())
    there.agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    there.agent += " Chrome/126.0.0.0 Safari/537.36"
    for browser in (here, there):
        token = link_for(house, member)
        assert browser.send("POST", "/v1/auth/link", {"token": token}).status == 200
    there.me()
    rows = here.get("/v1/auth/sessions").json["rows"]
    assert {row["device"]: row["current"] for row in rows} == {
        "chrome on windows": False, "firefox on linux": True,
    }  # fmt: skip
    assert {row["signed_in_by"] for row in rows} == {"link"}
    stranger = signed_in(house, shop.again(), "owner")
    (other,) = (row["session_id"] for row in rows if not row["current"])
    path = f"/v1/auth/sessions/{other}"
    assert stranger.send("DELETE", path).status == 404, "another's, even for an owner"
    assert here.send("DELETE", path).status == 200
    assert here.send("DELETE", path).status == 404
    assert there.get("/v1/users").error == "not_signed_in"
    assert there.email is None
    assert here.email == member.email


def test_signing_out_here_and_everywhere(house: Server, shop: Project) -> None:
    member = add(house, "viewer")
    browsers = [Browser(shop.again()) for _ in range(3)]
    for browser in browsers:
        token = link_for(house, member)
        browser.send("POST", "/v1/auth/link", {"token": token})
    first, second, third = browsers
    kept = dict(first.cookies)
    assert first.send("POST", "/v1/auth/sign-out", {}).json["sessions"] == 1
    assert first.cookies == {}
    first.cookies = kept  # somebody had copied it
    assert first.get("/v1/users").error == "not_signed_in"
    unused = link_for(house, member)
    assert second.send("POST", "/v1/auth/sign-out", {"everywhere": True}).json["sessions"] == 2
    assert third.get("/v1/users").error == "not_signed_in"
    assert third.send("POST", "/v1/auth/link", {"token": unused}).error == "invalid_link"
    assert second.send("POST", "/v1/auth/sign-out", {"everywhere": True}).json["sessions"] == 0


def test_another_password_ends_all_other_sessions(house: Server, shop: Project) -> None:
    member = add(house, "viewer")
    here, there = Browser(shop), Browser(shop.again())
    assert here.sign_in(member.email).status == 200
    there.send("POST", "/v1/auth/link", {"token": link_for(house, member)})

    def choose(browser: Browser, **given: str) -> tuple[int, str]:
        return outcome(browser.send("PUT", "/v1/auth/password", given))

    assert choose(here, password="eight dyed threads", current="wrong") == WRONG
    assert choose(here, password="eight dyed threads") == WRONG
    assert choose(here, password="short", current=PASSWORD) == (400, "invalid_payload")
    assert there.email == member.email, "nothing has changed"
    assert choose(here, password="eight dyed threads", current=PASSWORD) == (200, "")
    assert here.email == member.email
    assert there.email is None
    assert outcome(there.sign_in(member.email)) == WRONG
    assert there.sign_in(member.email, "eight dyed threads").status == 200


def test_who_came_by_a_link_just_now_needs_not_know_the_password(
    house: Server, shop: Project
) -> None:
    member = add(house, "viewer")
    browser = Browser(shop)
    browser.send("POST", "/v1/auth/link", {"token": link_for(house, member)})
    path, given = "/v1/auth/password", {"password": "nine dyed threads"}
    with closing(sqlite3.connect(house.folder / "control.db")) as db, db:
        db.execute(
            "UPDATE sessions SET created_ms = created_ms - 900000 WHERE member_id = ?",
            (member.member_id,),
        )
    house_sees_it(house)
    assert outcome(browser.send("PUT", path, given)) == WRONG
    browser.send("POST", "/v1/auth/link", {"token": link_for(house, member)})
    assert browser.send("PUT", path, given).status == 200
    assert Browser(shop.again()).sign_in(member.email, "nine dyed threads").status == 200


def test_a_session_that_nobody_used_for_a_month_has_ended(folder: Path) -> None:
    now, day_ms = [1_000], 86_400_000
    with Control(folder, clock=lambda: now[0]) as control:
        owner = control.add_member("ada@people.example", "", "owner")
        token = control.sign_in(owner, "link", "").token
        for days in (29, 29):  # using it renews it
            now[0] += days * day_ms
            assert control.member_of(token)
        control.housekeeping()
        (session,) = control.sessions_of(owner.member_id)
        assert session.last_used_ms == now[0]
        assert control.find_member("ada@people.example").last_seen_ms == now[0]
        now[0] += 30 * day_ms
        assert control.member_of(token) is None
        assert control.sessions_of(owner.member_id) == []
        control.housekeeping()
        assert not control._look_now().sessions


def house_sees_it(house: Server) -> None:
    """What was written past the control plane is known when it has written something itself."""
    with Control(house.folder) as control, control._write_and_tell():
        pass
