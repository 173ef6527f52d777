"""From an empty folder to the first event, seen and classified, by way of a real page and the real
script."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import NewPage, settled, shoot, violations
from tests.dashboard.house import served_by
from tests.e2e.site import Site
from tests.support import Server
from threadline.control import Control


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "data") as running:
        yield running


def test_first_run(empty: Server, stranger: NewPage, tmp_path: Path) -> None:
    with Control(empty.folder) as control:
        token = control.setup_link()
    page = stranger(1440)
    page.goto(f"{empty.url}/dashboard/setup/{token}")
    settled(page)
    with Site(tmp_path, "shop.example") as site:
        site.project = served_by(empty.url)
        page.get_by_label("E-mail address").fill("ada@shop.example")
        page.get_by_role("textbox", name="Password").fill("short")
        page.get_by_role("textbox", name="Name").nth(1).fill("Shop")
        page.get_by_label("Address of its site").fill(site.origin)
        page.get_by_role("button", name="Create the project").click()
        # The browser itself says what is wrong with the password; then there is a better one.
        assert page.url.endswith(token)
        page.get_by_role("textbox", name="Password").fill("a sentence that is kept")
        page.get_by_role("button", name="Create the project").click()
        page.wait_for_url(re.compile("/dashboard/first-event"))
        line = page.locator("pre").first.inner_text()
        assert re.fullmatch(
            rf'<script async src="{empty.url}/v1/a.js" data-key="pk_live_\w+"></script>', line
        )
        shoot(page, "first-event-waiting")
        assert violations(page) == []
        site.pages["/"] = f"<!doctype html><title>Shop</title>{line}<p>Hello</p>"

        refused = stranger(1440)
        other = site.origin.replace("shop.example", "shop.test")
        refused.goto(f"{other}/")
        allow = page.get_by_role("button", name=f"Let {other} send")
        expect(allow).to_be_visible()
        shoot(page, "first-event-refused")
        assert violations(page) == []
        # A refused visitor keeps the event and sends it again: it might come before the next one's.
        refused.context.set_offline(True)
        allow.click()
        expect(page.get_by_text("may send events now")).to_be_visible()

        visitor = stranger(1440)
        visitor.goto(f"{site.origin}/?utm_source=facebook&utm_medium=cpc&utm_campaign=spring")
        expect(page.get_by_role("heading", name="The first event is here")).to_be_visible()
        seen = page.locator("dl").inner_text()
        assert "facebook / paid" in seen
        assert "spring" in seen
        shoot(page, "first-event-seen")
        assert violations(page) == []
    page.get_by_role("link", name="To the overview").click()
    settled(page)
    assert page.locator("data[data-of=people]").get_attribute("value") == "1"


def test_a_used_link_says_what_to_do(empty: Server, stranger: NewPage) -> None:
    page = stranger(390)
    page.goto(f"{empty.url}/dashboard/link/none")
    expect(page.get_by_role("alert")).to_be_visible()
    assert "threadline dashboard login-link" in page.locator("pre").inner_text()
    page.goto(f"{empty.url}/dashboard/")
    expect(page.get_by_role("heading", name="Nobody can sign in yet")).to_be_visible()


def test_a_wrong_key_is_told(empty: Server, stranger: NewPage, tmp_path: Path) -> None:
    with Control(empty.folder) as control:
        token = control.setup_link()
    page = stranger()
    page.goto(f"{empty.url}/dashboard/setup/{token}")
    page.get_by_label("E-mail address").fill("ada@shop.example")
    page.get_by_role("textbox", name="Password").fill("a sentence that is kept")
    page.get_by_role("textbox", name="Name").nth(1).fill("Shop")
    with Site(tmp_path, "shop.example") as site:
        site.project = served_by(empty.url)
        page.get_by_label("Address of its site").fill(site.origin)
        page.get_by_role("button", name="Create the project").click()
        page.wait_for_url(re.compile("/dashboard/first-event"))
        line = page.locator("pre").first.inner_text()
        wrong = re.sub(r"pk_live_\w+", lambda key: f"{key[0][:-4]}aaaa", line)
        site.pages["/"] = f"<!doctype html><title>Shop</title>{wrong}"
        visitor = stranger()
        visitor.goto(f"{site.origin}/")
        expect(page.get_by_role("heading", name="Something came, and was refused")).to_be_visible()
        expect(page.get_by_text("Copy the line above once more")).to_be_visible()
