"""The guard in front of every route: is there a key, is it valid, may it do this, from here?"""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from threadline.contract.errors import KeyKindNotAllowed, MissingBearerToken, OriginNotAllowed
from threadline.control import Project, origin_allowed
from threadline.http.doc import Doc
from threadline.http.services import Services

Connection = ASGIConnection[Any, Any, Any, Any]


async def require_key(connection: Connection, handler: BaseRouteHandler) -> None:
    """Leaves `key` and `project` in the connection's state, or raises what the contract says.

    Asynchronous only because Litestar sends any other guard through a thread pool, which costs
    more than the whole request.
    """
    doc = handler.opt.get("doc")
    if not isinstance(doc, Doc) or not doc.keys:
        return
    services: Services = connection.app.state.services
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise MissingBearerToken("Send the key as `Authorization: Bearer KEY`.")
    key, project = services.control.authenticate(token.strip())
    connection.state.key = key
    connection.state.project = project
    if key.kind == "ak":
        raise KeyKindNotAllowed("Account keys (ak) work on /mcp/account only.")
    if key.kind not in doc.keys:
        raise doc.refusal(f"A {key.kind} key may not do this; use {' or '.join(doc.keys)}.")
    _check_origin(connection, key.kind, project)
    if key.kind == "pk" and doc.bucket:
        services.buckets.take(project.project_id, doc.bucket, client_address(connection))


def client_address(connection: Connection) -> str:
    """Where the request came from: the trusted header's last entry, else the connection itself."""
    header = connection.app.state.services.settings.client_address_header
    if header and (value := connection.headers.get(header)):
        return value.rpartition(",")[2].strip()
    return connection.client.host if connection.client else ""


def _check_origin(connection: Connection, kind: str, project: Project) -> None:
    origin = connection.headers.get("origin", "")
    allowed = origin_allowed(origin, project.origins)
    if allowed:
        connection.state.allowed_origin = origin
    elif kind == "pk":
        raise OriginNotAllowed(
            f"Origin {origin or '(none)'} is not on the allowlist of project {project.name}."
            " Browser keys (pk) work from listed origins only; servers use an sk key."
        )
