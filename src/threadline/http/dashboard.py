"""`/dashboard/…`: the dashboard's pages and files, as they were built into the package.

Every address that is no file is the one page, which finds its way by the address. It may load
nothing from elsewhere and run no script that stands in it; what is embedded in other sites has a
policy of its own.
"""

from functools import lru_cache

from threadline.contract.errors import NotFound
from threadline.http.answers import Answer, answer_body, answer_file
from threadline.http.request import Request
from threadline.http.routing import Route
from threadline.web import DASHBOARD, Asset, asset, read_assets

ROOT = "/dashboard"
INDEX = "index.html"
# Vite puts a hash of its content into the name of each file here.
HASHED = "assets/"
FOR_EVER, NOT_KEPT = "public, max-age=31536000, immutable", "no-store"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:"
    "; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors "
)
EMBEDDED = f"{ROOT}/embed/"
NOT_BUILT = b"""<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Threadline</title>
<style>:root { color-scheme: light dark } body { font: 16px/1.55 system-ui, sans-serif;
max-width: 36rem; margin: 15vh auto; padding: 0 1.25rem } a { color: #b4561a }
code { font: .88rem ui-monospace, monospace }</style>
<h1>The dashboard is not built</h1>
<p>Threadline is running: it takes events and answers questions. Its dashboard is made by
<code>make build</code> in the checkout; then start the server again.</p>
<p><a href="/docs/api/">Every route, with its fields and errors</a></p></html>"""
NOT_BUILT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

FILES = read_assets(DASHBOARD)


async def front(request: Request) -> Answer:
    location = f"{request.root_path}{ROOT}/".encode()
    return Answer(302, [(b"location", location), (b"cache-control", b"no-store")], b"")


async def serve(request: Request) -> Answer:
    """A file, or the page. Raises `NotFound` for a file that is not there any more: whoever has the
    page of an older version would take the page for it."""
    name = request.in_path.get("name", "")
    if INDEX not in FILES:
        headers = {"Content-Security-Policy": NOT_BUILT_POLICY, "Cache-Control": NOT_KEPT}
        body = NOT_BUILT.replace(b'"/docs/', f'"{request.root_path}/docs/'.encode())
        page = answer_body(body, "text/html; charset=utf-8", headers)
        return page._replace(status=404)
    if name.startswith(HASHED) and name not in FILES:
        raise NotFound("There is no such file of the dashboard; load the page again.")
    if name not in FILES or name == INDEX:
        return answer_file(
            request.header, _page(FILES[INDEX], request.root_path), _page_headers(request.path)
        )
    kept = FOR_EVER if name.startswith(HASHED) else "no-cache"
    headers = {
        "Cache-Control": kept,
        "Cross-Origin-Resource-Policy": "same-origin",
        # An image, opened by itself, is a page.
        "Content-Security-Policy": f"{POLICY}'none'",
    }
    return answer_file(request.header, FILES[name], headers)


@lru_cache(maxsize=4)
def _page(page: Asset, root_path: str) -> Asset:
    """With the addresses of its files, and where it is itself, below the prefix. What it loads is
    found from there: Vite writes those addresses relative to each file."""
    if not root_path:
        return page
    return asset(
        page.body.replace(f'"{ROOT}/'.encode(), f'"{root_path}{ROOT}/'.encode()), page.media_type
    )


def _page_headers(path: str) -> dict[str, str]:
    embedded = path.startswith(EMBEDDED)
    headers = {
        "Content-Security-Policy": POLICY + ("*" if embedded else "'none'"),
        "Cache-Control": NOT_KEPT,
        # Addresses of some pages are secrets.
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    return headers if embedded else {**headers, "X-Frame-Options": "DENY"}


ROUTES = [
    Route("GET", "/", front),
    Route("GET", ROOT, serve),
    Route("GET", f"{ROOT}/{{name*}}", serve),
]
