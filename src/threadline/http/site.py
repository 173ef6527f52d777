"""`/docs/…`: the documentation, as it was built into the package, and `/llms.txt` beside it.

Pages load nothing from elsewhere and run no script that stands in them. What is not there is said
on a page, because it is mostly people who ask for it.
"""

from html import escape

from threadline.http.answers import Answer, answer_body, answer_file
from threadline.http.request import Request
from threadline.http.routing import Route
from threadline.web import doc_names, read_doc

ROOT = "/docs"
HTML = "text/html; charset=utf-8"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src"
    " 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
# Sphinx writes the checksum of such a file into the addresses that lead to it.
VERSIONED = "_static/"
FOR_A_YEAR, ASKED_AGAIN = "public, max-age=31536000, immutable", "no-cache"
MISSING = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Threadline</title>
<style>:root {{ color-scheme: light dark }} body {{ font: 16px/1.55 system-ui, sans-serif;
max-width: 36rem; margin: 15vh auto; padding: 0 1.25rem }}
a {{ color: light-dark(#9a4513, #f0a268) }} code {{ font: .88rem ui-monospace, monospace }}</style>
<h1>{title}</h1><p>{text}</p>
<p><a href="{root}/api/">Every route, with its fields and errors</a></p></html>"""
NOT_BUILT = (
    "The documentation is not built",
    "Threadline is running: it takes events and answers questions. The documentation is made by"
    " <code>make docs</code> in the checkout; then start the server again. Until then it can be"
    " read there, in the folder <code>docs</code>.",
)


async def serve(request: Request) -> Answer:
    """A page, a file, or where it is: pages end in a slash, so that links in them hold."""
    if not doc_names():
        return _missing(request, *NOT_BUILT)
    asked: str = request.scope["path"]
    name = request.in_path.get("name", "")
    page = f"{name}/index.html" if name else "index.html"
    if read_doc(page) is None:
        return _file(request, name)
    if not asked.endswith("/"):
        root = f"{request.root_path}{ROOT}/"
        return _to(f"{root}{name}/" if name else root)
    return _file(request, page)


async def serve_llms(request: Request) -> Answer:
    return _file(request, request.path.removeprefix("/"))


def _file(request: Request, name: str) -> Answer:
    asset = read_doc(name)
    if asset is None:
        root = f"{request.root_path}{ROOT}/"
        where = escape(f"{root}{name}")
        return _missing(
            request,
            "There is no such page",
            f'The documentation has no <code>{where}</code>. <a href="{root}">All pages</a>.',
        )
    versioned = name.startswith(VERSIONED) and request.query.startswith("v=")
    headers = {
        "Cache-Control": FOR_A_YEAR if versioned else ASKED_AGAIN,
        "Content-Security-Policy": POLICY,
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
    }
    return answer_file(request.header, asset, headers)


def _to(path: str) -> Answer:
    return Answer(302, [(b"location", path.encode()), (b"cache-control", b"no-store")], b"")


def _missing(request: Request, title: str, text: str) -> Answer:
    headers = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-store"}
    page = MISSING.format(title=title, text=text, root=f"{request.root_path}{ROOT}").encode()
    return answer_body(page, HTML, headers)._replace(status=404)


ROUTES = [
    Route("GET", ROOT, serve),
    Route("GET", f"{ROOT}/{{name*}}", serve),
    Route("GET", "/llms.txt", serve_llms),
    Route("GET", "/llms-full.txt", serve_llms),
]
