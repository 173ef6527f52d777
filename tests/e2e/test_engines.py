"""The core stories in every engine: what differs from one to the next, and may not."""

import json
from typing import Any

import pytest

from tests.e2e.browsers import WINDOWED
from tests.e2e.conftest import NewVisitor, engines
from tests.e2e.site import Site, snippet
from tests.e2e.visitor import Visitor
from tests.support import ROOT, Json
from tests.width import wide

ALL = engines("chromium", "firefox", "webkit")
# Writes down what the page asks its server, and how it was answered.
WATCH = """<script>
  const real = fetch, answers = [];
  fetch = async (...given) => {
    const at = answers.push("open") - 1;
    const answer = await real(...given);
    answers[at] = answer.status;
    return answer;
  };
</script>"""
HIDE = """(() => {
  Object.defineProperty(document, "hidden", { get: () => true, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
})()"""


def names(rows: list[Json]) -> list[str]:
    return [row["event_name"] for row in rows]


def elsewhere(site: Site) -> Site:
    """Somebody else's site, with nothing of Threadline in it."""
    host = "127.0.0.1" if "localhost" in site.origin else "magazine.example"
    other = Site(ROOT / "examples", host)
    other.project = site.project
    other.pages["/"] = "<p>Read all about it.</p>"
    return other


def click(visitor: Visitor, selector: str) -> None:
    """By script: a driver's own clicks keep Firefox's pages out of the back/forward cache."""
    visitor.run(f"document.querySelector({json.dumps(selector)}).click()")


def arrive(visitor: Visitor, site: Site, path: str = "/") -> None:
    """Go there by hand, and wait until the page view is stored."""
    visitor.open(site.origin + path)
    site.sent(1)


@ALL
def test_an_ad_is_credited_with_the_signup(site: Site, visitor: NewVisitor) -> None:
    ad = f"{site.origin}/?utm_source=facebook&utm_medium=cpc&utm_campaign=spring&fbclid=IwAR2x"
    with elsewhere(site) as magazine:
        magazine.pages["/"] = f'<a href="{ad}">looms</a>'
        somebody = visitor()
        somebody.open(magazine.origin)
        click(somebody, "a")
        somebody.wait("location.search.length > 9 && !!window.mm?.init")
        somebody.run("location.assign('/signup.html')")
        somebody.wait("location.pathname == '/signup.html' && !!window.mm?.init")
        somebody.run("document.querySelector('[name=account]').value = 'user_42'")
        click(somebody, "form button")
        somebody.wait("location.pathname == '/app.html' && !!window.mm?.init")
        somebody.close()
        rows = site.sent(5)
    assert sorted(names(rows)) == ["$identify", *["$pageview"] * 3, "signup"]
    assert len({row["anonymous_id"] for row in rows}) == 1
    profile = site.project.ask("/v1/users/user_42")
    touch = profile["first_touch"]
    assert (touch["source"], touch["medium"], touch["campaign"]) == ("facebook", "paid", "spring")
    assert touch["referrer"] == magazine.origin + "/"


@ALL
def test_whoever_leaves_takes_nothing_along(site: Site, visitor: NewVisitor) -> None:
    """With a request still open, to a page without the script: nobody sends it later."""
    with elsewhere(site) as magazine:
        somebody = visitor()
        arrive(somebody, site)
        somebody.run(
            "(mm.identify('ada'), mm.track('used'), mm.flush(), mm.track('last_words'),"
            f" location.assign('{magazine.origin}'))"
        )
        assert sorted(names(site.sent(4))) == ["$identify", "$pageview", "last_words", "used"]


@ALL
def test_what_a_page_says_while_it_is_left(site: Site, visitor: NewVisitor) -> None:
    site.pages["/"] = (
        snippet() + "<script>addEventListener('pagehide', () => mm.track('bye'))</script>"
    )
    with elsewhere(site) as magazine:
        somebody = visitor()
        arrive(somebody, site)
        somebody.run(f"location.assign('{magazine.origin}')")
        assert names(site.sent(2)) == ["$pageview", "bye"]


