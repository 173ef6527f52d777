"""Who may come in: is there a key, is it valid, may it do this, from here?"""

import base64
import binascii

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Scope

from threadline.contract.errors import (
    ApiError,
    KeyKindNotAllowed,
    MissingBearerToken,
    OriginNotAllowed,
)
from threadline.control import Project, origin_allowed
from threadline.http.body import drain
from threadline.http.doc import Doc
from threadline.runtime.services import Services

# What proxies say of the visitor's address.
FORWARDED = frozenset({b"x-forwarded-for", b"forwarded", b"x-real-ip", b"cf-connecting-ip"})


async def require_key(
    connection: ASGIConnection,  # type: ignore[type-arg]
    handler: BaseRouteHandler,
) -> None:
    """The guard of the read routes.

    Asynchronous only because Litestar sends any other guard through a thread pool, which costs
    more than the whole request.
    """
    doc = handler.opt.get("doc")
    services: Services = connection.app.state.services
    if isinstance(doc, Doc) and doc.keys and not getattr(services.settings, doc.unless, False):
        try:
            admit(services, doc, connection.scope)
        except ApiError:
            await drain(connection.scope, connection.receive, services.settings.body_seconds)
            raise


def admit(services: Services, doc: Doc, scope: Scope, token: str = "") -> None:
    """Leaves `key`, `project` and `allowed_origin` in the scope's state, or raises what the
    contract says. `token`: the key, where it is not in the headers."""
    state, headers = scope.setdefault("state", {}), dict(scope["headers"])
    if not token:
        scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise MissingBearerToken(
                "Send the key as `Authorization: Bearer KEY`; in a beacon, a browser key as `key`"
                " in the body."
            )
    key, project = services.control.authenticate(token.strip())
    state["key"], state["project"] = key, project
    if key.kind == "ak":
        raise KeyKindNotAllowed("Account keys (ak) work on /mcp/account only.")
    if key.kind not in doc.keys:
        raise doc.refusal(f"A {key.kind} key may not do this; use {' or '.join(doc.keys)}.")
    origin = headers.get(b"origin", b"").decode("latin-1")
    if origin_allowed(origin, project.origins):
        state["allowed_origin"] = origin
    elif key.kind == "pk":
        raise _origin_refused(origin, project)
    if key.kind == "pk" and doc.bucket:
        services.buckets.take(project.project_id, doc.bucket, client_address(services, scope))


def key_of_basic(scope: Scope) -> str:
    """The key as the user name of `Authorization: Basic`, as Segment-spec libraries send it."""
    scheme, _, packed = header(scope, "authorization").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(packed, validate=True).decode().partition(":")[0]
    except (binascii.Error, ValueError):
        return ""


def client_address(services: Services, scope: Scope) -> str:
    """Where the request came from: the trusted header's last entry, else the connection itself."""
    name = services.settings.client_address_header
    if name and (value := header(scope, name)):
        return value.rpartition(",")[2].strip()
    if not name and FORWARDED.intersection(dict(scope["headers"])):
        services.note_proxy()
    return scope["client"][0] if scope["client"] else ""


def header(scope: Scope, name: str) -> str:
    """The last header of this name, or nothing."""
    return dict(scope["headers"]).get(name.lower().encode(), b"").decode("latin-1")


def _origin_refused(origin: str, project: Project) -> OriginNotAllowed:
    return OriginNotAllowed(
        f"Origin {origin or '(none)'} is not on the allowlist of project {project.name}."
        " Browser keys (pk) work from listed origins only; servers use an sk key."
    )
