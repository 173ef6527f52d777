"""The documentation as a server has it: pages, the same as Markdown, and what browsers are told."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urldefrag, urljoin

import pytest
from tools.site import markdown, nav

from tests.support import ROOT, Project, Server, run_async
from threadline.contract import errors
from threadline.http import site
from threadline.http.answers import Answer
from threadline.http.asgi import Scope
from threadline.http.request import Request
from threadline.web import DOCS, doc_names, read_doc

NEEDS = ("script-src 'self'", "style-src 'self'", "default-src 'none'", "frame-ancestors 'none'")
ATTRIBUTES = ("href", "src", "action")


class Page(HTMLParser):
    """What a page loads and links to, the names in it, and what it runs by itself."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.names: set[str] = set()
        self.inline: list[str] = []
        self._script = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.names |= {given[name] for name in ("id", "name") if name in given}
        for name in ATTRIBUTES:
            if name in given:
                loads = tag in ("script", "img", "iframe") or (
                    tag == "link" and given.get("rel") in ("stylesheet", "icon", "prefetch")
                )
                (self.loads if loads else self.links).append(given[name])
        self._script = tag == "script" and "src" not in given
        if self._script or tag == "style":
            self.inline.append(tag)
        self.inline += [name for name in given if name == "style" or name.startswith("on")]


@pytest.fixture(scope="module")
def built() -> dict[str, Page]:
    """All pages, by the address that they have on a server."""
    assert doc_names(), "The documentation is not built: make docs"
    return {
        f"/docs/{name.removesuffix('index.html')}": Page((DOCS / name).read_text())
        for name in sorted(doc_names())
        if name.endswith(".html")
    }


def test_every_page_has_its_place() -> None:
    assert nav.unlisted() == []
    names = [page.name for page in nav.pages()]
    assert len(names) == len(set(names))


def test_a_page_that_is_not_there_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keys.md").write_text("# The `keys`\n")
    (tmp_path / "stray.md").write_text("# Stray\n")
    monkeypatch.setattr(nav, "DOCS", tmp_path)
    assert [page.title for page in nav.pages()] == ["The keys"]
    assert nav.unlisted() == ["stray"]


def test_every_page_is_built(built: dict[str, Page]) -> None:
    for page in nav.pages():
        assert f"/docs/{page.name}/" in built, "make docs"
        assert f"{page.name}.md" in doc_names()


def test_pages_load_nothing_from_elsewhere_and_run_nothing_inline(built: dict[str, Page]) -> None:
    for path, page in built.items():
        assert page.inline == [], path
        assert [load for load in page.loads if re.match(r"[a-z]+:|//", load)] == [], path
    styles = [name for name in doc_names() if name.endswith(".css")]
    loaded = "".join((DOCS / name).read_text() for name in styles)
    assert not re.search(r"url\(\s*['\"]?(https?:|//)|@import", loaded)


def test_links_lead_to_pages_and_their_headings(built: dict[str, Page]) -> None:
    dead = []
    for path, page in built.items():
        for link in [*page.links, *page.loads]:
            target, anchor = urldefrag(urljoin(path, link))
            if re.match(r"[a-z]+:", target) or target == "/docs/api/":
                continue
            name = target.partition("?")[0]
            if name in built:
                found = not anchor or anchor in built[name].names or name == path == "/docs/search/"
            else:
                found = name.removeprefix("/docs/") in doc_names()
            if not found:
                dead.append((path, link))
    assert dead == []


def test_every_error_has_an_anchor(built: dict[str, Page]) -> None:
    codes = {error.code for error in errors.ApiError.__subclasses__()}
    assert codes <= built["/docs/errors/"].names


def test_a_page_is_served_with_what_it_may_do(project: Project) -> None:
    reply = project.send("GET", "/docs/errors/")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = reply.headers["content-security-policy"]
    assert all(need in policy for need in NEEDS)
    assert "unsafe" not in policy
    known = project.send("GET", "/docs/errors/", headers={"If-None-Match": reply.headers["etag"]})
    assert (known.status, known.body) == (304, b"")


