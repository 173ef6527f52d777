"""The dashboard's page and files: what browsers are told of them, and where they are not built."""

import gzip
import http.client
from pathlib import Path

import pytest

from tests.support import Project, Reply, run_async
from threadline.contract.errors import NotFound
from threadline.http import dashboard
from threadline.http.answers import Answer
from threadline.http.asgi import Scope
from threadline.http.request import Request
from threadline.http.routing import Routes
from threadline.web import Asset, read_assets

PAGES = ["/dashboard", "/dashboard/", "/dashboard/people/a%2Fb", "/dashboard/setup/TOKEN",
         "/dashboard/share/TOKEN", "/dashboard/people/a.b.js", "/dashboard/index.html",
         "/dashboard/..%2f..%2fetc/passwd", "/dashboard/assets"]  # fmt: skip


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Asset]:
    """As Vite leaves it."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>Threadline</title>" + " " * 500)
    (tmp_path / "assets" / "main-abc123.js").write_text("export default 1;" * 50)
    (tmp_path / "assets" / "font-abc123.woff2").write_bytes(b"wOF2" * 100)
    (tmp_path / "icon.svg").write_text("<svg/>")
    (tmp_path / "notes.md").write_text("not for browsers")
    monkeypatch.setattr(dashboard, "FILES", read_assets(tmp_path))
    return dashboard.FILES


def ask(path: str, **headers: str) -> Reply:
    """Through the table of routes, without a server, whose files are read when it starts."""
    routes = Routes(dashboard.ROUTES)
    path = path.rstrip("/") or "/"
    found = routes.find(path, "GET")
    sent = [(name.replace("_", "-").lower().encode(), v.encode()) for name, v in headers.items()]
    scope: Scope = {"method": "GET", "headers": sent, "query_string": b"", "path": path}
    request = Request(None, scope, None, path, None, found.in_path)  # type: ignore[arg-type]

    async def handled() -> Answer:
        return await found.route.handle(request)

    answer = run_async(handled())
    message = http.client.HTTPMessage()
    for name, value in answer.headers:
        message[name.decode()] = value.decode()
    assert isinstance(answer.body, bytes)
    return Reply(answer.status, message, answer.body)


@pytest.mark.parametrize("path", PAGES)
def test_every_address_that_is_no_file_is_the_page(built: dict[str, Asset], path: str) -> None:
    reply = ask(path)
    assert reply.status == 200
    assert reply.body == built["index.html"].body
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'"
        " data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    assert reply.headers["X-Frame-Options"] == "DENY"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Referrer-Policy"] == "no-referrer"


def test_what_is_embedded_may_stand_in_any_page(built: dict[str, Asset]) -> None:
    reply = ask("/dashboard/embed/TOKEN")
    policy = reply.headers["Content-Security-Policy"]
    assert policy.endswith("; frame-ancestors *")
    assert "script-src 'self';" in policy
    assert "X-Frame-Options" not in reply.headers


def test_files_with_a_hash_are_kept_for_ever(built: dict[str, Asset]) -> None:
    path = "/dashboard/assets/main-abc123.js"
    reply = ask(path, accept_encoding="gzip, br")
    assert reply.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert reply.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(reply.body) == built["assets/main-abc123.js"].body
    plain = ask(path)
    assert plain.body == built["assets/main-abc123.js"].body
    assert plain.headers["Vary"] == "Accept-Encoding"
    again = ask(path, if_none_match=plain.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    font = ask("/dashboard/assets/font-abc123.woff2", accept_encoding="gzip")
    assert (font.headers["Content-Type"], "Content-Encoding" in font.headers) == (
        "font/woff2", False,
    )  # fmt: skip
    icon = ask("/dashboard/icon.svg")
    assert icon.headers["Cache-Control"] == "no-cache"
    assert "script-src 'self'" in icon.headers["Content-Security-Policy"]


def test_a_file_of_an_older_build_is_not_the_page(built: dict[str, Asset]) -> None:
    with pytest.raises(NotFound, match="load the page again"):
        ask("/dashboard/assets/main-older.js")
    assert ask("/dashboard/notes.md").body == built["index.html"].body, "not among its files"


def test_where_it_is_not_built_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "FILES", {})
    reply = ask("/dashboard/people")
    assert reply.status == 404
    assert b"make build" in reply.body
    assert "script-src" not in reply.headers["Content-Security-Policy"]


def test_the_front_leads_there(project: Project) -> None:
    reply = project.send("GET", "/")
    assert (reply.status, reply.headers["Location"]) == (302, "/dashboard/")
    page = project.send("GET", "/dashboard/people")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert project.send("HEAD", "/dashboard/").body == b""
    assert project.send("POST", "/dashboard/").status == 405
