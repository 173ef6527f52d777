"""The documentation in a real browser: searched and read without any request to elsewhere."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, expect

from tests.support import Server
from threadline.web import doc_names


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_it_is_searched_and_read_under_its_policy(
    server: Server, launch: Callable[..., Browser], width: int, scheme: str
) -> None:
    assert doc_names(), "The documentation is not built: make docs"
    context = launch("chromium").new_context(
        viewport={"width": width, "height": 800},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    page = context.new_page()
    wrong: list[str] = []
    asked: list[str] = []
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("request", lambda request: asked.append(request.url))

    page.goto(f"{server.url}/docs/search/?q=placeholder")
    page.locator("#search-results a", has_text="Whose event is it?").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Whose event is it?")
    page.goto(f"{server.url}/docs/errors/#placeholder_id")
    expect(page.locator("#placeholder_id, #placeholder-id").first).to_be_in_viewport()
    light = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert light == (scheme == "light")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.goto(f"{server.url}/docs/api/")
    assert page.evaluate("document.documentElement.scrollWidth") <= width

    context.close()
    assert wrong == []
    assert [url for url in asked if not url.startswith(server.url)] == []
