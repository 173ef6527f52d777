"""The Overview as a board: arranged, kept for everybody, shared as it is, and put back."""

import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import NewPage, settled, too_wide, violations
from tests.dashboard.house import House

AS_IT_COMES = [
    *("figures", "people", "sources", "entry_pages", "campaigns", "countries", "devices"),
]
BOARD = "/v1/boards/Overview"


@pytest.fixture
def as_it_comes(house: House) -> Iterator[None]:
    """Whatever a test arranges is put back."""
    yield
    for kind in ("boards", "insights"):
        for row in house.ask(f"/v1/{kind}")["rows"]:
            house.change("DELETE", f"/v1/{kind}/{quote(row['name'])}")


def titles(page: Page) -> list[str | None]:
    tiles = page.locator(".tiles > article").all()
    return [tile.get_attribute("aria-label") for tile in tiles]


def parts(house: House) -> list[str]:
    return [tile.get("part") or tile["insight"] for tile in house.ask(BOARD)["insights"]]


def arranged(page: Page, part: str, act: str) -> None:
    group = page.get_by_role("group", name=f"Arrange {part}", exact=True)
    with page.expect_response(lambda reply: BOARD in reply.url and reply.request.method == "PUT"):
        group.get_by_role("button", name=act, exact=True).click()
    settled(page)


def test_the_overview_is_arranged_for_everybody(
    house: House, page_of: NewPage, stranger: NewPage, as_it_comes: None
) -> None:
    page = page_of("/")
    assert titles(page)[2:5] == [
        "What brought them, what closed them",
        "Entry pages",
        "Campaigns",
    ]
    page.get_by_role("button", name="Overview: More").click()
    page.get_by_role("button", name="Arrange this page").click()
    assert violations(page) == []
    arranged(page, "Campaigns", "Remove")
    arranged(page, "Countries", "Earlier")
    arranged(page, "Devices", "Wide")
    without = [part for part in AS_IT_COMES if part != "campaigns"]
    wanted = [*without[:3], "countries", "entry_pages", "devices"]
    assert parts(house) == wanted
    assert house.ask(BOARD)["insights"][-1]["width"] == 12
    page.get_by_role("button", name="Add something").click()
    page.get_by_role("button", name="of the Overview").click()
    page.get_by_role("button", name="Add it").click()
    expect(page.get_by_role("article", name="Campaigns")).to_be_visible()
    page.get_by_role("button", name="Done").click()
    # Whoever opens it next sees it so, also by a link.
    again = page_of("/")
    assert titles(again)[3:] == ["Countries", "Entry pages", "Devices", "Campaigns"]
    again.get_by_role("button", name="Overview: More").click()
    again.get_by_role("button", name="Share it by a link").click()
    again.get_by_label("Name").fill("For the board")
    again.get_by_role("button", name="Make the link").click()
    link = again.get_by_role("dialog").locator("code").first.inner_text()
    shared = stranger()
    shared.goto(link)
    settled(shared)
    assert titles(shared) == titles(again)
    page.get_by_role("button", name="Overview: More").click()
    page.get_by_role("button", name="Arrange this page").click()
    page.get_by_role("button", name="Default layout").click()
    expect(page.get_by_role("article").nth(3)).to_have_attribute("aria-label", "Entry pages")
    assert house.ask("/v1/boards")["rows"] == []


def test_an_insight_is_put_on_the_overview(
    house: House, page_of: NewPage, as_it_comes: None
) -> None:
    insight = {"question": "stats", "params": {"metric": "persons", "from": "7d"}}
    house.change("PUT", "/v1/insights/A%20week", insight)
    page = page_of("/boards?add=A%20week")
    page.get_by_role("button", name="Put it there").click()
    tile = page.get_by_role("article", name="A week")
    expect(tile.locator("data")).to_have_text(re.compile(r"^[\d,]+$"))
    assert parts(house) == [*AS_IT_COMES, "A week"]
    # It is the first page, and no other board.
    expect(page.get_by_role("heading", name=re.compile("^Overview of"))).to_have_count(1)


@pytest.mark.parametrize("width", [360, 820, 1440, 1920])
def test_no_tile_is_wider_than_its_place(page_of: NewPage, width: int) -> None:
    page = page_of("/?arrange=true", width)
    assert too_wide(page) <= 0
    lies = page.locator(".tiles > article").evaluate_all(
        "all => all.map((each) => { const box = each.getBoundingClientRect();"
        " return [box.left, box.right]; })"
    )
    assert len(lies) == len(AS_IT_COMES)
    if width == 1920:
        # The right fifth is used, too.
        assert max(right for _, right in lies) > 0.95 * width
