from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright, sync_playwright

from tests.e2e.browsers import ENGINES, PACKAGES, chromium, firefox, missing
from tests.e2e.site import Site
from tests.e2e.visitor import PlaywrightVisitor, Visitor, screen, webkit_visitor
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
NAMES = ("shop.example", "shop.test", "stats.example.com", "magazine.example", "www.baidu.com")
FIREFOX_PREFERENCES: dict[str, str | float | bool] = {"network.dns.localDomains": ",".join(NAMES)}
NewDevice = Callable[..., BrowserContext]
NewVisitor = Callable[..., Visitor]


def engines(*names: str) -> pytest.MarkDecorator:
    """Run the test in each of these; without it, a test runs in Chromium."""
    wanted = [name for name in names if name in ENGINES]
    return pytest.mark.parametrize("engine", wanted, indirect=True)


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> str:
    name = str(getattr(request, "param", "chromium"))
    if name in missing():
        pytest.fail(f"{name} is missing: apt-get install {' '.join(PACKAGES[name])}")
    return name


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def chromium_path(playwright: Playwright) -> str:
    return chromium() or playwright.chromium.executable_path


@pytest.fixture(scope="session")
def launch(playwright: Playwright, chromium_path: str) -> Iterator[Callable[..., Browser]]:
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
                    executable_path=chromium_path,
                    args=ARGS,
                    # Playwright turns it off; visitors have it on.
                    ignore_default_args=["--disable-back-forward-cache"],
                )
            )
        return running[name]

    yield launched
    for browser in running.values():
        browser.close()


@pytest.fixture
def device(engine: str, launch: Callable[..., Browser]) -> Iterator[NewDevice]:
    """A browser of its own: storage, cookies. A page error fails the test."""
    opened: list[BrowserContext] = []
    errors: list[str] = []

    def new(
        preferences: dict[str, str | float | bool] | None = None, **options: object
    ) -> BrowserContext:
        context = launch(engine, **preferences or {}).new_context(**options)  # type: ignore[arg-type]
        context.set_default_timeout(20_000)
        context.on("weberror", lambda error: errors.append(str(error.error)))
        opened.append(context)
        return context

    yield new
    for context in opened:
        context.close()
    assert errors == []


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    with screen() as name:
        yield name


@pytest.fixture
def visitor(engine: str, request: pytest.FixtureRequest) -> Iterator[NewVisitor]:
    """Somebody with a browser of their own, in any engine. `preferences` are Firefox's, `settings`
    WebKit's."""
    with ExitStack() as stack:

        def new(
            preferences: dict[str, str | float | bool] | None = None, settings: tuple[str, ...] = ()
        ) -> Visitor:
            if engine == "webkit":
                display = request.getfixturevalue("display")
                return stack.enter_context(webkit_visitor(display, *settings))
            new_device: NewDevice = request.getfixturevalue("device")
            return PlaywrightVisitor(new_device(preferences).new_page())

        yield new


@pytest.fixture
def site(server: Server, engine: str) -> Iterator[Site]:
    """The static example, with a project of its own."""
    # WebKit's driver cannot make names up.
    host, stats = ("localhost", "127.0.0.1") if engine == "webkit" else ("shop.example", None)
    with Site(ROOT / "examples" / "static-site", host, stats) as running:
        running.project = Project(server, [running.origin])
        yield running
