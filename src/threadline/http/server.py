"""The server about itself: health, metrics and the reference."""

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import msgspec

from threadline.contract.errors import Unavailable
from threadline.contract.replies import Ok, Ready, Unfinished
from threadline.http import docs_markdown, docs_page, openapi
from threadline.http.answers import Answer, answer, answer_body, answer_file
from threadline.http.doc import READ, Doc
from threadline.http.request import Request
from threadline.http.routing import Route
from threadline.runtime.schemas import Json
from threadline.store import StoreError
from threadline.web import Asset, asset

PROMETHEUS = "text/plain"
HTML = "text/html; charset=utf-8"
MARKDOWN = "text/markdown; charset=utf-8"
REFERENCE = "/docs/api"
PAGE_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}


async def healthz(request: Request) -> Answer:
    return answer(Ok())


async def readyz(request: Request) -> Answer:
    """Asked on a thread of its own, so that it waits behind no question."""
    services = request.services
    try:
        await services.beside_questions(services.store.ping)
    except StoreError as error:
        raise Unavailable("The store does not answer; the log says why.") from error
    listed = [Unfinished(work.name, work.since, work.left) for work in services.unfinished]
    control: Literal["away"] | msgspec.UnsetType = msgspec.UNSET
    if services.control.is_away:
        control = "away"
    return answer(Ready(unfinished=listed or msgspec.UNSET, control=control))


async def metrics(request: Request) -> Answer:
    text = await request.services.beside_questions(request.services.metrics_text)
    return answer_body(text, f"{PROMETHEUS}; version=0.0.4; charset=utf-8")


def about(routes: Sequence[Route], root_path: str = "") -> list[Route]:
    """The routes that serve the reference, made from those that it describes and itself, once
    somebody wants it: that takes a fifth of a server's start."""

    @cache
    def document() -> Json:
        return openapi.document([*routes, itself], root_path)

    @cache
    def reference() -> Asset:
        return asset(docs_page.page(document()), HTML)

    @cache
    def as_markdown() -> Asset:
        return asset(docs_markdown.text(document()), MARKDOWN)

    async def openapi_json(request: Request) -> Answer:
        return answer(await request.services.beside_questions(document))

    async def docs(request: Request) -> Answer:
        page = await request.services.beside_questions(reference)
        return answer_file(request.header, page, PAGE_HEADERS)

    async def markdown(request: Request) -> Answer:
        page = await request.services.beside_questions(as_markdown)
        return answer_file(request.header, page, PAGE_HEADERS)

    itself = Route("GET", "/openapi.json", openapi_json, OPENAPI)
    return [
        itself,
        Route("GET", REFERENCE, docs),
        Route("GET", f"{REFERENCE}.md", markdown),
    ]


OPENAPI = Doc(summary="This document", tag="Server", answer=dict[str, Any])
ROUTES = [
    Route("GET", "/healthz", healthz, Doc(summary="The process is alive", tag="Server", answer=Ok)),
    Route(
        "GET",
        "/readyz",
        readyz,
        Doc(summary="The store answers", tag="Server", answer=Ready, errors=(Unavailable,)),
    ),
    Route(
        "GET",
        "/metrics",
        metrics,
        Doc(
            summary="Counters in Prometheus' text format",
            tag="Server",
            keys=READ,
            unless="metrics_open",
            answer=str,
            media_types=(PROMETHEUS,),
        ),
    ),
]
