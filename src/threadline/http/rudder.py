"""What only RudderStack's clients need besides the Segment spec; docs/segment.md says how to use
them."""

from threadline.contract.errors import KeyKindNotAllowed
from threadline.contract.rudder import Source, SourceConfig
from threadline.http.answers import Answer, answer
from threadline.http.auth import admit, key_in_address, key_of_basic
from threadline.http.doc import Doc
from threadline.http.request import Request
from threadline.http.routing import Route

DOC = Doc(
    summary="What RudderStack's browser client asks for before it sends anything",
    tag="Segment spec",
    keys=("pk",),
    refusal=KeyKindNotAllowed,
    answer=SourceConfig,
)


async def source_config(request: Request) -> Answer:
    """No destinations: all that the client does is send. Raises what `admit` raises."""
    admit(request, DOC, key_of_basic(request) or key_in_address(request))
    return answer(SourceConfig(Source(request.key.prefix)))


# Like the short names of the Segment spec, not in the reference: nobody else has a use for it.
ROUTES = [Route("GET", "/sourceConfig", source_config)]
