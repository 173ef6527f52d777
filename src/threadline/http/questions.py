"""The questions about people: each a route, its parameters, and the function that answers it."""

from collections.abc import Callable
from typing import Any, NamedTuple

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from threadline.contract.errors import (
    InvalidGroupBy,
    NotFound,
    StitchNotAPartition,
    ThreadlineError,
)
from threadline.http.doc import Doc
from threadline.http.params import read_params
from threadline.http.read import PARTITIONS, READ, answer_stitched, partition
from threadline.identity.ground import Ground
from threadline.identity.reading import Reading
from threadline.questions import (
    attribution,
    explain,
    funnel,
    identity,
    paths,
    retention,
    sessions,
    sources,
    stats,
    time_to_conversion,
)
from threadline.questions.answers import Stitched

Req = Request[Any, Any, Any]


class Question(NamedTuple):
    """`counts`: it counts people, so each event needs one owner."""

    path: str
    summary: str
    tag: str
    params: type[Stitched]
    answer: type
    ask: Callable[[Reading, Ground, Any], object]
    counts: bool = True
    errors: tuple[type[ThreadlineError], ...] = (InvalidGroupBy, StitchNotAPartition)


QUESTIONS = [
    Question(
        "/v1/stats",
        "How many, by what, over time",
        "Numbers",
        stats.Params,
        stats.Stats,
        stats.ask,
    ),
    Question(
        "/v1/sources",
        "Where events and people come from",
        "Numbers",
        sources.Params,
        sources.Sources,
        sources.ask,
        errors=(StitchNotAPartition,),
    ),
    Question(
        "/v1/sessions",
        "How many visits, how long, and where each began",
        "Numbers",
        sessions.Params,
        sessions.Sessions,
        sessions.ask,
    ),
    Question(
        "/v1/time-to-conversion",
        "How long from the first touch to a conversion",
        "People",
        time_to_conversion.Params,
        time_to_conversion.TimeToConversion,
        time_to_conversion.ask,
        counts=False,
        errors=(InvalidGroupBy, NotFound),
    ),
    Question(
        "/v1/attribution",
        "Which touches are credited with conversions",
        "People",
        attribution.Params,
        attribution.Attribution,
        attribution.ask,
    ),
    Question(
        "/v1/funnel",
        "How far people get, step by step",
        "People",
        funnel.Params,
        funnel.Funnel,
        funnel.ask,
    ),
    Question(
        "/v1/retention",
        "Of those who began together, how many come back",
        "People",
        retention.Params,
        retention.Retention,
        retention.ask,
        errors=(StitchNotAPartition,),
    ),
    Question(
        "/v1/paths",
        "What people do before or after an event",
        "People",
        paths.Params,
        paths.Paths,
        paths.ask,
        errors=(StitchNotAPartition,),
    ),
    Question(
        "/v1/identity/shared-devices",
        "Devices that more than one person was seen on",
        "Identity",
        identity.SharedParams,
        identity.SharedDevices,
        identity.shared_devices,
        counts=False,
        errors=(),
    ),
    Question(
        "/v1/identity/explain",
        "Whose an event is under each policy, and why",
        "Identity",
        explain.Params,
        explain.Explanation,
        explain.ask,
        counts=False,
        errors=(NotFound,),
    ),
]


def _route(question: Question) -> HTTPRouteHandler:
    doc = Doc(
        summary=question.summary,
        tag=question.tag,
        keys=READ,
        params=question.params,
        answer=question.answer,
        errors=question.errors,
        choices={"stitch": PARTITIONS} if question.counts else {},
    )

    @get(question.path, opt={"doc": doc})
    async def handler(request: Req) -> Response[bytes]:
        params = read_params(request, question.params)
        if question.counts:
            params.stitch = partition(request, params.stitch)
        return await answer_stitched(
            request, params, lambda reading, ground: question.ask(reading, ground, params)
        )

    return handler


ROUTES = [_route(question) for question in QUESTIONS]
