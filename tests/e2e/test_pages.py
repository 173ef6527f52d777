"""Pages as the web has them: policies, frames, applications, proxies, people who do not want it."""

import json
import subprocess
import threading
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Playwright

from tests.e2e.browsers import WINDOWED
from tests.e2e.conftest import NewDevice, engines
from tests.e2e.launching import ARGS
from tests.e2e.site import Site, snippet
from tests.support import ROOT, Json, Project, Server

BATCH = "**/v1/batch"


def visit(context: BrowserContext, url: str) -> Page:
    """Go there, and wait until its page view is sent."""
    page = context.new_page()
    with page.expect_response(BATCH):
        page.goto(url)
    return page


def wait_ready(page: Page) -> None:
    page.wait_for_function("!!window.mm?.init")


@pytest.mark.parametrize(
    ("policy", "attribute"),
    [
        ("script-src 'nonce-abc'; connect-src {stats}", ' nonce="abc"'),
        ("script-src {stats}; connect-src {stats}", ""),
    ],
)
def test_a_content_security_policy(
    site: Site, device: NewDevice, policy: str, attribute: str
) -> None:
    site.headers["Content-Security-Policy"] = policy.format(stats=site.stats)
    site.pages["/"] = snippet().replace("<script", f"<script{attribute}")
    context = device()
    said: list[str] = []
    context.on("console", lambda message: said.append(message.text))
    visit(context, site.origin)
    assert len(site.sent(1)) == 1
    assert not [text for text in said if "Content Security Policy" in text]


def test_a_path_of_the_sites_own(site: Site, device: NewDevice) -> None:
    """Nothing of the page points anywhere but to its own site."""
    tag = snippet(api="/own/events").replace("https://stats.example.com/v1/a.js", "/own/script.js")
    site.pages["/"] = tag
    page = device().new_page()
    with page.expect_response("**/own/events") as answered:
        page.goto(site.origin)
    assert answered.value.status == 202
    assert site.sent(1)[0]["url"] == site.origin + "/"


@pytest.mark.parametrize(
    "signal",
    [
        "Object.defineProperty(Navigator.prototype, 'doNotTrack', { get: () => '1' })",
        "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', { get: () => true })",
    ],
)
def test_who_asks_not_to_be_tracked_is_not(site: Site, device: NewDevice, signal: str) -> None:
    context = device()
    context.add_init_script(signal)
    said: list[str] = []
    context.on("console", lambda message: said.append(message.text))
    page = context.new_page()
    page.goto(site.origin)
    wait_ready(page)
    page.evaluate("mm.identify('ada'); mm.track('x'); mm.flush()")
    assert page.evaluate("Object.keys(localStorage)") == []
    assert ["Threadline off" in text for text in said] == [True], said
    page.close()
    site.pages["/"] = snippet(respect_dnt="false")
    visit(context, site.origin)
    assert [row["event_name"] for row in site.sent(1)] == ["$pageview"]


@engines("firefox")
def test_a_private_window_of_firefox_says_why_it_is_silent(site: Site, device: NewDevice) -> None:
    """It asks for Global Privacy Control, and whoever tries the snippet in one would wonder."""
    context = device({"browser.privatebrowsing.autostart": True})
    said: list[str] = []
    context.on("console", lambda message: said.append(message.text))
    page = context.new_page()
    page.goto(site.origin)
    wait_ready(page)
    page.evaluate("mm.track('x'); mm.flush()")
    assert page.evaluate("navigator.globalPrivacyControl") is True
    assert page.evaluate("Object.keys(localStorage)") == []
    assert ["globalPrivacyControl" in text for text in said] == [True], said
    assert site.sent(0) == []


def test_opting_out_lasts(site: Site, device: NewDevice) -> None:
    context = device()
    page = visit(context, site.origin)
    page.evaluate("mm.optOut(); mm.track('x')")
    page.reload()
    wait_ready(page)
    page.evaluate("mm.track('y'); mm.flush()")
    assert page.evaluate("Object.keys(localStorage)") == ["mm_out"]
    with page.expect_response(BATCH):
        page.evaluate("mm.optIn(); mm.track('z'); mm.flush()")
    assert [row["event_name"] for row in site.sent(2)] == ["$pageview", "z"]


def test_paths_that_are_left_out(site: Site, device: NewDevice) -> None:
    for path in ("/", "/admin/", "/admin/users"):
        site.pages[path] = snippet(exclude="/admin/*, /preview")
    context = device()
    for path in ("/admin/", "/admin/users"):
        page = context.new_page()
        page.goto(site.origin + path)
        wait_ready(page)
        page.close()
    visit(context, site.origin)
    assert [row["path"] for row in site.sent(1)] == ["/"]


