"""The project's time zone in the dashboard: said in the settings, and what every page goes by."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import NewPage, settled
from tests.dashboard.house import House

READER = "America/New_York"
ZONE = "Asia/Kolkata"


@pytest.fixture
def zoneless(house: House) -> Iterator[str]:
    """The project's path; afterwards it is as it was."""
    path = f"/v1/projects/{house.project_id}"
    yield path
    house.change("PUT", path, {"timezone": None})


def test_days_are_the_readers_until_the_project_has_its_own(
    house: House, page_of: NewPage, zoneless: str
) -> None:
    page = page_of("/?range=7d", timezone_id=READER)
    page.wait_for_url(re.compile("tz=America%2FNew_York"))

    page = page_of("/settings", timezone_id=READER)
    zone = page.get_by_label("Days begin by the clocks of")
    expect(zone).to_have_value("")
    zone.fill("Asia/Kolkatta")
    save = page.get_by_role("button", name="Save", exact=True)
    save.click()
    expect(page.get_by_role("alert")).to_contain_text("did you mean Asia/Kolkata?")
    zone.fill(ZONE)
    save.click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    page.wait_for_url(re.compile("tz=Asia%2FKolkata"))
    zones = {row["project_id"]: row["timezone"] for row in house.ask("/v1/projects")["rows"]}
    assert zones[house.project_id] == ZONE

    # Whoever opens a page without one is shown the project's days.
    page = page_of("/?range=7d", timezone_id=READER)
    page.wait_for_url(re.compile("tz=Asia%2FKolkata"))
    settled(page)
    page.get_by_role("button", name=re.compile("Time:|Last 7 days")).first.click()
    expect(page.get_by_text("Days as in Asia/Kolkata")).to_be_visible()
    # But a link shows what whoever sent it saw.
    page = page_of("/?range=7d&tz=UTC", timezone_id=READER)
    page.get_by_role("button", name=re.compile("Time:|Last 7 days")).first.click()
    expect(page.get_by_text("Days as in UTC")).to_be_visible()
