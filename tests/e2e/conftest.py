from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.e2e.browsers import ENGINES, PACKAGES, missing
from tests.e2e.site import Site
from tests.e2e.visitor import PlaywrightVisitor, Visitor, screen, webkit_visitor
from tests.support import ROOT, Project, Server

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
