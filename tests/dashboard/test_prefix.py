"""The dashboard below a path of another site, in a real browser: nothing is asked beside it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import NewPage, settled
from tests.support import Server
from threadline.control import Control


@pytest.fixture
def below(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "data", THREADLINE_PREFIX="/shop/stats") as running:
        yield running


def test_everything_is_found_below_the_prefix(below: Server, stranger: NewPage) -> None:
    with Control(below.folder) as control:
        token = control.setup_link()
    root = f"{below.url}/shop/stats"
    page = stranger(1440)
    asked: list[str] = []
    failed: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("response", lambda got: failed.append(got.url) if got.status == 404 else None)
    page.goto(f"{root}/dashboard/setup/{token}")
    settled(page)
    page.get_by_label("E-mail address").fill("ada@shop.example")
    page.get_by_role("textbox", name="Password").fill("a sentence that is kept")
    page.get_by_role("textbox", name="Name").nth(1).fill("Shop")
    page.get_by_label("Address of its site").fill("https://shop.example")
    page.get_by_role("button", name="Create the project").click()
    page.wait_for_url(re.compile("/shop/stats/dashboard/first-event"))
    expect(page.locator("pre").first).to_contain_text(f'src="{root}/v1/a.js"')
    page.get_by_role("link", name="Later: to the overview").click()
    page.wait_for_url(re.compile("/shop/stats/dashboard/"))
    settled(page)
    (cookie,) = page.context.cookies()
    assert cookie["path"] == "/shop/stats/"
    # A page by its address, as from a bookmark; its scripts are loaded when it is opened.
    page.goto(f"{root}/dashboard/people")
    settled(page)
    expect(page.get_by_role("heading", name="People")).to_be_visible()
    assert [url for url in asked if not url.startswith((f"{root}/", "data:"))] == []
    assert failed == []
