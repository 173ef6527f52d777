"""The whole story, by clicking: from an ad on one day to a signup on another, on two devices."""

import os
import time
from pathlib import Path

from playwright.sync_api import BrowserContext, Page

from tests.e2e.conftest import NewDevice, engines
from tests.e2e.site import Site
from tests.support import ROOT, Project, Server

DAY_S = 86_400
AD = "/?utm_source=facebook&utm_medium=cpc&utm_campaign=spring&fbclid=IwAR2x"

# The browser's clock is off by as much as the server's.
MOVE = """
  const Real = Date, off = %d;
  globalThis.Date = class extends Real {
    constructor(...given) { given.length ? super(...given) : super(Real.now() + off); }
    static now() { return Real.now() + off; }
  };
"""


def follow(page: Page, text: str, path: str) -> None:
    """Click, and wait until the page behind it has loaded, its scripts included."""
    page.click(f"text={text}")
    page.wait_for_url(f"**/{path}")


class MovedServer(Server):
    module = "tests.e2e.moved_clock"


def test_an_ad_on_one_day_is_credited_with_a_signup_on_another(
    tmp_path: Path, device: NewDevice
) -> None:
    clock = tmp_path / "clock"

    def on_day(number: int, context: BrowserContext) -> Page:
        """Days count from six days ago."""
        off_ms = (number - 6) * DAY_S * 1000
        clock.write_text(str(off_ms))
        page = context.new_page()
        page.add_init_script(MOVE % off_ms)
        return page

    clock.write_text("0")
    here = {"THREADLINE_TEST_CLOCK": str(clock), "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT}/src"}
    began_s = time.time()
    with (
        MovedServer(tmp_path / "data", **here) as server,
        Site(ROOT / "examples" / "static-site") as site,
    ):
        site.project = Project(server, [site.origin])
        laptop = device()

        page = on_day(0, laptop)
        page.goto(site.origin + AD, referer="https://l.facebook.com/")
        follow(page, "See the prices", "pricing.html")
        page.click("text=Weaver")
        page.close()
        site.sent(3)

        page = on_day(4, laptop)
        page.goto(site.origin + "/pricing.html")
        page.close()
        site.sent(4)

        page = on_day(6, laptop)
        page.goto(site.origin)
        follow(page, "Sign up", "signup.html")
        page.fill("[name=account]", "user_42")
        follow(page, "Create it", "app.html")
        page.click("text=Wind the warp")
        site.sent(10)

        phone = device(viewport={"width": 390, "height": 800}, is_mobile=True)
        page = on_day(6, phone)
        page.goto(site.origin + "/signup.html?gclid=g1")
        page.fill("[name=account]", "user_42")
        follow(page, "Create it", "app.html")
        rows = site.sent(14)
        page.close()

        profile = site.project.ask("/v1/users/user_42")
        touch = profile["first_touch"]
        assert (touch["source"], touch["medium"], touch["campaign"]) == (
            "facebook",
            "paid",
            "spring",
        )
        assert touch["referrer"] == "https://l.facebook.com/"
        assert len(profile["devices"]) == 2
        assert profile["shared_devices"] == []
        assert profile["traits"] == {"plan": "weaver"}

        before = site.project.ask("/v1/users/user_42/events", phase="before")["rows"]
        laptops = rows[0]["anonymous_id"]
        assert [(row["event_name"], row["path"]) for row in before] == [
            ("$pageview", "/"),
            ("$pageview", "/pricing.html"),
            ("clicked_pricing", "/pricing.html"),
            ("$pageview", "/pricing.html"),
            ("$pageview", "/"),
            ("$pageview", "/signup.html"),
        ]
        assert {row["anonymous_id"] for row in before} == {laptops}
        assert {row["user_id"] for row in before} == {None}
        after = site.project.ask("/v1/users/user_42/events", phase="after")["rows"]
        assert [row["event_name"] for row in after] == [
            "$identify",
            "signup",
            "$pageview",
            "feature_used",
            "$pageview",
            "$identify",
            "signup",
            "$pageview",
        ]
        assert after[0]["anonymous_id"] == laptops != after[-1]["anonymous_id"]
        assert after[4]["user_id"] is None, "the phone's first page view came before its login"

        waited = site.project.ask("/v1/time-to-conversion", conversion="signup", user_id="user_42")
        assert 6 * DAY_S <= waited["seconds"] < 6 * DAY_S + (time.time() - began_s)
        credited = site.project.ask(
            "/v1/attribution", conversion="signup", model="first_touch", stitch="next"
        )["rows"]
        assert [(row["source"], row["medium"]) for row in credited] == [("facebook", "paid")]
        server.stop()


@engines("chromium", "firefox")
def test_a_shared_browser_keeps_its_visitor_and_tells_its_users_apart(
    site: Site, device: NewDevice
) -> None:
    page = device().new_page()

    def sign_in(user_id: str) -> None:
        page.goto(site.origin + "/signup.html")
        page.fill("[name=account]", user_id)
        follow(page, "Create it", "app.html")
        page.click("text=Wind the warp")

    sign_in("ada")
    follow(page, "Log out", "index.html")
    follow(page, "See the prices", "pricing.html")
    sign_in("bob")
    sign_in("ada")  # switches the account, without logging out
    page.close()
    rows = site.sent(5 + 2 + 5 + 5)
    assert len({row["anonymous_id"] for row in rows}) == 1
    used = [row["user_id"] for row in rows if row["event_name"] == "feature_used"]
    assert used == ["ada", "bob", "ada"]
    assert [row["user_id"] for row in rows[5:8]] == [None, None, None]
    profile = site.project.ask("/v1/users/bob")
    assert profile["shared_devices"] == [rows[0]["anonymous_id"]]
