"""Whatever visitors and members write into a field is text on every page, and runs nowhere."""

from collections.abc import Mapping
from urllib.parse import quote

import pytest

from tests.dashboard.conftest import NewPage, settled, too_wide, violations
from tests.dashboard.house import House
from tests.support import Json

MARKUP = '<img src=x onerror="window.ran=1"><script>window.ran=1</script>\'"`{{1}}'
NAMES: Mapping[str, str] = {
    "markup": MARKUP,
    "scheme": "javascript:window.ran=1",
    "right-to-left": "\u202eeman\u202c \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "long": "W" * 10_000,
    "halves": "\ud83d \ude00 \U0001f9f5\u200d",
    "formula": '=HYPERLINK("http://evil.example","x")',
    "grammar": "a;b|c\\d==e,f",
}
DAY = "2026-05-0{}T10:0{}:00Z"


def events() -> list[Json]:
    """Somebody of each name: what they came by, saw, did and are."""
    found: list[Json] = []
    for nth, name in enumerate(NAMES.values(), start=1):
        short = name[:100]
        source = quote(short.encode("utf-8", "replace"))
        query = f"utm_source={source}&utm_medium={source}&utm_campaign={source}"
        path = quote(name.encode("utf-8", "replace"))[:1500]
        common = {"anonymous_id": f"device {nth}"}
        seen = {"url": f"https://shop.example/{path}?{query}", "referrer": "https://x.example/"}
        person = short.encode("utf-8", "replace").decode()
        found += [
            {**common, **seen, "event": "$pageview", "timestamp": DAY.format(nth, 0)},
            {
                **common,
                "event": "$identify",
                "user_id": person,
                "properties": {"plan": name, short: name, "email": name},
                "timestamp": DAY.format(nth, 1),
            },
            {
                **common,
                "event": short,
                "user_id": person,
                "properties": {short: name, "value": 1, "currency": "EUR"},
                "timestamp": DAY.format(nth, 2),
            },
            {
                **common,
                "event": "signup",
                "user_id": person,
                "properties": {"value": 1, "currency": "EUR"},
                "timestamp": DAY.format(nth, 3),
            },
        ]
    return found


@pytest.fixture(scope="module")
def project(house: House) -> str:
    """A project of such people, under such a name, with such notes."""
    # The demo stays the first of all, which is the one shown.
    made = house.change("POST", "/v1/projects", {"name": f"~{MARKUP[:89]}", "origins": []})
    key = made["keys"]["sk"]
    for event in events():
        reply = house.send_with(key, "POST", "/v1/track", event)
        assert reply.status in (202, 400), reply
    note = {"at": "2026-05-02", "text": MARKUP}
    assert house.send_with(key, "POST", "/v1/annotations", note).status < 300
    goal = {"event": "signup", "description": MARKUP}
    assert (
        house.send_with(key, "PUT", "/v1/goals/" + quote(MARKUP[:60], safe=""), goal).status < 300
    )
    return str(made["project_id"])


PAGES = (
    "/?range=2026-05-01..2026-05-20&sources=all&goal=signup",
    "/attribution?range=all&goal=signup&rows=all",
    f"/attribution?range=all&goal=signup&cell={quote(MARKUP)}&model=linear&who={quote(MARKUP[:100])}",
    f"/?filters={quote('properties.plan==' + MARKUP.replace(';', ''))}&range={quote(MARKUP)}",
    f"/?goal={quote(MARKUP)}&tz={quote(MARKUP)}&compare={quote(MARKUP)}&stitch={quote(MARKUP)}",
    f"/{quote(MARKUP, safe='')}",
)


@pytest.mark.parametrize("nth", range(len(PAGES)))
def test_page(house: House, page_of: NewPage, project: str, nth: int) -> None:
    path = PAGES[nth]
    page = page_of(f"{path}{'&' if '?' in path else '?'}project={project}", width=390)
    for button in page.get_by_role("button", name="Goal").all():
        button.click()
        page.keyboard.press("Escape")
    settled(page)
    assert page.evaluate("window.ran") is None
    assert (
        page.locator("main img, main script, main iframe, main a[href^='javascript:']").count() == 0
    )
    assert too_wide(page) <= 0
    assert violations(page) == []


def test_what_is_hostile_is_there_as_text(page_of: NewPage, project: str) -> None:
    page = page_of(f"/?range=2026-05-01..2026-05-20&sources=all&goal=signup&project={project}")
    text = page.locator("main").inner_text()
    assert "<img src=x onerror=" in text
    assert "=HYPERLINK(" in text
    assert "javascript:window.ran=1" in text
    # The filter that a click makes is read back as what it was.
    row = page.get_by_role("table", name="Sources").get_by_role("button").filter(has_text="a;b|c")
    row.first.click()
    settled(page)
    assert page.get_by_role("alert").count() == 0
    assert page.locator("data[data-of=people]").get_attribute("value") == "1"


def test_search_shows_text(page_of: NewPage, project: str) -> None:
    page = page_of(f"/?project={project}")
    page.keyboard.press("/")
    page.keyboard.type("<img")
    page.get_by_role("option").filter(has_text="<img src=x").first.wait_for()
    assert page.evaluate("window.ran") is None
