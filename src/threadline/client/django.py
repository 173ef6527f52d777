"""Django: `"threadline.client.django.Middleware"` in MIDDLEWARE, after sessions and authentication.

Settings, all optional: `THREADLINE = {"key": …, "host": …, "identify_on_login": True, …}`; what the
client does not take is a rule of `Rules`. In a template's head: `{{ request.threadline.html }}`.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import fields
from functools import lru_cache
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.http import FileResponse, HttpRequest, HttpResponseBase, RawPostDataException
from django.utils.cache import patch_vary_headers

from threadline.client import default
from threadline.client.client import Client
from threadline.client.context import Context, use_context
from threadline.client.visit import RequestInfo, Rules, Visit
from threadline.client.wsgi import Streamed, headers

RULES = {part.name for part in fields(Rules) if part.init} - {"client", "user_id"}
CLIENT = set(inspect.signature(Client.__init__).parameters) - {"self"}


class Middleware:
    """Every request gets its visit as `request.threadline`; for sync and async stacks."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)
        _set_up()

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if iscoroutinefunction(self._get_response):
            return self._answer_async(request)
        visit = _visit(request)
        with use_context(visit.context):
            return _finished(visit, self._get_response(request))

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        visit = _visit(request)
        with use_context(visit.context):
            return _finished(visit, await self._get_response(request))


@lru_cache(maxsize=1)
def _set_up() -> Rules:
    """The program's client and the rules, by the settings. Raises `ImproperlyConfigured`."""
    given = dict(getattr(settings, "THREADLINE", {}))
    if given.pop("identify_on_login", True):
        user_logged_in.connect(_identify, dispatch_uid="threadline")
    unknown = given.keys() - RULES - CLIENT
    if unknown:
        known = ", ".join(sorted(RULES | CLIENT))
        raise ImproperlyConfigured(
            f"THREADLINE has no option {', '.join(unknown)}; its options are {known}."
        )
    if options := {name: given[name] for name in given.keys() & CLIENT}:
        default.init(**options)
    return Rules(user_id=_user_id, **{name: given[name] for name in given.keys() & RULES})


def _visit(request: HttpRequest) -> Visit:
    info = RequestInfo(
        method=request.method or "",
        scheme=request.scheme or "",
        host=request.META.get("HTTP_HOST") or request.META.get("SERVER_NAME", ""),
        path=request.get_full_path(),
        header=headers(request.META),
        peer=request.META.get("REMOTE_ADDR", ""),
        body=lambda: _body(request),
    )
    visit = Visit(info, _set_up(), request)
    request.threadline = visit
    return visit


def _body(request: HttpRequest) -> bytes:
    """Django keeps it, and reads forms from what it has kept."""
    try:
        found: bytes = request.body
        return found
    except RawPostDataException:  # the view reads it as a stream
        return b""


def _user_id(request: HttpRequest) -> str | None:
    user = getattr(request, "user", None)
    try:
        return str(user.pk) if user is not None and user.is_authenticated else None
    except SynchronousOnlyOperation:  # an async view that has not asked for its user yet
        return None


def _identify(request: HttpRequest | None, user: Any, **_: object) -> None:
    """Whoever logs in, or signs up and is logged in by that, is known from here on."""
    visit = getattr(request, "threadline", None)
    if visit is not None:
        visit.client.identify(str(user.pk), anonymous_id=visit.anonymous_id)


def _finished(visit: Visit, response: Any) -> HttpResponseBase:
    """With its cookie; what is made while it is sent still serves the visitor."""
    if response.streaming and not isinstance(response, FileResponse):
        stream = _streamed if response.is_async else Streamed
        response.streaming_content = stream(response.streaming_content, visit.context)
    return _with_cookie(visit, response)


async def _streamed(parts: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
    while True:
        with use_context(context):
            part = await anext(parts, None)
        if part is None:
            return
        yield part


def _with_cookie(visit: Visit, response: HttpResponseBase) -> HttpResponseBase:
    cookie = visit.cookie(
        response.status_code,
        response.get("Content-Type", ""),
        response.get("Cache-Control", ""),
    )
    if cookie:
        pair, *attributes = cookie.split("; ")
        name, _, value = pair.partition("=")
        response.cookies[name] = value
        for attribute in attributes:
            key, _, setting = attribute.partition("=")
            response.cookies[name][key.lower()] = setting or True
        patch_vary_headers(response, ("Cookie",))
    return response
