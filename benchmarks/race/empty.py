"""Granian with an application that answers and does nothing: the most that our server could do.

    python -m benchmarks.race.empty

Prints its port, and serves until its input ends.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from threadline.http.listen import take_port, until_answering
from threadline.http.serve import HEADER_MS, MAX_HEADER_BYTES

HOST = "127.0.0.1"
BODY = b'{"accepted":1,"event_id":"demo-1-17d2cf9cbb27b607"}'
HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(BODY)).encode()),
]
Sending = Callable[[Mapping[str, Any]], Awaitable[None]]


async def application(scope: object, receive: object, send: Sending) -> None:
    await send({"type": "http.response.start", "status": 202, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY, "more_body": False})


async def serve() -> None:
    port = take_port(HOST, 0)
    server = Server(
        application,
        address=HOST,
        port=port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(
            header_read_timeout=HEADER_MS, max_buffer_size=MAX_HEADER_BYTES
        ),
        websockets=False,
        log_enabled=False,
        backlog=1024,
    )
    serving = asyncio.ensure_future(server.serve())
    await until_answering(serving, HOST, port)
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.stop()  # type: ignore[no-untyped-call]
    await serving


if __name__ == "__main__":
    uvloop.run(serve())
