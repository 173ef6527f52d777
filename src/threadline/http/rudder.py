"""What only RudderStack's clients need besides the Segment spec; docs/segment.md says how to use
them."""

from typing import Any
from urllib.parse import parse_qs

import msgspec
from litestar import Request, Response, get
from litestar.types import Scope

from threadline.contract.errors import KeyKindNotAllowed
from threadline.contract.rudder import Source, SourceConfig
from threadline.http.auth import admit, key_of_basic
from threadline.http.doc import Doc

Req = Request[Any, Any, Any]

DOC = Doc(
    summary="What RudderStack's browser client asks for before it sends anything",
    tag="Segment spec",
    keys=("pk",),
    refusal=KeyKindNotAllowed,
    answer=SourceConfig,
)


def key_in_address(scope: Scope) -> str:
    """The query's `writeKey`, empty where there is none: a beacon has no headers for it. Addresses
    are written into logs on the way, so it has to be a browser key. Raises `KeyKindNotAllowed`."""
    query = parse_qs(scope["query_string"].decode("latin-1"))
    token = query.get("writeKey", [""])[0]
    if token and not token.startswith("pk_"):
        raise KeyKindNotAllowed("Only browser keys (pk) may come in the address.")
    return token


# Like the short names of the Segment spec, not in the reference: nobody else has a use for it.
@get("/sourceConfig", sync_to_thread=False)
def source_config(request: Req) -> Response[bytes]:
    """No destinations: all that the client does is send. Raises what `admit` raises."""
    scope = request.scope
    token = key_of_basic(scope) or key_in_address(scope)
    admit(request.app.state.services, DOC, scope, token)
    reply = SourceConfig(Source(request.state.key.prefix))
    return Response(msgspec.json.encode(reply), media_type="application/json")


ROUTES = [source_config]
