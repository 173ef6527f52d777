from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright, sync_playwright

from tests.e2e.chromium import chromium
from tests.e2e.site import Site
from tests.support import ROOT, Project, Server

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
NewDevice = Callable[..., BrowserContext]


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def browser(playwright: Playwright, chromium_path: str) -> Iterator[Browser]:
    running = playwright.chromium.launch(
        executable_path=chromium_path,
        args=ARGS,
        # Playwright turns it off; visitors have it on.
        ignore_default_args=["--disable-back-forward-cache"],
    )
    yield running
    running.close()


@pytest.fixture(scope="session")
def chromium_path(playwright: Playwright) -> str:
    return chromium() or playwright.chromium.executable_path


@pytest.fixture
def device(browser: Browser) -> Iterator[NewDevice]:
    """A browser of its own: storage, cookies. A page error fails the test."""
    opened: list[BrowserContext] = []
    errors: list[str] = []

    def new(**options: object) -> BrowserContext:
        context = browser.new_context(**options)  # type: ignore[arg-type]
        context.set_default_timeout(20_000)
        context.on("weberror", lambda error: errors.append(str(error.error)))
        opened.append(context)
        return context

    yield new
    for context in opened:
        context.close()
    assert errors == []


@pytest.fixture
def site(server: Server) -> Iterator[Site]:
    """The static example, with a project of its own."""
    with Site(ROOT / "examples" / "static-site") as running:
        running.project = Project(server, [running.origin])
        yield running
