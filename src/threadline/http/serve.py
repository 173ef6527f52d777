"""Running the application on Granian, in this very process: one process owns a data folder."""

import asyncio
import gc
import logging
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import structlog
import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from threadline.classify import classify
from threadline.enrich import Countries, read_agent
from threadline.http.app import App
from threadline.http.descriptors import bounded_connections, most_connections, raise_limit
from threadline.http.listen import bracketed, resolve, take_port, until_answering
from threadline.runtime.admin_socket import admin_socket
from threadline.runtime.backing_up import backups_made, check_settings
from threadline.runtime.folder import folder_lock
from threadline.runtime.logs import log_to_stderr
from threadline.runtime.oidc import Oidc
from threadline.runtime.recovery import interrupted_work_finished
from threadline.runtime.services import Services
from threadline.runtime.upkeep import kept_up
from threadline.settings import Settings
from threadline.settings_files import SettingsError
from threadline.store import store_url

# Headers that are slow or huge are cut off before they reach us. The wait for the next request of a
# kept connection counts as slow headers, too: it has to be longer than proxies and clients keep one
# without use (mostly a minute), or their next request meets a connection that is just being closed.
HEADER_MS = 75_000
MAX_HEADER_BYTES = 64 * 1024
SWITCH_S = 0.001
PREFIX = re.compile(r"(/?[A-Za-z0-9._~-]+)*/?")
PUBLIC_URL = re.compile(r"https?://[^\s/?#@]+/?", re.IGNORECASE)


Greeting = Callable[[Services, str], None]


def serve(
    settings: Settings, settings_file: Path | None = None, greet: Greeting | None = None
) -> None:
    """Serve until SIGTERM or SIGINT, then write everything acknowledged to the store. `greet`: is
    called with the address once it answers.

    Raises `CannotListen`, `FolderInUse`, and what `Services` raises.
    """
    uvloop.run(serve_async(settings, settings_file=settings_file, greet=greet))


async def serve_async(
    settings: Settings,
    ready: "asyncio.Future[str] | None" = None,
    on_stop: Callable[[], None] | None = None,
    least: int = logging.INFO,
    settings_file: Path | None = None,
    greet: Greeting | None = None,
) -> None:
    """As `serve`. `ready` is given the server's address once it answers; `on_stop` is called when a
    signal says to stop, before that begins; `least` is the level from which on it logs."""
    log_to_stderr(least)
    _check(settings)
    address = resolve(settings.host)
    port = take_port(address, settings.port)
    url = f"http://{bracketed(settings.host)}:{port}"
    most = most_connections(raise_limit())
    # What is read beside the event loop gives way to it after this long.
    sys.setswitchinterval(SWITCH_S)
    with (
        folder_lock(Path(settings.data), url),
        Services(settings) as services,
        admin_socket(services),
        interrupted_work_finished(services),
        backups_made(services),
        kept_up(services),
        bounded_connections(port, most),
    ):
        app = App(services, settings.root_path)
        server = _server(app, address, port, most)
        loop = asyncio.get_running_loop()
        services.log.deliver_by(loop.call_soon_threadsafe)

        _stop_by_signals(loop, server, on_stop)
        serving = asyncio.ensure_future(server.serve())
        await until_answering(serving, address, port)
        _warm_up()
        _collect_less()
        where = {"settings": str(settings_file)} if settings_file else {}
        structlog.get_logger("threadline").info("ready", url=url, data=settings.data, **where)
        if ready is not None:
            ready.set_result(url)
        if greet is not None:
            await asyncio.to_thread(greet, services, url)
        await serving
        await app.close()
        structlog.get_logger("threadline").info("stopping")
    structlog.get_logger("threadline").info("stopped")


def _server(app: App, address: str, port: int, most: int) -> Server:
    """`most`: connections at the same time."""
    return Server(
        app,
        address=address,
        port=port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(
            header_read_timeout=HEADER_MS, max_buffer_size=MAX_HEADER_BYTES
        ),
        websockets=False,
        log_enabled=False,
        backlog=1024,
        backpressure=most,
    )


def _stop_by_signals(
    loop: asyncio.AbstractEventLoop, server: Server, on_stop: Callable[[], None] | None
) -> None:
    def stop() -> None:
        if on_stop is not None:
            on_stop()
        server.stop()  # type: ignore[no-untyped-call]

    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop)


def _check(settings: Settings) -> None:
    """What is wrong with the settings is said before anything is taken or made."""
    store_url(settings.store, Path(settings.data))
    check_settings(settings)
    if settings.country_db:
        Countries(Path(settings.country_db))
    if settings.oidc_issuer:
        Oidc(settings)
    if settings.public_url and not PUBLIC_URL.fullmatch(settings.public_url):
        raise SettingsError(
            f"THREADLINE_PUBLIC_URL={settings.public_url}: write the address as browsers show it, "
            "without a path: https://stats.example.com. A path goes into THREADLINE_PREFIX."
        )
    if not PREFIX.fullmatch(settings.prefix):
        raise SettingsError(
            f"THREADLINE_PREFIX={settings.prefix}: write a path of letters, digits and slashes, "
            "such as /stats."
        )


def _warm_up() -> None:
    """Tables that are built when first used would hold the first event up for 150 ms."""
    read_agent("Mozilla/5.0")
    classify("https://example.com/", "https://example.org/")


def _collect_less() -> None:
    """Going through all that was imported, again and again, stops every request for 30 ms. What
    lives now lives until the end; what a request leaves behind is mostly gone by itself."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