def test_a_browser_that_keeps_nothing(
    site: Site, playwright: Playwright, windowed_path: str, tmp_path: Path
) -> None:
    """As its owner sets it: no site may keep anything."""
    preferences = {"profile": {"default_content_setting_values": {"cookies": 2}}}
    (tmp_path / "Default").mkdir()
    (tmp_path / "Default" / "Preferences").write_text(json.dumps(preferences))
    context = playwright.chromium.launch_persistent_context(
        tmp_path, executable_path=windowed_path, args=ARGS
    )
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    page = visit(context, site.origin)
    assert page.evaluate("(() => { try { localStorage } catch (e) { return e.name } })()") == (
        "SecurityError"
    )
    with page.expect_response(BATCH):
        page.evaluate("mm.identify('ada')")
    with page.expect_response(BATCH):
        page.evaluate("mm.track('x'); mm.flush()")
    rows = site.sent(3)
    assert [row["user_id"] for row in rows] == [None, "ada", "ada"]
    assert len({row["anonymous_id"] for row in rows}) == 1
    context.close()
    assert errors == []


def test_storage_that_is_full(site: Site, device: NewDevice) -> None:
    context = device()
    context.add_init_script(
        """
        let size = 2 ** 22;
        for (let n = 0; size >= 1;) {
          try { localStorage['filler' + n++] = 'x'.repeat(size) } catch { size /= 2 }
        }
        """
    )
    page = visit(context, site.origin)
    with page.expect_response(BATCH):
        page.evaluate("mm.identify('ada')")
    rows = site.sent(2)
    assert [row["user_id"] for row in rows] == [None, "ada"]
    assert len({row["anonymous_id"] for row in rows}) == 1


@engines(WINDOWED)
def test_coming_back_by_the_browsers_button(site: Site, device: NewDevice) -> None:
    page = visit(device(), site.origin + "/?utm_source=news")
    page.evaluate("window.kept = true")
    with page.expect_response(BATCH):
        page.click("text=See the prices")
    with page.expect_response(BATCH):
        page.evaluate("history.back()")
    assert page.evaluate("window.kept"), "the page came from the back/forward cache"
    rows = site.sent(3)
    assert [row["path"] for row in rows] == ["/", "/pricing.html", "/"]
    # It was not reached from outside a second time.
    assert rows[2]["referrer"] == site.origin + "/?utm_source=news"


class AheadSite(Site):
    """Answers `/wait` after `/made` was asked for."""

    made = threading.Event()

    def answer(self, path: str) -> tuple[str, bytes]:
        if path == "/made":
            self.made.set()
        if path == "/wait":
            assert self.made.wait(20)
        return super().answer(path)


def test_pages_made_ahead_count_when_they_are_shown(
    server: Server, windowed_path: str, tmp_path: Path
) -> None:
    """Without Playwright, under whose eyes browsers make nothing ahead."""
    rules = {"prerender": [{"urls": ["/shown", "/never"], "eagerness": "immediate"}]}
    with AheadSite(ROOT / "examples") as site:
        site.project = Project(server, [site.origin])
        site.pages["/"] = (
            snippet()
            + f'<script type="speculationrules">{json.dumps(rules)}</script>'
            + '<script>fetch("/wait").then(() => location.assign("/shown"))</script>'
        )
        site.pages["/never"] = snippet()
        site.pages["/shown"] = snippet() + (
            '<script>addEventListener("load", () => {'
            ' mm.track("loaded", { ahead: document.prerendering }); fetch("/made") })</script>'
        )
        site.pages["/made"] = site.pages["/wait"] = "."
        command = [windowed_path, *ARGS, "--headless", f"--user-data-dir={tmp_path}"]
        running = subprocess.Popen([*command, site.origin], stderr=subprocess.DEVNULL)
        try:
            rows = site.sent(3)
        finally:
            running.terminate()
            running.wait()
        assert [(row["event_name"], row["path"]) for row in rows] == [
            ("$pageview", "/"),
            ("$pageview", "/shown"),
            ("loaded", "/shown"),
        ]
        assert json.loads(rows[2]["properties"])["ahead"] is True


@engines("chromium", "firefox")
def test_a_frame_in_somebody_elses_page(site: Site, device: NewDevice) -> None:
    site.pages["/framed.html"] = snippet()
    with Site(ROOT / "examples", host="magazine.example") as magazine:
        magazine.project = site.project
        magazine.pages["/"] = f'<iframe src="{site.origin}/framed.html"></iframe>'
        page = visit(device(), magazine.origin)
        assert len(page.frames) == 2
    (row,) = site.sent(1)
    assert (row["path"], row["referrer"]) == ("/framed.html", magazine.origin + "/")
    assert (row["source"], row["medium"]) == ("magazine.example", "referral")


