"""Starlette and FastAPI: `app.add_middleware(Middleware, …)`.

Endpoints use `request.state.threadline`, in FastAPI also `visit: Annotated[Visit, Depends(visit)]`,
or `threadline.track`; templates `{{ request.state.threadline.html() }}` in their head.
"""

from starlette.requests import HTTPConnection

from threadline.client.asgi import KEY, Middleware
from threadline.client.visit import Visit

__all__ = ["Middleware", "Visit", "visit"]


def visit(request: HTTPConnection) -> Visit:
    """The visit that this request is part of; a FastAPI dependency, too."""
    found: Visit = request.scope["state"][KEY]
    return found
