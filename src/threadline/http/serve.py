"""Running the application on Granian, in this very process: one process owns a data folder."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import structlog
import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from threadline.classify import classify
from threadline.enrich import read_agent
from threadline.http.app import create_app
from threadline.http.descriptors import bounded_connections, most_connections, raise_limit
from threadline.http.folder import folder_lock
from threadline.http.operator import operator_door
from threadline.http.services import Services
from threadline.settings import Settings

# Headers that are slow or huge are cut off before they reach us. The wait for the next request of a
# kept connection counts as slow headers, too: it has to be longer than proxies and clients keep one
# without use (mostly a minute), or their next request meets a connection that is just being closed.
HEADER_MS = 75_000
MAX_HEADER_BYTES = 64 * 1024
SWITCH_S = 0.001


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then write everything acknowledged to the store.

    Raises `FolderInUse`, `OSError` for an address that cannot be bound, and what `Services` raises.
    """
    uvloop.run(serve_async(settings))


async def serve_async(settings: Settings, ready: "asyncio.Future[str] | None" = None) -> None:
    """As `serve`; `ready` is given the server's address once it answers."""
    _log_to_stderr()
    port = settings.port or _free_port(settings.host)
    _check_address(settings.host, port)
    url = f"http://{settings.host}:{port}"
    most = most_connections(raise_limit())
    # What is read beside the event loop gives way to it after this long.
    sys.setswitchinterval(SWITCH_S)
    with (
        folder_lock(Path(settings.data), url),
        Services(settings) as services,
        operator_door(services),
        bounded_connections(port, most),
    ):
        server = Server(
            create_app(services),
            address=settings.host,
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
        loop = asyncio.get_running_loop()
        services.log.deliver_by(loop.call_soon_threadsafe)
        for stop in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(stop, server.stop)
        serving = asyncio.ensure_future(server.serve())
        await _until_answering(settings.host, port)
        _warm_up()
        _collect_less()
        structlog.get_logger("threadline").info("ready", url=url, data=settings.data)
        if ready is not None:
            ready.set_result(url)
        await serving
        structlog.get_logger("threadline").info("stopping")
    structlog.get_logger("threadline").info("stopped")


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


async def _until_answering(host: str, port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            await writer.wait_closed()
            return


def _check_address(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _log_to_stderr() -> None:
    """One JSON object a line, or something readable where a person watches."""
    logging.basicConfig(level=logging.WARNING)
    person = os.isatty(2)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if person else "iso", utc=not person),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if person else structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(file=open(2, "w", closefd=False)),  # noqa: SIM115
    )
