"""`GET /v1/a.js` and the add-ons beside it: for every site, kept by browsers and proxies."""

from functools import partial

from threadline.contract.errors import NotFound
from threadline.http.answers import Answer, answer_file
from threadline.http.doc import Doc
from threadline.http.request import Request
from threadline.http.routing import Route
from threadline.web import read_assets

# A day old at most, and nobody waits for a newer one.
CACHE = "public, max-age=86400, stale-while-revalidate=604800"
SCRIPT = ("text/javascript",)
ASSETS = read_assets()


async def serve_asset(request: Request, name: str) -> Answer:
    """The file, gzipped where the browser takes that, or 304 if it has it. Raises `NotFound`."""
    asset = ASSETS.get(name)
    if asset is None:
        built = "" if ASSETS else " The browser SDK is not built: run `make build` in the checkout."
        raise NotFound(f"There is no {name} here.{built}")
    headers = {
        "Cache-Control": CACHE,
        # For `integrity` and `crossorigin` attributes, and pages that load from nowhere else.
        "Access-Control-Allow-Origin": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    if f"{name}.map" in ASSETS:
        headers["SourceMap"] = f"{name.rpartition('/')[2]}.map"
    return answer_file(request.header, asset, headers)


async def serve_addon(request: Request) -> Answer:
    return await serve_asset(request, f"addons/{request.in_path['name']}")


ROUTES = [
    Route(
        "GET",
        "/v1/a.js",
        partial(serve_asset, name="a.js"),
        Doc(
            summary="The browser SDK, for a script tag",
            tag="Browser",
            answer=str,
            media_types=SCRIPT,
        ),
    ),
    Route(
        "GET",
        "/v1/addons/{name}",
        serve_addon,
        Doc(
            summary="What the browser SDK can besides",
            tag="Browser",
            path_params={"name": "Such as outbound.js; docs/browser.md lists them."},
            answer=str,
            media_types=SCRIPT,
            errors=(NotFound,),
        ),
    ),
    Route("GET", "/v1/a.js.map", partial(serve_asset, name="a.js.map")),
]