@ALL
def test_a_tab_that_is_closed(site: Site, visitor: NewVisitor) -> None:
    somebody = visitor()
    arrive(somebody, site)
    somebody.run("mm.track('last_words')")
    somebody.close()
    assert names(site.sent(2)) == ["$pageview", "last_words"]


@engines(WINDOWED, "firefox", "webkit")
def test_back_from_the_cache_with_a_request_open(site: Site, visitor: NewVisitor) -> None:
    """Firefox never says how the request ended that was open when the page was left."""
    site.pages["/"] = snippet() + '<a href="/next" onclick="mm.track(`clicked`)">next</a>'
    site.pages["/next"] = snippet()
    somebody = visitor()
    arrive(somebody, site)
    somebody.run("window.kept = true")
    click(somebody, "a")
    somebody.wait("location.pathname == '/next' && !!window.mm?.init")
    somebody.run("void setTimeout(() => history.back())")
    somebody.wait("location.pathname == '/' && window.kept")
    somebody.run("mm.track('after_back')")
    rows = site.sent(5)
    assert sorted(names(rows)) == [*["$pageview"] * 3, "after_back", "clicked"]
    assert len({row["anonymous_id"] for row in rows}) == 1


@ALL
@pytest.mark.parametrize("apart", [False, True])
def test_a_hidden_tab_sends_together(site: Site, visitor: NewVisitor, apart: bool) -> None:
    """It would take the place of everybody behind the same address."""
    site.pages["/"] = WATCH + snippet()
    somebody = visitor()
    arrive(somebody, site)
    somebody.run(HIDE)
    # Past the moment of hiding: what a page says then goes at once.
    somebody.run("void setTimeout(() => setTimeout(() => window.later = true))")
    somebody.wait("window.later")
    if apart:
        for number in range(40):
            somebody.run(f"mm.track('e{number}')")
    else:
        somebody.run("[...Array(60).keys()].forEach((number) => mm.track('e' + number))")
    count = 40 if apart else 60
    assert len({row["event_id"] for row in site.sent(count + 1)}) == count + 1
    answers = somebody.run("answers")
    assert set(answers) <= {202, "open"}
    assert len(answers) <= 5


def three_rows(site: Site, somebody: Visitor) -> None:
    """A browser that keeps nothing: all arrives, from one visitor, on this page."""
    arrive(somebody, site)
    somebody.run("(mm.identify('ada'), mm.track('x'), mm.flush())")
    rows = site.sent(3)
    assert [row["user_id"] for row in rows] == [None, "ada", "ada"]
    assert len({row["anonymous_id"] for row in rows}) == 1


NO_STORAGE = ("dom.storage.enabled", False, "null")
NO_COOKIES = ("network.cookie.cookieBehavior", 2, "SecurityError")


# Each takes a Firefox of its own. Chromium throws, too, where nothing may be kept (test_pages.py).
@pytest.mark.parametrize(
    ("preference", "value", "seen"), wide([NO_STORAGE], [NO_STORAGE, NO_COOKIES])
)
@engines("firefox")
def test_a_firefox_that_keeps_nothing(
    site: Site, visitor: NewVisitor, preference: str, value: Any, seen: str
) -> None:
    somebody = visitor({preference: value})
    three_rows(site, somebody)
    look = "(() => { try { return '' + localStorage } catch (error) { return error.name } })()"
    assert somebody.run(look) == seen


@engines("webkit")
def test_a_webkit_that_keeps_nothing(site: Site, visitor: NewVisitor) -> None:
    somebody = visitor(settings=("--enable-html5-local-storage=false",))
    three_rows(site, somebody)
    assert somebody.run("localStorage") is None


@engines("firefox")
def test_a_firefox_whose_requests_die_with_their_page(site: Site, visitor: NewVisitor) -> None:
    """As all before 133 are."""
    with elsewhere(site) as magazine:
        somebody = visitor({"dom.fetchKeepalive.enabled": False})
        arrive(somebody, site)
        assert somebody.run("'keepalive' in Request.prototype") is False
        somebody.run(
            f"(mm.identify('ada'), mm.track('used'), location.assign('{magazine.origin}'))"
        )
        assert sorted(names(site.sent(3))) == ["$identify", "$pageview", "used"]
