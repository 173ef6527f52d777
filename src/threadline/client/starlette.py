"""Starlette and FastAPI: `app.add_middleware(Middleware, …)`.

Endpoints use `request.state.threadline`, in FastAPI also `visit: Annotated[Visit, Depends(visit)]`,
or `threadline.track`; templates `{{ request.state.threadline.html() }}` in their head.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import HTTPConnection

from threadline.client import asgi
from threadline.client.visit import KEY, Visit

__all__ = ["Middleware", "Visit", "visit"]


class Middleware(asgi.Middleware):
    """As Starlette wants its types."""

    def __init__(self, app: Callable[..., Awaitable[None]], /, **rules: Any) -> None:
        super().__init__(app, **rules)


def visit(request: HTTPConnection) -> Visit:
    """The visit that this request is part of; a FastAPI dependency, too."""
    found: Visit = request.scope["state"][KEY]
    return found
