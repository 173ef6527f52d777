"""`GET /v1/classify`: where would this visit come from, and why?"""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get

from threadline.classify import Classification, explain
from threadline.http.doc import Doc
from threadline.http.questions import READ
from threadline.runtime.params import read_params
from threadline.runtime.services import site_of

Req = Request[Any, Any, Any]
Address = Annotated[str, msgspec.Meta(max_length=2048)]


class ClassifyParams(msgspec.Struct):
    """A visit: the page's URL with its parameters, and where the browser came from."""

    url: Address = ""
    referrer: Address = ""


@get(
    "/v1/classify",
    sync_to_thread=False,
    opt={
        "doc": Doc(
            summary="Where a visit would come from, rule by rule",
            tag="Events",
            keys=READ,
            params=ClassifyParams,
            answer=Classification,
        )
    },
)
def classify(request: Req) -> Response[bytes]:
    params = read_params(request, ClassifyParams)
    found = explain(params.url, params.referrer, site_of(request.state.project))
    return Response(msgspec.json.encode(found), media_type="application/json")


ROUTES = [classify]
