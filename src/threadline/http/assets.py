"""`GET /v1/a.js` and the add-ons beside it: for every site, kept by browsers and proxies."""

from typing import Any

from litestar import Request, Response, get

from threadline.contract.errors import NotFound
from threadline.http.doc import Doc
from threadline.web import read_assets

Req = Request[Any, Any, Any]

# A day old at most, and nobody waits for a newer one.
CACHE = "public, max-age=86400, stale-while-revalidate=604800"
SCRIPT = ("text/javascript",)
ASSETS = read_assets()


def serve_asset(request: Req, name: str) -> Response[bytes]:
    """The file, gzipped where the browser takes that, or 304 if it has it. Raises `NotFound`."""
    asset = ASSETS.get(name)
    if asset is None:
        built = "" if ASSETS else " The browser SDK is not built: run `make build` in the checkout."
        raise NotFound(f"There is no {name} here.{built}")
    headers = {
        "ETag": asset.etag,
        "Cache-Control": CACHE,
        "Vary": "Accept-Encoding",
        # For `integrity` and `crossorigin` attributes, and pages that load from nowhere else.
        "Access-Control-Allow-Origin": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "X-Content-Type-Options": "nosniff",
    }
    if f"{name}.map" in ASSETS:
        headers["SourceMap"] = f"{name.rpartition('/')[2]}.map"
    known = request.headers.get("if-none-match", "")
    if asset.etag in known or known == "*":
        return Response(b"", status_code=304, headers=headers, media_type=asset.media_type)
    body = asset.body
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"], body = "gzip", asset.packed
    return Response(body, headers=headers, media_type=asset.media_type)


@get(
    "/v1/a.js",
    sync_to_thread=False,
    opt={
        "doc": Doc(
            summary="The browser SDK, for a script tag",
            tag="Browser",
            answer=str,
            media_types=SCRIPT,
        )
    },
)
def loader(request: Req) -> Response[bytes]:
    return serve_asset(request, "a.js")


@get(
    "/v1/addons/{name:str}",
    sync_to_thread=False,
    opt={
        "doc": Doc(
            summary="What the browser SDK can besides",
            tag="Browser",
            path_params={"name": "Such as outbound.js; docs/browser.md lists them."},
            answer=str,
            media_types=SCRIPT,
            errors=(NotFound,),
        )
    },
)
def addon(request: Req, name: str) -> Response[bytes]:
    return serve_asset(request, f"addons/{name}")


@get("/v1/a.js.map", sync_to_thread=False)
def source_map(request: Req) -> Response[bytes]:
    return serve_asset(request, "a.js.map")


ROUTES = [loader, addon, source_map]
