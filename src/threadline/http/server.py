"""The server about itself: health, metrics and the reference. No key needed."""

from typing import Any

import msgspec
from litestar import MediaType, Request, Response, get

from threadline.contract.errors import Unavailable
from threadline.contract.replies import Ok, Ready, Unfinished
from threadline.http.doc import Doc
from threadline.http.services import Services
from threadline.store import StoreError, unfinished

PROMETHEUS = "text/plain"
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
        works = unfinished(services.store)
    except StoreError as error:
        raise Unavailable("The store does not answer; the log says why.") from error
    listed = [Unfinished(work.name, work.subject, work.since, work.left) for work in works]
    ready = Ready(unfinished=listed or msgspec.UNSET)
    return Response(msgspec.json.encode(ready), media_type=MediaType.JSON)


@get(
    "/metrics",
    sync_to_thread=True,
    opt={
        "doc": Doc(
            summary="Counters in Prometheus' text format",
            tag="Server",
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


@get("/docs", sync_to_thread=False)
def docs(request: Req) -> Response[bytes]:
    return Response(
        request.app.state.docs_page,
        media_type=MediaType.HTML,
        headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"},
    )


ROUTES = [healthz, readyz, metrics, openapi_json, docs]