@pytest.mark.parametrize(
    ("path", "to"),
    [("/docs", "/docs/"), ("/docs/errors", "/docs/errors/"), ("/docs/search", "/docs/search/")],
)
def test_pages_end_in_a_slash(project: Project, path: str, to: str) -> None:
    reply = project.send("GET", path)
    assert (reply.status, reply.headers["location"]) == (302, to)
    assert project.send("GET", to).status == 200


def test_a_page_is_there_as_markdown(project: Project) -> None:
    reply = project.send("GET", "/docs/identity.md")
    assert reply.headers["content-type"] == "text/markdown; charset=utf-8"
    source = (ROOT / "docs" / "identity.md").read_text()
    assert reply.body.decode() == markdown.inside("identity", source), "make docs"


def test_programs_that_read_find_every_page(project: Project) -> None:
    listed = project.send("GET", "/llms.txt")
    assert listed.headers["content-type"] == "text/plain; charset=utf-8"
    links = re.findall(r"\]\((docs/[^)]+\.md)\)", listed.body.decode())
    pages = [f"docs/{page.name}.md" for page in nav.pages()]
    assert links == ["docs/api.md", *pages], "make docs"
    for link in links[:: max(1, len(links) // 5)]:
        assert project.send("GET", f"/{link}").status == 200
    whole = project.send("GET", "/llms-full.txt").body.decode()
    assert "# Whose event is it?" in whole


@pytest.mark.parametrize(
    "path",
    ["/docs/nonsense", "/docs/nonsense/", "/docs/../web/__init__.py",
     "/docs/%2e%2e/__init__.py", "/docs//etc/passwd", "/docs/_static", "/docs/%3Cb%3E"],
)  # fmt: skip
def test_what_is_not_there_is_said_on_a_page(project: Project, path: str) -> None:
    reply = project.send("GET", path)
    assert (reply.status, reply.headers["content-type"]) == (404, site.HTML)
    assert b"/docs/api/" in reply.body
    assert b"<b>" not in reply.body


def test_where_nothing_was_built_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert doc_names(tmp_path) == frozenset()
    assert read_doc("index.html", tmp_path) is None
    monkeypatch.setattr(site, "doc_names", lambda: frozenset[str]())
    scope: Scope = {"method": "GET", "headers": [], "path": "/docs", "root_path": "/stats"}
    request = Request(None, scope, None, "/docs", None)  # type: ignore[arg-type]
    (route,) = [route for route in site.ROUTES if route.path == "/docs"]

    async def handled() -> Answer:
        return await route.handle(request)

    answer = run_async(handled())
    assert answer.status == 404
    assert isinstance(answer.body, bytes)
    assert b"make docs" in answer.body
    assert b"/stats/docs/api/" in answer.body


def test_errors_say_where_they_are_explained(server: Server, project: Project) -> None:
    refused = project.send("GET", "/v1/stats", headers={"Authorization": "Bearer nonsense"})
    assert refused.json["docs_url"] == f"{server.url}/docs/errors/#malformed_api_key"
    assert list(refused.json) == ["error", "details", "docs_url"]
    unknown = project.send("GET", "/nowhere")
    assert unknown.json["docs_url"].endswith("/docs/errors/#not_found")
    forwarded = project.send(
        "GET", "/v1/stats", headers={"Host": "stats.example", "X-Forwarded-Proto": "https"}
    )
    assert forwarded.json["docs_url"].startswith("https://stats.example/docs/errors/#")
    preflight = project.send(
        "OPTIONS",
        "/v1/track",
        headers={"Origin": "https://x.example", "Access-Control-Request-Method": "POST"},
    )
    assert preflight.json["docs_url"].endswith("/docs/errors/#origin_not_allowed")


def test_links_out_of_docs_become_words() -> None:
    text = "[changes](../CHANGELOG.md) [keys](keys.md#a) [`../x`](../x) [there](https://a.example)"
    assert markdown.inside("a", text) == (
        "changes (`CHANGELOG.md` in the repository) [keys](keys.md#a) `../x` (`x` in the"
        " repository) [there](https://a.example)"
    )
    assert markdown.inside("decisions/1", "[a](../keys.md)") == "[a](../keys.md)"
