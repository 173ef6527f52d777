"""Every page in every width and theme: nothing wider than its window, nothing that axe finds, and a
picture to look at."""

from collections.abc import Mapping

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import (
    SCHEMES,
    WIDTHS,
    NewPage,
    Scheme,
    settled,
    shoot,
    too_wide,
    violations,
)
from tests.dashboard.house import House

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
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            settled(page)
            shoot(page, f"{name}-{width}-{scheme}")
            assert too_wide(page) <= 0, (width, scheme)
        # The last was dark: both themes, both ways of lying.
        assert violations(page) == [], width
        if width == WIDTHS[-1]:
            page.emulate_media(color_scheme="light")
            assert violations(page) == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("path", ["/sign-in", "/link/none", "/setup/none"])
def test_door(stranger: NewPage, house: House, path: str, scheme: Scheme) -> None:
    page = stranger(390, scheme)
    page.goto(f"{house.url}/dashboard{path}")
    settled(page)
    shoot(page, f"{path.split('/')[1]}-390-{scheme}")
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
