"""A server that answers `/v1/batch` as it is told."""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

PATIENCE_S = 20.0
Answer = tuple[int, dict[str, str]]


class Request(NamedTuple):
    events: list[dict[str, Any]]
    packed: bool
    status: int


class Moody:
    """`answers`: for the next requests, in order; None hangs up on one. Then all are taken."""

    def __init__(self) -> None:
        self.answers: list[Answer | None] = []
        self.requests: list[Request] = []
        self._changed = threading.Condition()
        moody = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                packed = self.headers["Content-Encoding"] == "gzip"
                events = json.loads(gzip.decompress(body) if packed else body)["events"]
                answer = moody._take(events, packed)
                if answer is None:
                    self.close_connection = True
                    return
                status, headers = answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                text = b'{"ok":true}'
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.02])

    @property
    def events(self) -> list[dict[str, Any]]:
        """Those that were taken, in the order they came."""
        return [event for one in self.requests if one.status == 202 for event in one.events]

    def batches(self) -> list[int]:
        """How many events each request had."""
        return [len(request.events) for request in self.requests]

    def wait_for(self, count: int) -> None:
        """Until so many events were taken."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.events) >= count, PATIENCE_S)

    def _take(self, events: list[dict[str, Any]], packed: bool) -> Answer | None:
        with self._changed:
            answer = self.answers.pop(0) if self.answers else (202, {})
            self.requests.append(Request(events, packed, answer[0] if answer else 0))
            self._changed.notify_all()
        return answer

    def stop(self) -> int:
        """Its port, which is free then."""
        port = self._server.server_port
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
        return port

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
