"""The application: routes, guard, error answers. Nothing here knows how a question is asked."""

from typing import Any

import msgspec
import structlog
from litestar import Litestar, Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp

from threadline.contract.errors import (
    InternalError,
    InvalidPayload,
    MethodNotAllowed,
    NotFound,
    ThreadlineError,
)
from threadline.contract.replies import Error
from threadline.enrich import time_ordered_id
from threadline.http import docs_page, ingest, openapi, read, server
from threadline.http.auth import require_key
from threadline.http.cors import Edge
from threadline.http.services import Services

RETRY_AFTER_S = 1

_logger = structlog.get_logger("threadline.http")
Req = Request[Any, Any, Any]


def create_app(services: Services) -> ASGIApp:
    """The ASGI application over services that are open already."""
    app = Litestar(
        route_handlers=[*ingest.ROUTES, *read.ROUTES, *server.ROUTES],
        guards=[require_key],
        exception_handlers={
            ThreadlineError: answer_error,
            HTTPException: answer_framework_error,
            Exception: answer_bug,
        },
        state=State({"services": services}),
        openapi_config=None,
        logging_config=None,
        request_max_body_size=None,  # `read_body` holds each route to its own limit
    )
    app.state.openapi = openapi.document(app.routes)
    app.state.docs_page = docs_page.page(app.state.openapi)
    return Edge(app, services.control)


def answer_error(request: Req, error: ThreadlineError) -> Response[bytes]:
    """An error of the contract, as it is."""
    headers = {}
    if error.status in (429, 503):
        wait_s = error.details.get("retry_after_s", RETRY_AFTER_S)
        headers["Retry-After"] = str(max(1, round(float(str(wait_s)))))
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(
        msgspec.json.encode(Error(error.code, error.details)),
        status_code=error.status,
        headers=headers,
        media_type="application/json",
    )


def answer_framework_error(request: Req, error: HTTPException) -> Response[bytes]:
    """What the router itself refuses, under the contract's codes."""
    if error.status_code == 404:
        found: ThreadlineError = NotFound(f"There is no route {request.url.path}; see /docs.")
    elif error.status_code == 405:
        found = MethodNotAllowed(f"{request.url.path} does not take {request.method}; see /docs.")
    elif error.status_code < 500:
        found = InvalidPayload(error.detail)
    else:
        return answer_bug(request, error)
    return answer_error(request, found)


def answer_bug(request: Req, error: Exception) -> Response[bytes]:
    """Whatever was not foreseen: one line in the log, its id to the caller, nothing else."""
    request_id = time_ordered_id()
    _logger.error(
        "request_failed",
        request_id=request_id,
        method=request.method,
        path=request.url.path,
        exc_info=error,
    )
    message = f"This is a bug in Threadline. The log has it under {request_id}."
    return answer_error(request, InternalError(message, request_id=request_id))
