"""Every page in every width and theme: nothing wider than its window, nothing that axe finds, and a
picture to look at."""

from collections.abc import Iterator, Mapping, Sequence

import pytest
from playwright.sync_api import Page, Route, expect

from tests.dashboard.conftest import (
    SCHEMES,
    WIDTHS,
    NewPage,
    Scheme,
    settled,
    shoot,
    too_wide,
    violations,
    whole,
)
from tests.dashboard.house import House
from tests.support import until

FIVE = "%24pageview%2Csignup%2C%24pageview%2Csignup%2C%24pageview"
OPENED = "cell=google%2Corganic&model=linear&against=last"
PAGES: Mapping[str, str] = {
    "overview": "/",
    "overview-compared": "/?range=7d&compare=previous_period&filters=country%3D%3DDE",
    "attribution": "/attribution?range=all",
    "attribution-open": f"/attribution?range=all&{OPENED}&who=$PERSON",
    "attribution-value": "/attribution?range=all&goal=purchase&measure=value:EUR",
    "nothing": "/?range=2020-01-01..2020-01-02",
    "nothing-credited": "/attribution?range=2020-01-01..2020-01-02",
    "not-found": "/no/such/page",
}


@pytest.fixture(scope="module")
def person(house: House) -> str:
    """Somebody whom google / organic brought to signing up."""
    asked = {"conversion": "signup", "model": "linear", "group": "google,organic"}
    rows = house.ask("/v1/attribution", **asked, group_by="source,medium,user_id", stitch="next")
    return str(next(row["user_id"] for row in rows["rows"] if row["user_id"]))


@pytest.mark.parametrize("name", PAGES)
def test_page(page_of: NewPage, person: str, name: str) -> None:
    """Loaded once: wider or narrower, lighter or darker, it is the same page."""
    page = page_of(PAGES[name].replace("$PERSON", person), WIDTHS[0])
    assert page.title().endswith("Threadline")
    whole(page, name)


@pytest.mark.parametrize("path", ["/sign-in", "/link/none", "/setup/none"])
def test_door(stranger: NewPage, house: House, path: str) -> None:
    page = stranger(390)
    page.goto(f"{house.url}/dashboard{path}")
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        settled(page)
        shoot(page, f"{path.split('/')[1]}-390-{scheme}")
        assert too_wide(page) <= 0, scheme
        assert violations(page) == [], scheme


BUTTONS: Mapping[str, Sequence[str]] = {
    "/": ("Time:", "Goal", "+ Filter", "People a day: save"),
    "/attribution": ("marked against",),
    "/people": ("Columns",),
    "/people/$PERSON": ("Person:",),
    "/funnels": ("+ Step",),
    "/settings/members": ("Role of",),
}


@pytest.mark.parametrize("path", BUTTONS)
def test_what_a_button_opens_is_within_the_window(page_of: NewPage, person: str, path: str) -> None:
    page = page_of(path.replace("$PERSON", person), 360)
    panel = page.locator(".panel")

    def is_within() -> bool:
        lies = panel.bounding_box()
        return lies is not None and lies["x"] >= 0 and lies["x"] + lies["width"] <= 360

    for nth, button in enumerate(BUTTONS[path]):
        if nth:  # what the one before has opened is in nobody's way
            page.reload()
            settled(page)
        page.get_by_role("button", name=button).first.click()
        # It is placed once it is there, and that may be a moment later.
        until(is_within, patience_s=5)
        assert too_wide(page) <= 0, button


def widened(page: Page, *widths: int) -> Iterator[int]:
    """The same page in one width after the other."""
    for width in widths:
        page.set_viewport_size({"width": width, "height": 900})
        settled(page)
        yield width


def test_what_a_cell_would_move_by_stays_in_its_cell(page_of: NewPage) -> None:
    page = page_of(f"{PAGES['attribution-value']}&against=none", 360)
    for width in widened(page, 360, 768, 1280):
        rooms = page.locator(".cell .moves").evaluate_all(
            """all => all.map(each => each.getBoundingClientRect().left
                - each.parentElement.getBoundingClientRect().left)"""
        )
        assert rooms, width
        assert min(rooms) >= 0, width
        assert too_wide(page) <= 0, width


