"""A load client in a process of its own: many kept connections, one request after the other.

Speaks just enough HTTP for that, so that on two cores the server, not the client, is measured.
Prints one JSON object: requests, seconds, latencies in milliseconds, statuses.
"""

import argparse
import asyncio
import json
import time
from pathlib import Path
from urllib.parse import urlsplit


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--key", default="")
    parser.add_argument("--method", default="POST")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rate", type=float, help="requests a second; default: as many as go")
    parser.add_argument("--bodies", type=Path, help="a file with one body a line, sent in turn")
    options = parser.parse_args()
    address = urlsplit(options.url)
    bodies = options.bodies.read_bytes().splitlines() if options.bodies else [b""]
    requests = [_request(options.method, address.path, options.key, body) for body in bodies]
    latencies: list[float] = []
    statuses: dict[str, int] = {}
    begin = time.perf_counter()
    end = begin + options.seconds

    async def connection(first: int) -> None:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        turn = first
        # Each body once: a server that knows repeats would do less work for the second.
        while time.perf_counter() < end and (options.bodies is None or turn < len(requests)):
            start = time.perf_counter()
            if options.rate:
                # Latency counts from when the request was due, not from when it could be sent.
                due = begin + turn / options.rate
                await asyncio.sleep(due - start)
                start = due
            writer.write(requests[turn % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            place = head.lower().find(b"content-length:") + len(b"content-length:")
            await reader.readexactly(int(head[place : head.find(b"\r", place)]))
            latencies.append(time.perf_counter() - start)
            status = head[9:12].decode()
            statuses[status] = statuses.get(status, 0) + 1
            turn += options.connections
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(connection(number) for number in range(options.connections)))
    took = time.perf_counter() - started
    latencies.sort()
    print(
        json.dumps(
            {
                "requests": len(latencies),
                "seconds": took,
                "p50_ms": latencies[len(latencies) // 2] * 1000,
                "p99_ms": latencies[len(latencies) * 99 // 100] * 1000,
                "statuses": statuses,
            }
        )
    )


def _request(method: str, path: str, key: str, body: bytes) -> bytes:
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


if __name__ == "__main__":
    asyncio.run(main())
