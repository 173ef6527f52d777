"""The example shops: an ad, a signup on the server, a purchase, a second device."""

import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import NewDevice
from tests.e2e.site import PATIENCE_S, await_events
from tests.e2e.test_story import follow
from tests.support import ROOT, Json, Project, Server

AD = "/?utm_source=facebook&utm_medium=cpc&utm_campaign=spring&fbclid=IwAR2x"


@pytest.fixture(params=["flask", "fastapi", "django"])
def shop(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> Iterator[Json]:
    """Its origin and project, and the id of the user who signs up."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    origin = f"http://shop.example:{port}"
    project = Project(server, [origin])
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "src"),
        "PORT": str(port),
        "SHOP_DATABASE": str(tmp_path / "shop.sqlite3"),
        "THREADLINE_SDK_HOST": server.url,
        "THREADLINE_SDK_KEY": project.keys["sk"],
        "THREADLINE_SDK_BROWSER_KEY": project.keys["pk"],
    }
    script = ROOT / "examples" / "shop" / f"{request.param}_shop.py"
    log = (tmp_path / "log").open("w")
    running = subprocess.Popen([sys.executable, str(script)], env=env, stdout=log, stderr=log)
    try:
        _await_answer(f"http://127.0.0.1:{port}/", running)
        # Django numbers its users; the others take the name.
        user_id = "1" if request.param == "django" else "ada"
        yield {"origin": origin, "project": project, "user_id": user_id}
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(PATIENCE_S)
        log.close()


def _await_answer(url: str, running: "subprocess.Popen[bytes]") -> None:
    pause = threading.Event()
    for _ in range(int(PATIENCE_S / 0.05)):
        assert running.poll() is None
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_S):
                return
        except OSError:
            pause.wait(0.05)
    raise AssertionError("the shop does not answer")


def test_the_ad_is_credited_with_what_the_server_saw(shop: Json, device: NewDevice) -> None:
    origin, project = shop["origin"], shop["project"]
    laptop = device()
    page = laptop.new_page()
    page.goto(origin + AD, referer="https://l.facebook.com/")
    follow(page, "See the prices", "pricing")
    follow(page, "Begin today", "signup")
    page.fill("[name=account]", "ada")
    page.click("main button")
    page.wait_for_url("**/account")
    page.click("text=Buy Weaver")
    page.wait_for_url("**/account?bought=1")
    assert page.inner_text("main p") == "Thank you. Your loom is on its way."
    page.click("text=Log out")
    page.wait_for_url("**/")
    follow(page, "Pricing", "pricing")
    aid = page.evaluate("mm.getAnonymousId()")
    cookies = {cookie["name"]: cookie for cookie in laptop.cookies()}
    assert cookies["tl_aid"]["value"] == aid
    assert cookies["tl_aid"]["httpOnly"]

    phone = device(viewport={"width": 390, "height": 800}, is_mobile=True)
    other = phone.new_page()
    other.goto(origin + "/login")
    other.fill("[name=account]", "ada")
    other.click("main button")
    other.wait_for_url("**/account")
    other_aid = other.evaluate("mm.getAnonymousId()")
    page.close()
    other.close()

    rows = await_events(project, 11, leave_out="$identify")
    assert [row["event_name"] for row in rows] == [
        *["$pageview"] * 3,
        "signup",
        "$pageview",
        "purchase",
        *["$pageview"] * 5,
    ]
    assert {row["anonymous_id"] for row in project.stored()} == {aid, other_aid}
    user_id = shop["user_id"]
    assert {row["user_id"] for row in rows} == {None, user_id}

    (signup,) = project.stored(event="signup")
    (purchase,) = project.stored(event="purchase")
    for row, path in ((signup, "/signup"), (purchase, "/buy")):
        assert (row["anonymous_id"], row["user_id"], row["path"]) == (aid, user_id, path)
        assert (row["browser"], row["source"]) == ("chrome", "internal")

    profile = project.ask(f"/v1/users/{user_id}")
    touch = profile["first_touch"]
    assert (touch["source"], touch["medium"], touch["campaign"]) == ("facebook", "paid", "spring")
    assert (len(profile["devices"]), profile["traits"]) == (2, {"plan": "free"})
    before = project.journey(user_id, phase="before")
    assert [row["path"] for row in before][:3] == ["/", "/pricing", "/signup"]
    credit = project.ask(
        "/v1/attribution", conversion="purchase", model="first_touch", value_property="value"
    )
    (row,) = credit["rows"]
    assert (row["source"], row["conversions"], row["value"]) == ("facebook", 1, 24)
