"""`/v1/identity/links`, `…/accounts` and `…/aliases`: what people decide, and take back."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import msgspec

from threadline.contract.bodies import AccountLink, Alias, IdentityPreview, Link, Unalias
from threadline.contract.decoding import decode
from threadline.contract.errors import (
    AliasCycle,
    ApiError,
    Busy,
    InvalidPayload,
    PlaceholderId,
)
from threadline.contract.replies import Decided, Notice
from threadline.contract.times import now_ms
from threadline.http.answers import Answer, answer
from threadline.http.changing import read_exactly
from threadline.http.doc import READ, Doc
from threadline.http.questions import STALE
from threadline.http.request import Request
from threadline.http.routing import Route
from threadline.identity import decisions
from threadline.questions.preview import Preview, PreviewParams
from threadline.questions.registry import PREVIEW
from threadline.runtime.decide import decide, refuse_placeholders
from threadline.runtime.memory import MIB


class Decision(NamedTuple):
    """A route on which people decide: `decide` takes store, project, who, and the body's fields."""

    method: str
    path: str
    summary: str
    body: type[msgspec.Struct]
    decide: Callable[..., bool]
    errors: tuple[type[ApiError], ...] = ()


DECISIONS = [
    Decision(
        "DELETE",
        "/v1/identity/links",
        "Unlink a user from a device: what was seen there does not count",
        Link,
        decisions.unlink,
    ),
    Decision("PUT", "/v1/identity/links", "Link them again", Link, decisions.link_again),
    Decision(
        "DELETE",
        "/v1/identity/accounts",
        "Unlink a person from an account: what was seen there does not count",
        AccountLink,
        decisions.leave_account,
    ),
    Decision(
        "PUT",
        "/v1/identity/accounts",
        "Link them again",
        AccountLink,
        decisions.join_account_again,
    ),
    Decision(
        "PUT",
        "/v1/identity/aliases",
        "Declare a user the same person as another",
        Alias,
        decisions.alias,
        errors=(AliasCycle, PlaceholderId),
    ),
    Decision("DELETE", "/v1/identity/aliases", "Take that back", Unalias, decisions.unalias),
]


def _route(decision: Decision) -> Route:
    doc = Doc(
        summary=decision.summary,
        tag="Identity",
        keys=("sk",),
        body=decision.body,
        answer=Decided,
        errors=decision.errors,
    )
    return Route(decision.method, decision.path, partial(_handle, decision), doc)


async def _handle(decision: Decision, request: Request) -> Answer:
    services, notices = request.services, list[Notice]()
    raw = await request.body(MIB)
    read = partial(decode, raw, decision.body, now_ms(), notices)
    given = msgspec.structs.asdict(await services.beside(len(raw), read))
    if PlaceholderId in decision.errors:
        refuse_placeholders(given, services.placeholders)
    project_id, by = request.project.project_id, request.key.prefix
    changed = await decide(services, decision.decide, project_id, by, given)
    return answer(Decided(changed, notices or msgspec.UNSET))


async def preview(request: Request) -> Answer:
    services = request.services
    body = await read_exactly(request, IdentityPreview)
    given = {
        name: msgspec.structs.asdict(found)
        for name in PREVIEWED
        if (found := getattr(body, name)) is not None
    }
    if len(given) != 1:
        message = f"give one of {', '.join(PREVIEWED)}"
        raise InvalidPayload(f"{message.capitalize()}.", fieldErrors={"": [message]})
    ((decision, said),) = given.items()
    if decision == "alias":
        refuse_placeholders(said, services.placeholders)
    params = PreviewParams(decision=decision, given=said, stitch=body.stitch)
    answered = await services.asking.ask(PREVIEW, request.project, params)
    rendered = answer(answered.answer)
    if not answered.fresh:
        rendered.headers.append(STALE)
    return rendered


PREVIEWED = ("unlink", "link_again", "alias", "unalias")
ROUTES = [
    *map(_route, DECISIONS),
    Route(
        "POST",
        PREVIEW.path,
        preview,
        Doc(
            summary=PREVIEW.summary,
            tag=PREVIEW.tag,
            keys=READ,
            body=IdentityPreview,
            answer=Preview,
            errors=(*PREVIEW.errors, Busy, PlaceholderId),
        ),
    ),
]
