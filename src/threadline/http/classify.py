"""`GET /v1/classify`: where would this visit come from, and why?"""

from typing import Annotated

import msgspec

from threadline.classify import Classification, explain
from threadline.http.answers import Answer, answer
from threadline.http.doc import READ, Doc
from threadline.http.request import Request
from threadline.http.routing import Route
from threadline.runtime.params import read_params
from threadline.runtime.services import site_of

Address = Annotated[str, msgspec.Meta(max_length=2048)]


class ClassifyParams(msgspec.Struct):
    """A visit: the page's URL with its parameters, and where the browser came from."""

    url: Address = ""
    referrer: Address = ""


async def classify(request: Request) -> Answer:
    params = read_params(request.query, ClassifyParams)
    return answer(explain(params.url, params.referrer, site_of(request.project)))


ROUTES = [
    Route(
        "GET",
        "/v1/classify",
        classify,
        Doc(
            summary="Where a visit would come from, rule by rule",
            tag="Events",
            keys=READ,
            params=ClassifyParams,
            answer=Classification,
        ),
    )
]
