"""`GET /v1/refusals`: why does nothing arrive?"""

from typing import Annotated

import msgspec

from threadline.contract import errors
from threadline.contract.times import format_ms
from threadline.http.answers import Answer, answer
from threadline.http.changing import NoParams
from threadline.http.doc import READ, Doc
from threadline.http.request import Request
from threadline.http.routing import Route
from threadline.runtime.params import read_params
from threadline.runtime.refusals import CountedRefusal

ERRORS = {error.code: error for error in errors.ApiError.__subclasses__()}
LOST_ON_RESTART = "Counted in memory since {since}; a restart of the server begins anew."


class Refusal(msgspec.Struct):
    """Requests with events that were refused for one reason. `origin`: of the page that sent the
    last of them; null where it was no page's."""

    reason: Annotated[str, msgspec.Meta(description="The error's code.")]
    meaning: str
    project_id: Annotated[
        str | None,
        msgspec.Meta(description="Null if no key said which project it was meant for."),
    ]
    count: int
    first_at: str
    last_at: str
    origin: str | None
    route: str


class RefusalList(msgspec.Struct):
    """What was refused of this project, and what was nobody's; the latest first. `note` says since
    when, and that it is lost on restart."""

    rows: list[Refusal]
    since: str
    note: str


async def list_refusals(request: Request) -> Answer:
    read_params(request.query, NoParams)
    refusals = request.services.refusals
    rows = [_shown(one) for one in refusals.listed(request.project.project_id)]
    since = format_ms(refusals.since_ms)
    return answer(RefusalList(rows, since, LOST_ON_RESTART.format(since=since)))


def _shown(one: CountedRefusal) -> Refusal:
    known = ERRORS.get(one.code, errors.InternalError)
    return Refusal(
        one.code,
        " ".join((known.__doc__ or "").replace("`", "").split()),
        one.project_id or None,
        one.count,
        format_ms(one.first_ms),
        format_ms(one.last_ms),
        one.origin or None,
        one.route,
    )


ROUTES = [
    Route(
        "GET",
        "/v1/refusals",
        list_refusals,
        Doc(
            summary="What was refused lately of what should have been recorded, and why",
            tag="Operation",
            keys=READ,
            answer=RefusalList,
            errors=(errors.InvalidParams,),
        ),
    )
]
