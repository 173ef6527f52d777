"""Browsers, one of each for a session: a process can have no more than one Playwright at a time, so
these fixtures belong to all tests (`tests/conftest.py`)."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.e2e.browsers import WINDOWED, chromium, firefox

# Every name leads to this machine, and nothing else is called. Without a window, Chromium says so,
# and would be taken for the bot that it is.
ARGS = [
    "--user-agent=Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/150.0.0.0 Safari/537.36",
    "--host-resolver-rules=MAP * 127.0.0.1",
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
NAMES = ("shop.example", "shop.test", "stats.example.com", "magazine.example", "www.baidu.com")
FIREFOX_PREFERENCES: dict[str, str | float | bool] = {"network.dns.localDomains": ",".join(NAMES)}


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def windowed_path(playwright: Playwright) -> str:
    """The path of the Chromium that has windows, and so all that belongs to a browser."""
    return chromium(windowed=True) or playwright.chromium.executable_path


@pytest.fixture(scope="session")
def launch(playwright: Playwright, windowed_path: str) -> Iterator[Callable[..., Browser]]:
    """A browser by its engine and, of Firefox, preferences: started once."""
    running: dict[object, Browser] = {}

    def launched(engine: str, **preferences: str | float | bool) -> Browser:
        name = (engine, *sorted(preferences.items()))
        if name not in running:
            running[name] = (
                playwright.firefox.launch(
                    channel="moz-firefox",
                    executable_path=firefox(),
                    firefox_user_prefs=FIREFOX_PREFERENCES | preferences,
                )
                if engine == "firefox"
                else playwright.chromium.launch(
                    executable_path=windowed_path if engine == WINDOWED else chromium(),
                    args=ARGS,
                    # Playwright turns it off; visitors have it on.
                    ignore_default_args=["--disable-back-forward-cache"],
                )
            )
        return running[name]

    yield launched
    for browser in running.values():
        browser.close()
