"""Single requests over many kept connections, with little CPU of its own: one epoll loop, requests
written beforehand. Two cores are few, and the server is what is measured.

    python -m benchmarks.race.load http://127.0.0.1:8000/v1/track BODIES --key KEY --seconds 10

BODIES has one body a line; each is sent once. Prints one JSON object.
"""

import argparse
import json
import select
import socket
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

BUFFER = 65536
END_OF_HEAD = b"\r\n\r\n"
LENGTH = b"content-length:"


class Load:
    """`rate`: requests a second; none: the next as soon as a connection is free."""

    def __init__(self, requests: list[bytes], seconds: float, rate: float | None) -> None:
        self._requests = requests
        self._rate = rate
        self._begin = time.perf_counter()
        self._end = self._begin + seconds
        self._next = 0
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._free: list[int] = []
        self._due: dict[int, float] = {}
        self.latencies: list[float] = []
        self.statuses: Counter[str] = Counter()

    def connect(self, host: str, port: int) -> None:
        sock = socket.create_connection((host, port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sockets[sock.fileno()] = sock
        self._free.append(sock.fileno())
        self._poll.register(sock.fileno(), select.EPOLLIN)

    def run(self) -> float:
        """Until the time is over and all answers are there; how many seconds that was."""
        while self._send() or len(self._free) < len(self._sockets):
            for fd, _ in self._poll.poll(0.001 if self._rate else 1.0):
                self._receive(fd)
        return time.perf_counter() - self._begin

    def _send(self) -> bool:
        """What is due, as far as connections are free; whether more is to come."""
        while self._next < len(self._requests):
            now = time.perf_counter()
            due = self._begin + self._next / self._rate if self._rate else now
            if due >= self._end:
                return False
            if due > now or not self._free:
                return True
            fd = self._free.pop()
            # Latency counts from when the request was due, not from when it could be sent.
            self._due[fd] = due
            self._sockets[fd].sendall(self._requests[self._next])
            self._next += 1
        return False

    def _receive(self, fd: int) -> None:
        """One answer; its head comes in one piece, and so does its short body."""
        got = self._sockets[fd].recv(BUFFER)
        head, found, body = got.partition(END_OF_HEAD)
        at = head.lower().find(LENGTH) + len(LENGTH)
        if not found or len(body) < int(head[at:].split(b"\r")[0]):
            raise SystemExit(f"Half an answer: {got!r}")
        self.latencies.append(time.perf_counter() - self._due[fd])
        self.statuses[head[9:12].decode()] += 1
        self._free.append(fd)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("bodies", type=Path)
    parser.add_argument("--key", default="")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rate", type=float)
    options = parser.parse_args()
    address = urlsplit(options.url)
    assert address.hostname
    assert address.port
    head = (
        f"POST {address.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {options.key}\r\nContent-Length: "
    ).encode()
    bodies = options.bodies.read_bytes().splitlines()
    requests = [head + str(len(body)).encode() + END_OF_HEAD + body for body in bodies]
    load = Load(requests, options.seconds, options.rate)
    for _ in range(options.connections):
        load.connect(address.hostname, address.port)
    seconds = load.run()
    latencies = sorted(load.latencies)
    said = {
        "requests": len(latencies),
        "seconds": seconds,
        "p50_ms": latencies[len(latencies) // 2] * 1000,
        "p99_ms": latencies[len(latencies) * 99 // 100] * 1000,
        "statuses": load.statuses,
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
