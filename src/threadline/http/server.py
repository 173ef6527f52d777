"""The server about itself: health, metrics and the reference."""

from typing import Any

import msgspec
from litestar import MediaType, Request, Response, get

from threadline.contract.errors import Unavailable
from threadline.contract.replies import Ok, Ready, Unfinished
from threadline.http.doc import Doc
from threadline.runtime.services import Services
from threadline.store import StoreError

PROMETHEUS = "text/plain"
PAGE_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
FRONT = b"""<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Threadline</title>
<style>:root { color-scheme: light dark } body { font: 16px/1.55 system-ui, sans-serif;
max-width: 36rem; margin: 15vh auto; padding: 0 1.25rem } a { color: #b4561a }
code { font: .88rem ui-monospace, monospace }</style>
<h1>Threadline is running</h1>
<p>It takes events at <code>/v1/track</code> and answers questions with a read key.</p>
<p><a href="docs">Every route, with its fields and errors</a></p>
<p>To see what one person did before and after they signed in, run
<code>threadline user USER_ID</code> on the machine it runs on.</p></html>"""
Req = Request[Any, Any, Any]


@get(
    "/healthz",
    sync_to_thread=False,
    opt={"doc": Doc(summary="The process is alive", tag="Server", answer=Ok)},
)
def healthz() -> Response[bytes]:
    return Response(msgspec.json.encode(Ok()), media_type=MediaType.JSON)


@get(
    "/readyz",
    sync_to_thread=True,
    opt={
        "doc": Doc(summary="The store answers", tag="Server", answer=Ready, errors=(Unavailable,))
    },
)
def readyz(request: Req) -> Response[bytes]:
    services: Services = request.app.state.services
    try:
        services.store.ping()
    except StoreError as error:
        raise Unavailable("The store does not answer; the log says why.") from error
    listed = [Unfinished(work.name, work.since, work.left) for work in services.unfinished]
    ready = Ready(unfinished=listed or msgspec.UNSET)
    return Response(msgspec.json.encode(ready), media_type=MediaType.JSON)


@get(
    "/metrics",
    sync_to_thread=True,
    opt={
        "doc": Doc(
            summary="Counters in Prometheus' text format",
            tag="Server",
            keys=("sk", "rk"),
            unless="metrics_open",
            answer=str,
            media_types=(PROMETHEUS,),
        )
    },
)
def metrics(request: Req) -> Response[bytes]:
    services: Services = request.app.state.services
    return Response(services.metrics_text(), media_type=f"{PROMETHEUS}; version=0.0.4")


@get(
    "/openapi.json",
    sync_to_thread=False,
    opt={"doc": Doc(summary="This document", tag="Server", answer=dict[str, Any])},
)
def openapi_json(request: Req) -> Response[bytes]:
    document = request.app.state.openapi
    return Response(msgspec.json.encode(document), media_type=MediaType.JSON)


@get("/", sync_to_thread=False)
def front() -> Response[bytes]:
    return Response(FRONT, media_type=MediaType.HTML, headers=PAGE_HEADERS)


@get("/docs", sync_to_thread=False)
def docs(request: Req) -> Response[bytes]:
    return Response(
        request.app.state.docs_page,
        media_type=MediaType.HTML,
        headers=PAGE_HEADERS,
    )


ROUTES = [front, healthz, readyz, metrics, openapi_json, docs]
