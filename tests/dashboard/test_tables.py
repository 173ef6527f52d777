"""Tables of very many rows, and tables and drawings as files."""

import io
import json
import re
from pathlib import Path

import polars
import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import NewPage, settled
from tests.dashboard.house import House

ROWS = 100_000


@pytest.fixture
def long(page_of: NewPage) -> Page:
    """A page whose table has a hundred thousand rows, more than any answer of the server has."""
    page = page_of("/settings/keys")
    rows = [
        {"anonymous_id": f"device {nth}", "users": [], "events": ROWS - nth, "moving_share": 0.5}
        for nth in range(ROWS)
    ]
    body = json.dumps({"stitch": "next", "rows": rows, "next_cursor": None})
    page.route(
        re.compile("/v1/identity/shared-devices"),
        lambda route: route.fulfill(body=body, content_type="application/json"),
    )
    page.get_by_role("link", name="Identity", exact=True).click()
    page.get_by_role("table", name="Shared devices").wait_for(timeout=120_000)
    settled(page)
    return page


def test_a_hundred_thousand_rows_stay_smooth(long: Page) -> None:
    """What is drawn does not grow with the rows: only those in sight, wherever one scrolls to."""
    table = long.get_by_role("table", name="Shared devices")
    scroller = long.get_by_role("region", name="Shared devices")
    expect(table).to_have_attribute("aria-rowcount", str(ROWS + 1))
    expect(long.get_by_text("100,000 rows")).to_be_visible()
    drawn = table.locator("tbody tr[data-at]")
    for share in (0, 0.5, 1):
        scroller.evaluate("(all, share) => { all.scrollTop = share * all.scrollHeight }", share)
        nth = round(share * (ROWS - 1))
        near = "|".join(str(n) for n in range(max(0, nth - 60), min(ROWS, nth + 60)))
        expect(drawn.first).to_have_attribute("data-at", re.compile(f"^({near})$"))
        assert 0 < drawn.count() < 100
    # Nor while all of it is scrolled through, frame by frame.
    most = scroller.evaluate(
        """async (all) => {
            let most = 0;
            for (let step = 0; step < 60; step++) {
                all.scrollTop = (step / 60) * all.scrollHeight;
                await new Promise(requestAnimationFrame);
                most = Math.max(most, all.querySelectorAll("tbody tr").length);
            }
            return most;
        }"""
    )
    assert most < 100


def test_the_keyboard_walks_to_the_last_of_them_and_sorting_holds(long: Page) -> None:
    table = long.get_by_role("table", name="Shared devices")
    table.get_by_role("button", name="Events").click()
    first = table.locator("tbody tr[data-at]").first
    expect(first).to_have_text(re.compile("device 0"))
    table.get_by_role("button", name="Events").click()
    expect(first).to_have_text(re.compile(f"device {ROWS - 1}"))


def saved(page: Page, name: str) -> bytes:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=name, exact=True).click()
    return Path(waiting.value.path()).read_bytes()


def test_a_table_is_taken_along_as_csv_and_as_parquet(house: House, page_of: NewPage) -> None:
    page = page_of("/?range=all")
    asked = {"metric": "persons", "group_by": "country", "limit": 8, "tz": "UTC", "stitch": "next"}
    counted = [row["value"] for row in house.ask("/v1/stats", **asked)["rows"]]
    table = polars.read_parquet(io.BytesIO(saved(page, "Countries as Parquet")))
    assert table.columns == ["Country", "People"]
    assert table["People"].dtype == polars.Int64
    assert table["People"].to_list() == counted
    lines = saved(page, "Countries as CSV").decode().splitlines()
    assert lines[0] == "Country,People"
    assert [int(line.rpartition(",")[2]) for line in lines[1:]] == counted


@pytest.mark.parametrize(
    ("path", "name", "says"),
    [
        ("/paths?range=all&event=signup", "Ways to signup as SVG", "/pricing"),
        ("/funnels?range=all&steps=$pageview,signup", "Funnel as SVG", "signup"),
    ],
)
def test_a_drawing_is_taken_along(page_of: NewPage, path: str, name: str, says: str) -> None:
    page = page_of(path)
    svg = saved(page, name).decode()
    assert svg.startswith("<svg")
    assert says in svg
    assert "class=" not in svg
    png = saved(page, name.replace("SVG", "PNG"))
    assert png.startswith(b"\x89PNG")


def test_all_people_are_taken_along_as_parquet(house: House, page_of: NewPage) -> None:
    page = page_of("/people")
    people = house.ask("/v1/users", limit=1000)["rows"]
    table = polars.read_parquet(io.BytesIO(saved(page, "Parquet")))
    assert sorted(table["user_id"]) == sorted(row["user_id"] for row in people)
    assert "first_touch.source" in table.columns
