"""Passwords and tokens are in no file, no line of the log and no answer but the one that gives
them out; and a folder of before opens with all it had."""

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.access.browser import PASSWORD, SESSION, Browser, add, link_for
from tests.access.test_share_links import share
from tests.control.test_definitions import OLDER, PEPPER
from tests.support import Project, Server
from threadline.control import Control, new_pepper


def test_nothing_that_signs_in_is_kept(folder: Path) -> None:
    with Server(folder) as server:
        shop = Project(server)
        member = add(server, "owner")
        browser, other = Browser(shop), Browser(shop.again())
        answers = [browser.sign_in(member.email, "a wrong password of mine").body]
        answers.append(browser.sign_in(member.email).body)
        invited = browser.send("POST", "/v1/members", {"email": "bo@x.example", "role": "viewer"})
        invitation = invited.json["link"].rpartition("/")[2]
        used = link_for(server, member)
        answers.append(other.send("POST", "/v1/auth/link", {"token": used}).body)
        shared = share(browser)["token"]
        changed = {"password": "another one of mine", "current": PASSWORD}
        assert browser.send("PUT", "/v1/auth/password", changed).status == 200
        for path in ("auth/me", "auth/sessions", "members", "share-links", "query"):
            answers.append(browser.get(f"/v1/{path}").body)
        answers.append(shop.get("/metrics").body)
        answers.append(browser.send("POST", "/v1/auth/link", {"token": invitation[:-1]}).body)
        token = browser.cookies[SESSION]
        server.stop()
        answers.append("".join(server.lines).encode())
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    secrets = [
        PASSWORD, "another one of mine", "a wrong password of mine", token, invitation, used,
        shared,
    ]  # fmt: skip
    for secret in secrets:
        assert not any(secret.encode() in text for text in [*files, *answers]), secret
    hashed = b"$argon2id$"
    assert any(hashed in text for text in files)
    assert not any(hashed in text for text in answers)


def test_another_pepper_signs_everybody_out(folder: Path) -> None:
    with Control(folder) as control:
        project, _ = control.create_project("shop", [])
        owner = control.add_member("ada@x.example", "", "owner")
        cookie = control.sign_in(owner, "link", "").token
        _, shared = control.create_share_link(project.project_id, "x", "overview", "", "me")
        link = control.make_link(owner.member_id)
        assert control.member_of(cookie)
    (folder / "pepper").unlink()
    new_pepper(folder)
    with closing(sqlite3.connect(folder / "control.db")) as db:
        for table in ("sessions", "one_time_links", "share_links"):
            assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    with Control(folder) as control:
        assert control.member_of(cookie) is None
        assert [member.email for member in control.members()] == ["ada@x.example"]
        assert control.make_link(owner.member_id) != link
        assert shared


def test_a_folder_of_before_has_nobody_yet(folder: Path) -> None:
    folder.mkdir()
    (folder / "pepper").write_text(PEPPER)
    with closing(sqlite3.connect(folder / "control.db")) as db:
        db.executescript(OLDER)
    with Control(folder) as control:
        assert control.members() == []
        signed, project, keys = control.set_up(
            control.setup_link(), control.new_owner("ada@x.example", "Ada", None), "", [], ""
        )
        assert (project, keys) == (None, {})
        found = control.member_of(signed.token)
        assert found
        assert found[1].email == "ada@x.example"
        assert [each.name for each in control.projects()] == ["blog", "shop"]