def test_a_sandboxed_frame_harms_nobody(site: Site, device: NewDevice) -> None:
    """It has no origin, so nothing can be sent from it, and no storage."""
    site.pages["/"] = '<iframe sandbox="allow-scripts" src="/framed.html"></iframe>'
    site.pages["/framed.html"] = snippet()
    page = device().new_page()
    with page.expect_console_message(lambda message: "SecurityError" in message.text):
        page.goto(site.origin)
    assert site.sent(0) == []


def test_a_name_in_another_script(server: Server, device: NewDevice) -> None:
    with Site(ROOT / "examples" / "static-site", host="bücher.example") as site:
        port = site.port
        site.project = Project(server, [f"http://xn--bcher-kva.example:{port}"])
        site.origin = f"http://bücher.example:{port}"
        context = device()
        page = visit(context, site.origin + "/?q=größe")
        with page.expect_response(BATCH):
            page.click("text=See the prices")
        first, second = site.sent(2)
        assert first["url"] == f"http://xn--bcher-kva.example:{port}/?q=gr%C3%B6%C3%9Fe"
        assert second["source"] == "internal"


@engines("chromium", "firefox")
def test_the_single_page_application(server: Server, device: NewDevice) -> None:
    folder = ROOT / "examples" / "spa"
    # A driver cannot make Firefox say where it comes from.
    with Site(folder) as site, Site(folder, host="www.baidu.com") as search:
        site.project = Project(server, [site.origin])
        site.otherwise = (folder / "index.html").read_text()
        site.pages["/threadline.js"] = (ROOT / "browser" / "dist" / "index.js").read_text()
        page = device().new_page()
        search.project = site.project
        search.pages["/"] = f'<a href="{site.origin}/">looms</a>'
        page.goto(search.origin)
        page.click("text=looms")
        page.click("text=Pricing")
        page.click("text=Weaver")
        page.click("text=Looms")
        page.click("text=Cheapest first")
        page.go_back()
        rows = site.sent(5)
        page.close()
        assert [(row["event_name"], row["url"].removeprefix(site.origin)) for row in rows] == [
            ("$pageview", "/"),
            ("$pageview", "/pricing"),
            ("clicked_pricing", "/pricing"),
            ("$pageview", "/looms?sort=new"),
            ("$pageview", "/pricing"),
        ]
        assert [row["referrer"].removeprefix(site.origin) for row in rows] == [
            search.origin + "/",
            "/",
            "/",
            "/pricing",
            "/looms?sort=price",
        ]
        assert [row["source"] for row in rows] == ["baidu"] + ["internal"] * 4


def test_what_was_called_before_the_script_was_there(site: Site, device: NewDevice) -> None:
    page = device().new_page()
    page.route("**/v1/a.js", lambda route: None)  # never comes
    page.goto(site.origin, wait_until="domcontentloaded")
    page.evaluate("mm.identify('ada'); mm.track('early')")
    assert page.evaluate("mm.q.length") == 2
    page.unroute("**/v1/a.js")
    # As an application may load it itself, twice by mistake.
    load = """(tag) => new Promise((done) => {
      const script = Object.assign(document.createElement('script'), { src: tag.src });
      Object.assign(script.dataset, tag.dataset);
      script.onload = done;
      document.head.append(script);
    })"""
    tag = page.query_selector("script[src$='/v1/a.js']")
    page.evaluate(load, tag)
    page.evaluate(load, tag)
    page.evaluate("mm.flush()")
    rows = site.sent(3)
    assert sorted(row["event_name"] for row in rows) == ["$identify", "$pageview", "early"]


ODD_GLOBALS = [
    '<div id="mm">menu</div>',
    '<form id="mm"><input name="q"></form>',
    "<script>mm = 7</script>",
]


@pytest.mark.parametrize("theirs", ODD_GLOBALS)
def test_a_page_with_an_mm_of_its_own(site: Site, device: NewDevice, theirs: str) -> None:
    outbound = '<script src="https://stats.example.com/v1/addons/outbound.js"></script>'
    link = '<a href="http://elsewhere.example:1/x" onclick="event.preventDefault()">out</a>'
    site.pages["/"] = theirs + snippet() + outbound + link
    context = device()
    said: list[str] = []
    context.on("console", lambda message: said.append(message.text))
    page = context.new_page()
    page.goto(site.origin)
    page.wait_for_function("!!window.threadline?.init")
    page.click("text=out")
    page.evaluate("threadline.track('x')")
    page.evaluate("threadline.flush()")
    assert sorted(row["event_name"] for row in site.sent(3)) == [
        "$outbound_click",
        "$pageview",
        "x",
    ]
    assert page.evaluate("mm === threadline") is False
    assert said.count("mm taken, use threadline") == 1


