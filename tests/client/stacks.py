"""The same small site on every stack: a page, a signup, an answer that nobody caches, one that all
may, and what was known of the visitor."""

import json
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import threadline
from threadline.client import asgi, wsgi
from threadline.client.visit import Visit

Rules = dict[str, Any]
MORE = ("/webhook", "/stream")
PAGE, JSON = "text/html; charset=utf-8", "application/json"


def respond(path: str, visit: Visit) -> tuple[dict[str, str], str]:
    """Headers and text of the answer."""
    if path == "/":
        return {"Content-Type": PAGE}, f"<head>{visit.html()}</head>"
    if path == "/shared":
        return {"Content-Type": PAGE, "Cache-Control": "public, max-age=60"}, "{}"
    if path == "/signup":
        visit.identify("user_42", {"plan": "weaver"})
        threadline.track("signup")
        return {"Content-Type": JSON}, json.dumps({"anonymous_id": visit.anonymous_id})
    if path == "/as-admin":
        threadline.track("approved", user_id="somebody else")
        threadline.track("seen", anonymous_id="another visitor")
    if path == "/track":
        threadline.track("x")
    if path == "/webhook":  # as Django and Flask answer by themselves
        threadline.identify("ada", {"plan": "pro"})
        threadline.track("purchase", {"value": 49}, user_id="ada")
        threadline.track("renewal", user_id="bob", anonymous_id="v_of_bob")
        threadline.track("mailed")
        return {"Content-Type": PAGE}, "ok"
    return {"Content-Type": JSON}, "{}"


def parts(_visit: Visit) -> Iterator[bytes]:
    """An answer that is made while it is sent."""
    for name in ("first", "second"):
        threadline.track(name)
        yield name.encode()


async def parts_async(visit: Visit) -> AsyncIterator[bytes]:
    for part in parts(visit):
        yield part


def plain_wsgi(rules: Rules) -> Any:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        headers, text = respond(path, environ["threadline"])
        start_response("200 OK", [*headers.items()])
        if path == "/stream":
            return parts(environ["threadline"])
        return [text.encode()]

    return wsgi.Middleware(app, **rules)


def flask_app(rules: Rules) -> Any:
    from flask import Flask, Response, request

    from threadline.client.flask import Threadline, visit

    app = Flask(__name__)
    Threadline(app, **rules)

    @app.route("/", defaults={"path": ""}, methods=["GET", "POST"])
    @app.route("/<path:path>", methods=["GET", "POST"])
    def answer(path: str) -> Response:
        assert request.get_data() is not None
        assert visit() is request.threadline  # type: ignore[attr-defined]
        headers, text = respond(f"/{path}", visit())
        if path == "stream":
            return Response(parts(visit()), headers=headers)
        return Response(text, headers=headers)

    return app.wsgi_app


def django_app(rules: Rules) -> Any:
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

    def answer(request: HttpRequest) -> HttpResponse:
        assert request.POST is not None
        headers, text = respond(request.path, request.threadline)
        if request.path == "/stream":
            return StreamingHttpResponse(parts(request.threadline), headers=headers)
        return HttpResponse(text, headers=headers)

    _set_django_up(answer, rules)
    return get_wsgi_application()


def django_async_app(rules: Rules) -> Any:
    from django.core.asgi import get_asgi_application
    from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

    async def answer(request: HttpRequest) -> HttpResponse:
        headers, text = respond(request.path, request.threadline)
        if request.path == "/stream":
            return StreamingHttpResponse(parts_async(request.threadline), headers=headers)
        return HttpResponse(text, headers=headers)

    _set_django_up(answer, rules)
    return get_asgi_application()


def _set_django_up(view: Callable[..., Any], rules: Rules) -> None:
    import django
    from django.conf import settings
    from django.urls import clear_url_caches, re_path

    if not settings.configured:
        middleware = ["threadline.client.django.Middleware"]
        settings.configure(ALLOWED_HOSTS=["*"], MIDDLEWARE=middleware, SECRET_KEY="x")
        django.setup()
    settings.ROOT_URLCONF = type("Urls", (), {"urlpatterns": [re_path("", view)]})
    clear_url_caches()
    settings.THREADLINE = rules
    from threadline.client import django as ours

    ours._set_up.cache_clear()


def plain_asgi(rules: Rules) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body"):
            pass
        headers, text = respond(scope["path"], scope["state"]["threadline"])
        given = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": given})
        if scope["path"] == "/stream":
            async for part in parts_async(scope["state"]["threadline"]):
                await send({"type": "http.response.body", "body": part, "more_body": True})
            text = ""
        await send({"type": "http.response.body", "body": text.encode()})

    return asgi.Middleware(app, **rules)


def fastapi_app(rules: Rules) -> Any:
    from fastapi import FastAPI, Request, Response
    from fastapi.responses import StreamingResponse

    from threadline.client.starlette import Middleware, visit

    app = FastAPI()
    app.add_middleware(Middleware, **rules)

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    def answer(path: str, request: Request) -> Response:
        # On another thread than the middleware.
        assert visit(request) is request.state.threadline
        headers, text = respond(f"/{path}", visit(request))
        if path == "stream":
            return StreamingResponse(parts(visit(request)), headers=headers)
        return Response(text, headers=headers)

    answer.__annotations__["request"] = Request
    return app


def litestar_app(rules: Rules) -> Any:
    from litestar import HttpMethod, Litestar, Request, Response, route
    from litestar.middleware import DefineMiddleware
    from litestar.response import Stream

    from threadline.client.litestar import Middleware, visit

    methods = [HttpMethod.GET, HttpMethod.POST]

    @route(["/", "/signup", "/api", "/track", "/shared", "/as-admin", *MORE], http_method=methods)
    async def answer(request: Request) -> Response[Any]:  # type: ignore[type-arg]
        assert visit(request) is request.state.threadline
        headers, text = respond(request.url.path, visit(request))
        if request.url.path == "/stream":
            return Stream(parts(visit(request)), headers=headers, status_code=200)
        return Response(text, headers=headers, status_code=200)

    return Litestar(
        [answer],
        middleware=[DefineMiddleware(Middleware, **rules)],
        openapi_config=None,
        logging_config=None,
    )


STACKS: dict[str, Callable[[Rules], Any]] = {
    "wsgi": plain_wsgi,
    "flask": flask_app,
    "django": django_app,
    "django-async": django_async_app,
    "asgi": plain_asgi,
    "fastapi": fastapi_app,
    "litestar": litestar_app,
}
SYNC = ("wsgi", "flask", "django")


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


@contextmanager
def serve(stack: str, rules: Rules) -> Iterator[int]:
    """The site on a free port."""
    app = STACKS[stack](rules)
    if stack in SYNC:
        server = make_server("127.0.0.1", 0, app, _Server, _Quiet)
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()
        server.server_close()
        return
    import socket

    import uvicorn

    class Server(uvicorn.Server):
        up = threading.Event()

        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            self.up.set()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        running = Server(
            uvicorn.Config(app, log_level="error", proxy_headers=False, lifespan="off")
        )
        running.up = threading.Event()
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        assert running.up.wait(20)
        yield listening.getsockname()[1]
        running.should_exit = True
        thread.join()
