"""The real engine behind ClickHouse's HTTP interface, for tests of server mode.

Speaks as much of the protocol as clickhouse-connect does: statements in the body or in `query`,
values in `param_…`, settings as other parameters, errors with their code in a header. Runs as a
process of its own, so that it can be killed and started again:

    python -m tests.clickhouse_server --data DIR --port PORT
"""

import argparse
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import chdb

USER, PASSWORD = "threadline", "se:cret"
BASIC = "Basic dGhyZWFkbGluZTpzZTpjcmV0"  # of these two

# The engine has no such user: whoever may come in is its only one.
BY_USER = f" USER '{USER}' PASSWORD '{PASSWORD}'".encode()

# Parameters that are the transport's, not the engine's.
TRANSPORT = {
    "query",
    "query_id",
    "database",
    "compress",
    "decompress",
    "wait_end_of_query",
    "client_protocol_version",
    "send_progress_in_http_headers",
    "http_headers_progress_interval_ms",
    "enable_http_compression",
    "cancel_http_readonly_queries_on_client_close",
}
connect: Callable[[str], Any] = chdb.connect
INSERT = re.compile(rb"INSERT INTO (.+? \(.+?\)|\S+) FORMAT (\w+)\n", re.DOTALL)
CODE = re.compile(r"Code: (\d+)")


class Handler(BaseHTTPRequestHandler):
    """One connection, with a handle of its own."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    folder: str

    def setup(self) -> None:
        super().setup()
        self._handle = connect(self.folder)
        self._settings: dict[str, str] = {}

    def finish(self) -> None:
        self._handle.close()
        super().finish()

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != BASIC:
            self._answer(403, b"Code: 516. Authentication failed (AUTHENTICATION_FAILED)", "516")
            return
        given = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        body = body.replace(BY_USER, b"")
        try:
            answer = self._run(given, given.get("query", "").encode() + body)
        except Exception as error:  # noqa: BLE001 - whatever the engine says goes to the client
            found = CODE.search(str(error))
            self._answer(500, str(error).encode(), found[1] if found else "1002")
        else:
            self._answer(200, answer)

    def _run(self, given: dict[str, str], statement: bytes) -> bytes:
        self._handle.query(f"USE `{given.get('database', 'default')}`")
        self._set({n: v for n, v in given.items() if n not in TRANSPORT and n[:6] != "param_"})
        if insert := INSERT.match(statement):
            # The embedded engine takes rows from files only.
            with tempfile.NamedTemporaryFile() as file:
                file.write(statement[insert.end() :])
                file.flush()
                into, fmt = insert[1].decode(), insert[2].decode()
                self._handle.query(f"INSERT INTO {into} FROM INFILE '{file.name}' FORMAT {fmt}")
            return b""
        params = {n.removeprefix("param_"): v for n, v in given.items() if n[:6] == "param_"}
        result = self._handle.query(statement.decode(), "TabSeparated", params=params)
        return bytes(result.bytes() or b"")

    def _set(self, settings: dict[str, str]) -> None:
        """These hold for one statement only."""
        if "readonly" in self._settings:  # cannot be taken back
            self._handle.close()
            self._handle, self._settings = connect(self.folder), {}
        for name in self._settings.keys() - settings:
            self._handle.query(f"SET {name} = DEFAULT")
        changed = settings.items() - self._settings.items()
        for name, value in sorted(changed, key=lambda setting: setting[0] == "readonly"):
            text = value.replace("\\", "\\\\").replace("'", "\\'")
            self._handle.query(f"SET {name} = '{text}'")
        self._settings = settings

    def _answer(self, status: int, body: bytes, code: str = "") -> None:
        self.send_response(status)
        if code:
            self.send_header("X-ClickHouse-Exception-Code", code)
        elif body:
            self.send_header("X-ClickHouse-Format", "TabSeparated")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class ClickHouse:
    """The process, on a port that stays the same however often it is killed and started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        return f"clickhouse://{USER}:se%3Acret@127.0.0.1:{self.port}/{database}"

    def start(self) -> Self:
        """Returns when it answers."""
        command = [sys.executable, "-m", "tests.clickhouse_server", "--data", str(self._folder)]
        self._process = subprocess.Popen(
            [*command, "--port", str(self.port)], stdout=subprocess.PIPE
        )
        assert self._process.stdout
        assert self._process.stdout.readline() == b"ready\n"
        return self

    def kill(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process and self._process.poll() is None:
            self.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    Handler.folder = options.data
    kept = connect(options.data)  # the engine lives as long as one handle
    server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    signal.sigwait([signal.SIGTERM, signal.SIGINT])
    server.shutdown()
    kept.close()


if __name__ == "__main__":
    main()
