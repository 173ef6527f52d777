"""The application: routes, guard, error answers. Nothing here knows how a question is asked."""

import errno
from typing import Any

import structlog
from litestar import Litestar, Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp

from threadline.contract.errors import (
    ApiError,
    InvalidPayload,
    NotFound,
    Unavailable,
)
from threadline.http import (
    assets,
    classify,
    docs_page,
    identity,
    ingest,
    openapi,
    questions,
    rudder,
    server,
)
from threadline.http.answers import Answer, answer_bug, answer_error, answer_method
from threadline.http.auth import require_key
from threadline.http.edge import Edge
from threadline.runtime.services import Services
from threadline.store import StoreAway

Req = Request[Any, Any, Any]

# What goes away when others are done or an operator makes room.
FULL = (errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.ENOMEM)

_logger = structlog.get_logger("threadline.http")


def create_app(services: Services) -> ASGIApp:
    """The ASGI application over services that are open already."""
    app = Litestar(
        route_handlers=[
            *questions.ROUTES,
            *identity.ROUTES,
            *classify.ROUTES,
            *assets.ROUTES,
            *rudder.ROUTES,
            *server.ROUTES,
        ],
        guards=[require_key],
        exception_handlers={
            ApiError: lambda request, error: _response(answer_error(error)),
            HTTPException: answer_framework_error,
            StoreAway: answer_store_away,
            OSError: answer_failed_system,
            Exception: answer_failure,
        },
        state=State({"services": services}),
        openapi_config=None,
        logging_config=None,
    )
    posts = {path: doc for path, (_, doc) in ingest.ROUTES.items()}
    app.state.openapi = openapi.document(app.routes, posts)
    app.state.docs_page = docs_page.page(app.state.openapi)
    return Edge(app, services, app.state.openapi)


def answer_framework_error(request: Req, error: HTTPException) -> Response[bytes]:
    """What the router itself refuses, under the contract's codes."""
    if error.status_code == 404:
        found: ApiError = NotFound(f"There is no route {request.url.path}; see /docs.")
    elif error.status_code == 405:
        allowed = openapi.methods(request.app.state.openapi, request.url.path)
        return _response(answer_method(request.url.path, request.method, allowed))
    elif error.status_code < 500:
        found = InvalidPayload(error.detail)
    else:
        return answer_failure(request, error)
    return _response(answer_error(found))


def answer_failed_system(request: Req, error: OSError) -> Response[bytes]:
    """What the machine could not do: mostly for want of file descriptors or space."""
    if error.errno not in FULL:
        return answer_failure(request, error)
    _logger.error("machine_full", path=request.url.path, error=str(error))
    message = f"The server cannot answer now ({error.strerror}); try again."
    return _response(answer_error(Unavailable(message)))


def answer_store_away(request: Req, error: StoreAway) -> Response[bytes]:
    """A question while the store cannot be asked. Events are taken all the same."""
    return _response(answer_error(Unavailable("The store does not answer now; try again.")))


def answer_failure(request: Req, error: Exception) -> Response[bytes]:
    """What nobody foresaw."""
    return _response(answer_bug(request.method, request.url.path, error))


def _response(given: Answer) -> Response[bytes]:
    headers = {name.decode(): value.decode() for name, value in given.headers}
    return Response(given.body, status_code=given.status, headers=headers)
