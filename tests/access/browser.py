"""Somebody's browser at the dashboard, as far as the server can tell: it keeps cookies, and says
where its requests come from."""

import json
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

from tests.support import Connection, Json, Project, Reply, Server
from threadline.contract.access import Role
from threadline.control import Control, Member, hash_password

PASSWORD = "seven undyed threads"
# Hashing takes a while on purpose; everybody here has the same.
HASHED = hash_password(PASSWORD)
OWN = {"Sec-Fetch-Site": "same-origin"}
SESSION = "threadline_session"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"

_people = 0


class Browser:
    """`project`: the one that it asks about."""

    def __init__(self, project: Connection) -> None:
        self.project = project
        self.cookies: dict[str, str] = {}
        self.agent = FIREFOX

    def send(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        """As a script of the dashboard's own pages."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.raw(method, path, body, {**OWN, **self.about, **named})

    @property
    def about(self) -> dict[str, str]:
        return {"Threadline-Project": self.project.project_id}

    def raw(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> Reply:
        """With its cookies, and nothing else added to it."""
        sent = {"User-Agent": self.agent, **(headers or {})}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if body is not None:
            sent["Content-Type"] = "application/json"
        reply = self.project.send(
            method, path, None if body is None else json.dumps(body), headers=sent
        )
        for set_cookie in reply.headers.get_all("Set-Cookie") or []:
            for name, morsel in SimpleCookie(set_cookie).items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
        return reply

    def get(self, path: str, **params: Any) -> Reply:
        query = {name.rstrip("_"): value for name, value in params.items()}
        return self.send("GET", f"{path}?{urlencode(query)}" if query else path)

    def me(self) -> Json:
        reply = self.get("/v1/auth/me")
        assert reply.status == 200, reply
        return reply.json

    @property
    def email(self) -> str | None:
        """Who is signed in here."""
        member = self.me()["member"]
        return str(member["email"]) if member else None

    def sign_in(self, email: str, password: str = PASSWORD) -> Reply:
        return self.send("POST", "/v1/auth/password", {"email": email, "password": password})


def fresh_email() -> str:
    global _people
    _people += 1
    return f"p{_people}@people.example"


def add(server: Server, role: Role, email: str = "") -> Member:
    """Somebody new, whose password is `PASSWORD`."""
    with Control(server.folder) as control:
        return control.add_member(email or fresh_email(), "Somebody", role, HASHED)


def link_for(server: Server, member: Member) -> str:
    """The token of a one-time link."""
    with Control(server.folder) as control:
        return control.make_link(member.member_id)


def signed_in(server: Server, project: Project, role: Role) -> Browser:
    """Somebody new, signed in by a link, which takes no hashing."""
    browser = Browser(project.again())
    token = link_for(server, add(server, role))
    assert browser.send("POST", "/v1/auth/link", {"token": token}).status == 200
    return browser
