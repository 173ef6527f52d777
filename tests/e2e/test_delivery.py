"""Whatever happens to a page, its network or its server: each event arrives, once."""

from pathlib import Path

from playwright.sync_api import Page, Route

from tests.e2e.conftest import NewDevice, engines
from tests.e2e.site import Site
from tests.support import ROOT, Project, Server

BATCH = "**/v1/batch"


def names(site: Site, count: int) -> list[str]:
    return [row["event_name"] for row in site.sent(count)]


def opened(site: Site, device: NewDevice) -> Page:
    """The front page, with its page view sent."""
    page = device().new_page()
    with page.expect_response(BATCH):
        page.goto(site.origin)
    return page


def test_a_page_left_for_another_site(site: Site, device: NewDevice) -> None:
    page = opened(site, device)
    page.evaluate("mm.track('last_words')")
    page.goto("about:blank")
    assert names(site, 2) == ["$pageview", "last_words"]


@engines("chromium", "firefox")
def test_a_reload_in_the_middle_of_a_batch(site: Site, device: NewDevice) -> None:
    page = opened(site, device)
    page.evaluate("for (let n = 0; n < 19; n++) mm.track('e' + n)")
    page.reload()
    page.close()
    assert sorted(names(site, 21)) == sorted(["$pageview"] * 2 + [f"e{n}" for n in range(19)])


@engines("chromium", "firefox")
def test_two_hundred_events_in_one_second(site: Site, device: NewDevice) -> None:
    page = opened(site, device)
    page.evaluate("for (let n = 0; n < 200; n++) mm.track('e' + n, { n })")
    rows = site.sent(201)
    assert [row["event_name"] for row in rows] == ["$pageview", *(f"e{n}" for n in range(200))]


def test_offline_then_online(site: Site, device: NewDevice) -> None:
    page = opened(site, device)
    page.context.set_offline(True)
    with page.expect_event("requestfailed"):
        page.evaluate("mm.track('on_the_train'); mm.flush()")
    page.evaluate("mm.track('still_on_it')")
    page.context.set_offline(False)
    assert names(site, 3) == ["$pageview", "on_the_train", "still_on_it"]


def test_what_a_tab_took_along_comes_from_the_next_page(site: Site, device: NewDevice) -> None:
    page = opened(site, device)
    context = page.context
    context.set_offline(True)
    page.evaluate("for (let n = 0; n < 30; n++) mm.track('e' + n)")
    page.close()
    context.set_offline(False)
    page = context.new_page()
    page.goto(site.origin)
    page.evaluate("mm.flush()")
    rows = site.sent(32)
    assert len({row["anonymous_id"] for row in rows}) == 1
    assert page.evaluate("Object.keys(localStorage)") == ["mm_aid"]


def test_a_server_that_is_down_and_up_again(tmp_path: Path, device: NewDevice) -> None:
    folder = tmp_path / "data"
    with Site(ROOT / "examples" / "static-site") as site:
        with Server(folder) as server:
            site.project = Project(server, [site.origin])
            port = site.project.url.rpartition(":")[2]
            page = opened(site, device)
            server.stop()
        with page.expect_event("requestfailed"):
            page.evaluate("mm.identify('ada'); mm.track('used')")
        with Server(folder, THREADLINE_PORT=port) as server:
            site.project = site.project.again(server)
            assert names(site, 3) == ["$pageview", "$identify", "used"]
            server.stop()


def test_a_refused_event_does_not_take_others_along(site: Site, device: NewDevice) -> None:
    page = opened(site, device)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.evaluate("mm.track('good'); mm.track('x'.repeat(200)); mm.track('too'); mm.flush()")
    assert names(site, 3) == ["$pageview", "good", "too"]
    page.evaluate("0")  # what the console has said until here is heard
    assert any(text.startswith("dropped") and "invalid_payload" in text for text in said)


@engines("chromium", "firefox")
def test_two_tabs_are_one_visitor_and_one_user(site: Site, device: NewDevice) -> None:
    one = opened(site, device)
    other = one.context.new_page()
    with other.expect_response(BATCH):
        other.goto(site.origin)
    with one.expect_response(BATCH):
        one.evaluate("mm.identify('ada')")
    with other.expect_response(BATCH):
        other.evaluate("mm.track('seen_elsewhere'); mm.flush()")
    other.evaluate("mm.reset()")
    with one.expect_response(BATCH):
        one.evaluate("mm.track('logged_out'); mm.flush()")
    rows = site.sent(5)
    assert len({row["anonymous_id"] for row in rows}) == 1
    owners = {row["event_name"]: row["user_id"] for row in rows}
    assert (owners["seen_elsewhere"], owners["logged_out"]) == ("ada", None)


def test_an_event_that_is_never_answered_holds_nobody_up(site: Site, device: NewDevice) -> None:
    """Such as by a server, or a proxy, whose refusals the page is not allowed to read."""
    context = device()

    def refuse(route: Route) -> None:
        if "cursed" in (route.request.post_data or ""):
            route.abort()
        else:
            route.continue_()

    context.route(BATCH, refuse)
    page = context.new_page()
    with page.expect_response(BATCH):
        page.goto(site.origin)
    with page.expect_event("requestfailed"):
        page.evaluate("mm.track('cursed'); mm.track('good'); mm.flush()")
    with page.expect_response(BATCH):
        page.evaluate("mm.track('too')")
    page.goto(site.origin + "/pricing.html")
    page.evaluate("mm.identify('ada')")
    page.wait_for_function("!/good|identify/.test(JSON.stringify(localStorage))")
    wanted = {"$pageview", "good", "too", "$identify"}
    assert {row["event_name"] for row in site.sent(5)} == wanted
