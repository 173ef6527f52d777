"""From an empty folder to the first owner, and not a second time."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE
from urllib.parse import urlsplit

import pytest

from tests import forked
from tests.access.browser import PASSWORD, Browser
from tests.cli.test_commands import CLEAN, fails, ok, run
from tests.support import Connection, Reply, Server
from threadline.contract.errors import AlreadyExists, InvalidLink
from threadline.control import Control

LINK = re.compile(r"http://\S+/dashboard/setup/(\S+)")


class Stranger(Browser):
    """Without a project of its own, as there is none yet."""

    def __init__(self, url: str) -> None:
        super().__init__(Connection(url))

    def set_up(self, token: str, **given: str) -> Reply:
        said = {"email": "Ada@Shop.Example", "password": PASSWORD, "project": "shop", **given}
        return self.send("POST", "/v1/auth/setup", {"token": token, **said})


@contextmanager
def serving(folder: Path) -> Iterator[forked.Process]:
    """As people start it, whose output is read."""
    process = forked.start(
        *("serve", "--data", str(folder), "--port", "0"), env=CLEAN, stdout=PIPE, stderr=PIPE
    )
    with process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def printed_by(process: forked.Process, last: str) -> str:
    """Its standard output up to and with a line that holds this."""
    assert process.stdout
    printed = ""
    for line in process.stdout:
        printed += line
        if last in line:
            break
    return printed


def test_serve_prints_one_link_that_makes_the_owner_and_the_project(folder: Path) -> None:
    with serving(folder) as process:
        printed = printed_by(process, "login-link")
        assert "Nobody can sign in to the dashboard yet." in printed
        (found,) = LINK.finditer(printed)
        address = urlsplit(found[0])
        browser = Stranger(f"http://{address.netloc}")
        assert browser.me() | {"version": ""} == {
            "member": None, "projects": [], "setup": True, "oidc": None, "shared": None,
            "version": "",
        }  # fmt: skip

        reply = browser.set_up(found[1], origin="https://shop.example")
        assert reply.status == 200, reply
        made = reply.json
        assert made["member"]["email"] == "ada@shop.example"
        assert (made["member"]["role"], made["member"]["name"]) == ("owner", "ada")
        (project,) = made["projects"]
        assert (project["name"], project["origins"]) == ("shop", ["https://shop.example"])
        assert made["project_id"] == project["project_id"]
        assert sorted(made["keys"]) == ["pk", "rk", "sk"]
        assert (made["setup"], browser.me()["setup"]) == (False, False)

        # The keys work, from its site.
        sent = browser.raw("POST", "/v1/track", {"event": "x"}, {
            "Authorization": f"Bearer {made['keys']['pk']}", "Origin": "https://shop.example",
        })  # fmt: skip
        assert sent.status == 202
        browser.project.project_id = made["project_id"]
        assert browser.get("/v1/query").json["rows"][0]["event_name"] == "x"

        # Not a second time, by this link or by another.
        assert Stranger(browser.project.url).set_up(found[1]).error == "already_exists"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0

    # Whoever starts it again is not bothered.
    with serving(folder) as process:
        assert process.stderr
        assert process.stdout
        assert any('"ready"' in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stdout.read() == ""


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Nobody is made here; every test leaves it as it is."""
    server = Server(tmp_path_factory.mktemp("empty"))
    yield server
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"email": "ada"}, "email"),
        ({"email": "a b@shop.example"}, "email"),
        ({"email": ""}, "email"),
        ({"password": "short"}, "password"),
        ({"password": "ada@shop.example"}, "password"),
        ({"password": "aaaaaaaaaaaa"}, "password"),
        ({"project": "\n"}, ""),
        ({"origin": "shop"}, ""),
        ({"origin": "https://shop.example/path"}, ""),
        ({"plan": "pro"}, "plan"),
    ],
)
def test_what_is_wrong_is_said_and_the_link_still_works(
    empty: Server, given: dict[str, str], field: str
) -> None:
    with Control(empty.folder) as control:
        token = control.setup_link()
    browser = Stranger(empty.url)
    reply = browser.set_up(token, **given)
    assert (reply.status, reply.error) == (400, "invalid_payload")
    assert not field or field in reply.json["details"]["fieldErrors"]
    assert "Set-Cookie" not in reply.headers
    with Control(empty.folder) as control:
        assert not control.members()
        assert not control.projects()
        with control._write() as db:
            assert control._use_link(db, token, ("setup",)) is None