@engines("chromium", "firefox")
def test_odd_values_lose_nothing(site: Site, device: NewDevice) -> None:
    page = visit(device(), site.origin)
    page.evaluate("mm.track('cut', { text: 'party \\u{1F600}'.slice(0, 7) })")
    page.evaluate("mm.track('big', { value: 10n })")
    page.goto(site.origin + "/pricing.html")
    page.evaluate("mm.identify('ada')")
    found = {row["event_name"]: json.loads(row["properties"]) for row in site.sent(5)}
    # The server mends it: what comes is JSON, and no text.
    assert found["cut"]["text"] == "party \ufffd"
    assert found["big"]["value"] == "10"


@engines("chromium", "firefox")
def test_the_add_ons(site: Site, device: NewDevice) -> None:
    addons = ("outbound", "downloads", "forms", "clicks", "engagement")
    site.pages["/"] = snippet() + "".join(
        f'<script async src="https://stats.example.com/v1/addons/{name}.js"></script>'
        for name in addons
    )
    site.pages["/"] += """
      <p style="height: 3000px"><a href="/pricing.html" id="in">in</a>
      <a href="http://elsewhere.example:1/x" id="out" onclick="event.preventDefault()">out</a>
      <a href="/list.PDF?v=1" id="file" onclick="event.preventDefault()">file</a>
      <button data-mm-event="chose_plan" data-mm-plan="pro"><b id="plan">Pro</b></button></p>
      <form id="news" action="/subscribe?x=1" onsubmit="event.preventDefault()">
        <input name="id" value="secret"><button id="go">Go</button></form>
    """
    page = visit(device(), site.origin)
    for element in ("out", "file", "plan", "go"):
        page.click(f"#{element}")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_function("scrollY > 1000")
    page.evaluate("new Promise(requestAnimationFrame)")
    page.click("#in")
    page.wait_for_url("**/pricing.html")
    found = {row["event_name"]: json.loads(row["properties"]) for row in site.sent(7)}

    def said(event: str) -> Json:
        page_wide = ("viewport", "language", "timezone")
        return {name: value for name, value in found[event].items() if name not in page_wide}

    assert said("$outbound_click") == {"href": "http://elsewhere.example:1/x"}
    assert said("$file_download") == {"href": f"{site.origin}/list.PDF?v=1", "extension": "pdf"}
    assert said("chose_plan") == {"plan": "pro"}
    assert said("$form_submit") == {"form": "news", "action": "/subscribe"}
    assert said("$engagement")["page"] == "/"
    assert said("$engagement")["scroll_percent"] == 100


@engines("chromium", "firefox")
def test_one_visitor_on_two_domains(server: Server, device: NewDevice) -> None:
    folder = ROOT / "examples" / "static-site"
    with Site(folder) as site, Site(folder, host="shop.test") as other:
        site.project = other.project = Project(server, [site.origin, other.origin])
        addon = (
            '<script src="https://stats.example.com/v1/addons/cross-domain.js"'
            ' data-key="pk_live_YOUR_KEY" data-domains="shop.example, shop.test"></script>'
        )
        site.pages["/"] = f'{addon}{snippet()}<a href="{other.origin}/there?x=1#y">there</a>'
        other.pages["/there"] = addon + snippet()
        page = visit(device(), site.origin)
        here = page.evaluate("mm.getAnonymousId()")
        with page.expect_response(BATCH):
            page.click("text=there")
        page.wait_for_url("**/there?x=1#y")  # the parameter is gone
        assert page.evaluate("mm.getAnonymousId()") == here
        assert {row["anonymous_id"] for row in site.sent(2)} == {here}

        # The same link, changed, or sent to somebody with another browser, is worth nothing.
        page.goto(site.origin)
        page.dispatch_event("text=there", "mousedown")
        link = page.eval_on_selector("a", "link => link.href")
        assert "mm_x=" in link
        mac = "Mozilla/5.0 (Macintosh) AppleWebKit/605 Safari/605"
        for address, agent in ((link, mac), (link.replace("mm_x=", "mm_x=1"), None)):
            theirs = device(**({"user_agent": agent} if agent else {})).new_page()
            theirs.goto(address)
            assert "mm_x" not in theirs.url
            assert theirs.evaluate("mm.getAnonymousId()") != here
