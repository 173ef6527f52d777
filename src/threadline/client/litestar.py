"""Litestar: `Litestar(middleware=[DefineMiddleware(Middleware, …)])`.

Handlers use `request.state.threadline`, or `visit: Visit` with `dependencies={"visit":
Provide(visit, sync_to_thread=False)}`, or `threadline.track`.
"""

from litestar import Request

from threadline.client.asgi import Middleware
from threadline.client.visit import KEY, Visit

__all__ = ["Middleware", "Visit", "visit"]


def visit(request: Request) -> Visit:  # type: ignore[type-arg]
    """The visit that this request is part of."""
    found: Visit = request.scope["state"][KEY]
    return found
