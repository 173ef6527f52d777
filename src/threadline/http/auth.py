"""Who may come in: is there a key, is it valid, may it do this, from here?"""

import base64
import binascii
import re
from functools import partial
from urllib.parse import parse_qs

import msgspec

from threadline.contract.bodies import Batch
from threadline.contract.decoding import BYTE_ORDER_MARK
from threadline.contract.errors import (
    InvalidPayload,
    KeyKindNotAllowed,
    MissingBearerToken,
    NotSignedIn,
    OriginNotAllowed,
)
from threadline.contract.segment import Message
from threadline.control import SCOPES, SHARE, Project, origin_allowed
from threadline.http.doc import Doc
from threadline.http.request import Request
from threadline.http.sessions import admit_member
from threadline.http.shared import admit_shared
from threadline.runtime.memory import MIB

# Who sends it is known only after it is read.
BEACON_LIMIT = 1 * MIB


class Keyed(msgspec.Struct, rename="camel"):
    """The part of a body that says whose it is. `write_key`: of the Segment spec."""

    key: str | None = None
    write_key: str | None = None


KEY_IN = re.compile(rb'"(key|writeKey)"\s*:\s*"([A-Za-z0-9_]{1,200})"')


async def let_in(request: Request, doc: Doc) -> None:
    """A request of this route, where that takes a key. Raises what the contract says of keys,
    origins and rates. Who was admitted already asks by an account key, about one of its projects.
    """
    if request.is_admitted:
        if request.key.kind not in doc.keys or doc.scope:
            raise doc.refusal("An account key may only read.")
        return
    if not doc.keys or getattr(request.services.settings, doc.unless, False):
        if doc.role and not admit_member(request, doc):
            raise NotSignedIn("This is for members of the dashboard; sign in first.")
        return
    token = ""
    if doc.segment or doc.body is Message:
        keyed = bool(request.header("authorization"))
        token = key_of_basic(request) if keyed else key_in_address(request)
        request.segment = bool(token)
        if not keyed and not token:
            raw = await request.body(BEACON_LIMIT)
            token = await request.services.beside(len(raw), partial(_key_in, raw, doc))
    admit(request, doc, token)


def admit(request: Request, doc: Doc, token: str = "") -> None:
    """Raises what the contract says. `token`: the key, where it is not in the headers."""
    if not token:
        scheme, _, token = request.header("authorization").partition(" ")
        if not scheme and admit_member(request, doc):
            return
        if scheme.lower() != "bearer" or not token.strip():
            raise MissingBearerToken(
                "Send the key as `Authorization: Bearer KEY`; in a beacon, a browser key as `key`"
                " in the body."
            )
    token = token.strip()
    if token.startswith(SHARE):
        admit_shared(request, doc, token)
        return
    key, project = request.services.control.authenticate(token)
    request.admitted(key, project)
    if key.kind == "ak" and key.kind not in doc.keys:
        raise KeyKindNotAllowed(
            "Account keys (ak) open /mcp/account only. Use an sk or rk key of the project; in a"
            " page, its pk."
        )
    if key.kind not in doc.keys:
        way = f" {_way_to(doc.scope)}" if doc.scope else ""
        raise doc.refusal(f"A {key.kind} key may not do this; use {' or '.join(doc.keys)}.{way}")
    if doc.scope and doc.scope not in key.scope_names:
        raise doc.refusal(
            f"This key may not {SCOPES[doc.scope]}. Allow it with `threadline key grant "
            f"{key.label}"
            f" --scope {doc.scope}`. {_way_to(doc.scope)}"
        )
    origin = request.header("origin")
    if origin_allowed(origin, project.origins):
        request.allowed_origin = origin
    elif key.kind == "pk":
        raise _origin_refused(origin, project)
    if key.kind == "pk" and doc.bucket:
        request.services.buckets.take(project.project_id, doc.bucket, request.address)


def _way_to(scope: str) -> str:
    return f"`threadline key create --kind rk --scope {scope}` makes a key that may."


def key_of_basic(request: Request) -> str:
    """The key as the user name of `Authorization: Basic`, as Segment-spec libraries send it."""
    scheme, _, packed = request.header("authorization").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(packed, validate=True).decode().partition(":")[0]
    except (binascii.Error, ValueError):
        return ""


def key_in_address(request: Request) -> str:
    """The query's `writeKey`, empty where there is none: a beacon has no headers for it. Addresses
    are written into logs on the way, so it has to be a browser key. Raises `KeyKindNotAllowed`."""
    query = parse_qs(request.query)
    token = query.get("writeKey", [""])[0]
    if token and not token.startswith("pk_"):
        raise KeyKindNotAllowed("Only browser keys (pk) may be sent in the address.")
    return token


def _key_in(body: bytes, doc: Doc) -> str:
    """The key of a body that came without one in its headers, as beacons have to. `key` lies open
    in every page, so it has to be a browser key. Raises `InvalidPayload` for what cannot be read.
    """
    found = Keyed()
    if body.strip():
        found = _decoded_key(body)
    if doc.body is Batch and found.key:
        if not found.key.startswith("pk_"):
            raise KeyKindNotAllowed("Only browser keys (pk) may be sent in the body.")
        return found.key
    return found.write_key or ""


def _decoded_key(body: bytes) -> Keyed:
    """As `decode`, but what a stranger sent is not mended only to find out that it has no key."""
    try:
        return msgspec.json.decode(body.removeprefix(BYTE_ORDER_MARK), type=Keyed)
    except msgspec.ValidationError:
        return Keyed()
    except (ValueError, RecursionError):
        if named := KEY_IN.search(body):
            key = named[2].decode()
            return Keyed(key=key) if named[1] == b"key" else Keyed(write_key=key)
        raise InvalidPayload("The body is not JSON, or has no key.") from None


def _origin_refused(origin: str, project: Project) -> OriginNotAllowed:
    return OriginNotAllowed(
        f"Origin {origin or '(none)'} is not on the allowlist of project {project.name}."
        " Browser keys (pk) work from listed origins only; servers use an sk key."
    )