def test_six_facts_make_even_rows(page_of: NewPage) -> None:
    """None stands alone in a row that others have filled."""
    rows = {1920: 1, 1280: 1, 1024: 2, 768: 2, 360: 3}
    page = page_of("/", 1920)
    for width in widened(page, *rows):
        facts = page.locator(".facts > div")
        tops = facts.evaluate_all("all => all.map(each => each.getBoundingClientRect().top)")
        assert len(tops) == 6
        assert {tops.count(top) for top in tops} == {6 // rows[width]}, width


SHIFTS = """() => new Promise(done => {
    const said = ({ node, previousRect, currentRect }) =>
        `${node?.className} from ${previousRect.y} to ${currentRect.y}: ${node?.textContent}`;
    new PerformanceObserver(list => done(list.getEntries()
        .filter(({ hadRecentInput }) => !hadRecentInput)
        .map(({ value, sources }) => [value, sources.map(said)])))
        .observe({ type: "layout-shift", buffered: true });
    setTimeout(() => done([]), 2000);
})"""


def jumps(page: Page) -> str:
    """What moved by itself while the page came; nothing, where hardly anything did."""
    found = page.evaluate(SHIFTS)
    return str(found) if sum(value for value, _ in found) >= 0.004 else ""


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_jumps_while_the_overview_comes(page_of: NewPage, width: int) -> None:
    """What is not there yet has its place."""
    assert jumps(page_of("/", width)) == ""


def test_nothing_jumps_where_letters_come_late(page_of: NewPage) -> None:
    page = page_of("/", 390)
    held: list[Route] = []
    page.route("**/*.woff2", lambda route: held.append(route))
    page.reload(wait_until="commit")
    expect(page.locator("dl data").first).to_be_visible()
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    assert held
    for route in held:
        route.continue_()
    page.evaluate("document.fonts.ready.then(() => true)")
    assert jumps(page) == ""


@pytest.mark.parametrize("locale", ["en-US", "en-GB", "ja-JP"])
def test_a_time_of_day_is_one_line(
    stranger: NewPage, house: House, person: str, locale: str
) -> None:
    page = stranger(360, locale=locale)
    page.context.add_cookies(
        [{"name": "threadline_session", "value": house.cookie, "url": house.url}]
    )
    for path, times in ((f"/people/{person}", ".row .time"), ("/live", ".line .when")):
        page.goto(f"{house.url}/dashboard{path}?project={house.project_id}")
        for width in widened(page, 360, 1280):
            boxes = page.locator(times).evaluate_all(
                "all => all.map(each => [each.offsetHeight, each.offsetWidth, each.offsetLeft])"
            )
            assert boxes, width
            assert max(height for height, _, _ in boxes) < 26, width
            # And all columns beside it begin at one place.
            assert len({(across, left) for _, across, left in boxes}) == 1, width


@pytest.mark.parametrize(
    "path", ["/?compare=previous_period", f"/funnels?range=all&group_by=source&steps={FIVE}"]
)
def test_names_of_rows_can_be_read_on_a_telephone(page_of: NewPage, path: str) -> None:
    """A table with many columns scrolls by itself; its names are not cut to a letter."""
    page = page_of(path, 360)
    widths = page.locator("tbody th").evaluate_all("all => all.map(each => each.offsetWidth)")
    assert widths
    assert min(widths) >= 80
    assert too_wide(page) <= 0
    assert violations(page) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_opens(page_of: NewPage, scheme: Scheme) -> None:
    """Menus, forms and dialogs are pages of their own to whoever cannot see them."""
    page = page_of("/", scheme=scheme)
    for name, button in (
        ("menu-time", page.get_by_role("button", name="Time:")),
        ("menu-goal", page.get_by_role("button", name="Goal")),
        ("menu-account", page.get_by_role("button", name="Account:")),
        ("form-filter", page.get_by_role("button", name="+ Filter")),
    ):
        button.click()
        shoot(page, f"{name}-{scheme}")
        assert violations(page) == [], name
        # The first closes what a field proposes.
        for _ in range(2 if name == "form-filter" else 1):
            page.keyboard.press("Escape")
        expect(button).to_have_attribute("aria-expanded", "false")
    for key, title in (("?", "Keyboard"), ("/", "Search")):
        page.keyboard.press(key)
        dialog = page.get_by_role("dialog", name=title)
        dialog.wait_for()
        settled(page)
        shoot(page, f"dialog-{title.lower()}-{scheme}")
        assert violations(page) == [], title
        page.keyboard.press("Escape")
        dialog.wait_for(state="detached")
