"""Somebody's web site: a folder served on a free port, under any host name."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from tests.support import Json, Project

MEDIA_TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript"}
PATIENCE_S = 20.0
Page = Callable[["Site"], str] | str


class Site:
    """`pages` come before the files of the folder, `otherwise` after them. Where a page says
    `stats.example.com` and `pk_live_YOUR_KEY`, it gets the project's server and key."""

    project: Project

    def __init__(
        self, folder: Path, host: str = "shop.example", stats_host: str | None = None
    ) -> None:
        self._folder = folder
        self._stats_host = stats_host or "stats.example.com"
        self.pages: dict[str, str] = {}
        self.headers: dict[str, str] = {}
        self.otherwise = ""
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                media_type, body = site.answer(urlsplit(self.path).path)
                self.send_response(200 if media_type else 404)
                for name, value in site.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", media_type or "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                """Hand it to Threadline, as a proxy of the site's own would."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name: self.headers[name] for name in ("Origin", "Content-Type")}
                reply = site.project.again().send("POST", "/v1/batch", body, headers)
                self.send_response(reply.status)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.origin = f"http://{host}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def stats(self) -> str:
        """Threadline, by the name that pages know it under."""
        return self.project.url.replace("127.0.0.1", self._stats_host)

    def answer(self, path: str) -> tuple[str, bytes]:
        """Media type and body; no type for what is not there."""
        name = path.lstrip("/") or "index.html"
        if path == "/own/script.js":
            return MEDIA_TYPES[".js"], self.project.send("GET", "/v1/a.js").body
        file = self._folder / name
        text = self.pages.get(path)
        if text is None and file.is_file():
            text = file.read_text()
        if text is None:
            name, text = "index.html", self.otherwise
        text = text.replace("https://stats.example.com", self.stats)
        text = text.replace("pk_live_YOUR_KEY", self.project.keys["pk"])
        media_type = MEDIA_TYPES[Path(name).suffix or ".html"] if text else ""
        return media_type, text.encode()

    def sent(self, count: int) -> list[Json]:
        """The stored events, oldest first, as soon as there are so many."""
        return await_events(self.project, count)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def await_events(project: Project, count: int, leave_out: str = "") -> list[Json]:
    """The stored events but for those of one name, oldest first, as soon as there are so many."""
    waiting = threading.Event()
    rows: list[Json] = []
    for _ in range(int(PATIENCE_S / 0.1)):
        rows = [row for row in project.stored()[::-1] if row["event_name"] != leave_out]
        if len(rows) >= count:
            break
        waiting.wait(0.1)
    assert len(rows) == count, [row["event_name"] for row in rows]
    return rows


def snippet(**attributes: str) -> str:
    """The script tag, with `data-` attributes."""
    more = "".join(
        f' data-{name.replace("_", "-")}="{value}"' for name, value in attributes.items()
    )
    return (
        '<script async src="https://stats.example.com/v1/a.js" data-key="pk_live_YOUR_KEY"'
        f"{more}></script>"
    )
