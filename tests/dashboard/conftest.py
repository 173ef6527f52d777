"""A demo server for the whole session, and pages on which somebody is signed in."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from tests.dashboard.house import House
from tests.width import WIDE, wide

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "src" / "threadline" / "web" / "dashboard" / "index.html"
AXE = ROOT / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
# The folder where pictures go, for whoever changes a page to look at; without it there are none.
SHOTS = os.environ.get("THREADLINE_TEST_SHOTS")
WIDTHS = (390, 820, 1440)
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
NewPage = Callable[..., Page]
# How a page is looked at: in every width and in every scheme. How wide it is does not follow from
# its colours, so all pairs of them are for a wide run, and for who wants pictures.
VIEWS: tuple[tuple[int, Scheme], ...] = (
    tuple((width, scheme) for width in WIDTHS for scheme in SCHEMES)
    if WIDE or SHOTS
    else ((WIDTHS[0], "dark"), (WIDTHS[1], "light"), (WIDTHS[2], "light"))
)
# Of these, what axe looks into.
MORE_VIEWS: set[tuple[int, Scheme]] = {(WIDTHS[1], "light"), (WIDTHS[2], "dark")}
LOOKED_INTO = {(WIDTHS[0], "dark"), (WIDTHS[2], "light"), *wide(set(), MORE_VIEWS)}
expect.set_options(timeout=20_000)


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    assert BUILT.exists(), "The dashboard is not built: make build"
    with House(tmp_path_factory.mktemp("dashboard") / "demo") as running:
        yield running


@pytest.fixture(scope="session")
def chromium(launch: Callable[..., Browser]) -> Browser:
    return launch("chromium")


@pytest.fixture
def stranger(chromium: Browser) -> Iterator[NewPage]:
    """New pages on which nobody is signed in. Whatever a page's policy forbids, and whatever goes
    wrong in it, fails the test."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text or "Content-Security-Policy" in message.text:
            wrong.append(message.text)

    def new(width: int = 1440, scheme: Scheme = "light", **options: object) -> Page:
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            reduced_motion="reduce",
            **{"locale": "en-GB", "timezone_id": "UTC", **options},  # type: ignore[arg-type]
        )
        context.set_default_timeout(20_000)
        context.on("weberror", lambda error: wrong.append(str(error.error)))
        context.on("console", heard)
        contexts.append(context)
        return context.new_page()

    yield new
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def page_of(stranger: NewPage, house: House) -> NewPage:
    """New pages on which the owner is signed in: `page_of("/attribution", width=390)`, loaded."""

    def new(
        path: str = "/", width: int = 1440, scheme: Scheme = "light", **options: object
    ) -> Page:
        page = stranger(width, scheme, **options)
        cookie = {"name": "threadline_session", "value": house.cookie, "url": house.url}
        page.context.add_cookies([cookie])  # type: ignore[list-item]
        own = (
            "" if "project=" in path else f"{'&' if '?' in path else '?'}project={house.project_id}"
        )
        page.goto(f"{house.url}/dashboard{path}{own}")
        settled(page)
        return page

    return new


def settled(page: Page) -> None:
    """Everything that was asked is answered and drawn. Not by a function that Playwright would wait
    for: the page's policy lets no text be run."""
    page.locator("main, form, .alone").first.wait_for()
    expect(page.locator("[aria-busy=true]")).to_have_count(0, timeout=60_000)
    page.evaluate("document.fonts.ready.then(() => true)")


def shoot(page: Page, name: str) -> None:
    """The whole page as a picture, where somebody wants to see it."""
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


MOVED = """() => Promise.allSettled(document.getAnimations()
    .filter(each => each.effect.getComputedTiming().endTime !== Infinity)
    .map(each => each.finished))"""


def violations(page: Page) -> list[str]:
    """What axe-core finds, of every level: rule, where, and why."""
    if not page.evaluate("() => 'axe' in window"):
        # As a file of the page's own could not be: what a test adds is beside its policy.
        page.evaluate(AXE.read_text())
    # In the middle of a transition colours are of neither scheme.
    page.evaluate(MOVED)
    found = page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


def whole(page: Page, name: str) -> None:
    """Nothing of the page is wider than its window in any view, and axe finds nothing in the
    narrowest and in the widest, once in the dark and once in the light. What is in between has
    nothing that neither of them has."""
    for width, scheme in VIEWS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        settled(page)
        shoot(page, f"{name}-{width}-{scheme}")
        assert too_wide(page) <= 0, (width, scheme)
        if (width, scheme) in LOOKED_INTO:
            assert violations(page) == [], (width, scheme)


def too_wide(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return int(
        page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    )