def test_a_link_that_is_none_sets_nothing_up(empty: Server) -> None:
    browser = Stranger(empty.url)
    reply = browser.set_up("no such link")
    assert (reply.status, reply.error) == (401, "invalid_link")
    assert "login-link" in reply.json["details"]["message"]
    assert browser.me()["setup"] is True


def test_where_there_are_projects_none_has_to_be_made(folder: Path) -> None:
    with Control(folder) as control:
        control.create_project("shop", [])
        token = control.setup_link()
    with Server(folder) as server:
        browser = Stranger(server.url)
        assert browser.set_up(token, project="shop").error == "invalid_payload"
        made = browser.set_up(token, project="").json
        assert (made["project_id"], made["keys"]) == (None, {})
        assert [each["name"] for each in made["projects"]] == ["shop"]
        server.stop()


def test_links_are_used_once_and_expire(folder: Path) -> None:
    now = [1_000]
    with Control(folder, clock=lambda: now[0]) as control:
        owner = control.new_owner("ada@shop.example", "", None)
        token = control.setup_link()
        now[0] += 24 * 3_600_000
        with pytest.raises(InvalidLink, match="expired: it works for 1 day"):
            control.set_up(token, owner, "", [], "")
        other, unused = control.setup_link(), control.setup_link()
        control.set_up(other, owner, "", [], "")
        for late in (other, unused):
            with pytest.raises(AlreadyExists):
                control.set_up(late, owner, "", [], "")
        with pytest.raises(AlreadyExists):
            control.setup_link()

        token = control.make_link(owner.member_id)
        now[0] += 15 * 60_000 - 1
        assert control.sign_in_by_link(token, "").member.email == owner.email
        with pytest.raises(InvalidLink, match="used already"):
            control.sign_in_by_link(token, "")
        token = control.make_link(owner.member_id)
        now[0] += 15 * 60_000
        with pytest.raises(InvalidLink, match="expired: it works for 15 minutes"):
            control.sign_in_by_link(token, "")
        control.housekeeping()
        with pytest.raises(InvalidLink, match="used already"):
            control.sign_in_by_link(token, "")


def test_the_command_makes_the_link_before_there_is_anybody(folder: Path) -> None:
    made = run("dashboard", "login-link", "--data", str(folder))
    assert str(folder) in made.stderr, "it may have been mistyped"
    (found,) = LINK.finditer(made.stdout)
    with Server(folder) as server:
        browser = Stranger(server.url)
        assert browser.set_up(found[1]).status == 200
        # Now it signs in, at the address that answers.
        printed = ok("dashboard", "login-link", "--data", str(folder)).strip()
        base, _, token = printed.rpartition("/dashboard/link/")
        assert base == server.url
        other = Stranger(server.url)
        assert other.send("POST", "/v1/auth/link", {"token": token}).status == 200
        assert other.email == "ada@shop.example"
        nobody = fails("dashboard", "login-link", "--email", "bo@x.example", "--data", str(folder))
        assert "There is no member bo@x.example." in nobody
        server.stop()


def test_where_people_open_it_is_what_links_say(folder: Path) -> None:
    public = {"THREADLINE_PUBLIC_URL": "https://stats.shop.example/"}
    printed = ok("dashboard", "login-link", "--data", str(folder), **public)
    assert printed.startswith("https://stats.shop.example/dashboard/setup/")
    for wrong in ("stats.shop.example", "https://shop.example/stats", "ftp://shop.example"):
        said = fails("serve", "--data", str(folder), THREADLINE_PUBLIC_URL=wrong)
        assert f"THREADLINE_PUBLIC_URL={wrong}: write the address as browsers show it" in said
