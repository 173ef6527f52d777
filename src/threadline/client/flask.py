"""Flask: `Threadline(app)`, or `init_app` of one that was made without it.

`app.config["THREADLINE_KEY"]` and `["THREADLINE_HOST"]` make the program's client. Views use
`request.threadline` or `threadline.track`; templates `{{ threadline.html() }}` in their head.
"""

from collections.abc import Callable
from typing import Any

from flask import Flask, has_request_context, request

from threadline.client import default
from threadline.client.context import UserId
from threadline.client.visit import KEY, Visit
from threadline.client.wsgi import Middleware


class Threadline:
    """The extension. `user_id`: a function that says who is logged in, within a request; `rules`:
    see `Rules`."""

    def __init__(
        self,
        app: Flask | None = None,
        *,
        user_id: Callable[[], UserId] | None = None,
        **rules: Any,
    ) -> None:
        self._user_id = user_id
        self._rules = rules
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Set the application up."""
        if "client" not in self._rules and app.config.get("THREADLINE_KEY"):
            default.init(app.config["THREADLINE_KEY"], app.config.get("THREADLINE_HOST"))
        app.wsgi_app = Middleware(  # type: ignore[method-assign]  # Flask's own way to wrap it
            app.wsgi_app, user_id=self._user_id and self._user, **self._rules
        )
        app.before_request(_expose)
        app.context_processor(lambda: {KEY: visit()} if has_request_context() else {})

    def _user(self, _environ: object) -> UserId:
        return self._user_id() if self._user_id and has_request_context() else None


def visit() -> Visit:
    """The visit that the current request is part of."""
    found: Visit = request.environ[KEY]
    return found


def _expose() -> None:
    request.threadline = visit()  # type: ignore[attr-defined]  # ours
