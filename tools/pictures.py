"""The pictures of the README, of a server that this starts: `make pictures`."""

import json
import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, expect, sync_playwright
from tests.dashboard.house import House
from tests.e2e.browsers import chromium

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
STORY = ROOT / "examples" / "story.json"
EVENTS = 100_000
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SIZE = {"width": 1280, "height": 800}


def main() -> None:
    """Writes each in light and in dark, over those that are there."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        House(Path(folder) / "demo", EVENTS) as house,
        sync_playwright() as playwright,
    ):
        story = _tell(house)
        pages = {
            "journey": f"/people/user_42?project={story}",
            "overview": f"/?project={house.project_id}",
            "attribution": f"/attribution?project={house.project_id}&against=last",
        }
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for name, path in pages.items():
            for scheme in SCHEMES:
                _shoot(_opened(browser, house, path, scheme), PICTURES / f"{name}-{scheme}.png")


def _tell(house: House) -> str:
    """The six events of the README, in a project of their own; its id."""
    made = house.change("POST", "/v1/projects", {"name": "shop", "origins": []})
    body = json.loads(STORY.read_text())
    reply = house.send("POST", "/v1/batch", body, key=made["keys"]["sk"])
    assert reply.status < 300, reply
    return str(made["project_id"])


def _opened(browser: Browser, house: House, path: str, scheme: Literal["light", "dark"]) -> Page:
    page = browser.new_page(
        viewport=SIZE,  # type: ignore[arg-type]
        color_scheme=scheme,
        locale="en-GB",
        timezone_id="UTC",
        reduced_motion="reduce",
        device_scale_factor=1.5,
    )
    cookie = {"name": "threadline_session", "value": house.cookie, "url": house.url}
    page.context.add_cookies([cookie])  # type: ignore[list-item]
    page.goto(f"{house.url}/dashboard{path}")
    page.locator("main").wait_for()
    expect(page.locator("[aria-busy=true]")).to_have_count(0, timeout=60_000)
    page.evaluate("document.fonts.ready.then(() => true)")
    return page


def _shoot(page: Page, file: Path) -> None:
    # The story as a whole; what is longer as a window shows it.
    page.screenshot(path=file, full_page=file.name.startswith("journey"))
    page.context.close()
    print(f"{file.relative_to(ROOT)}  {file.stat().st_size // 1024} KB", flush=True)


if __name__ == "__main__":
    main()
