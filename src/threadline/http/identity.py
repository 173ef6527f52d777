"""`/v1/identity/links`, `…/accounts` and `…/aliases`: what people decide, and take back."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import msgspec

from threadline.contract.bodies import AccountLink, Alias, Link, Unalias
from threadline.contract.decoding import decode
from threadline.contract.errors import (
    AliasCycle,
    ApiError,
    PlaceholderId,
)
from threadline.contract.replies import Decided, Notice
from threadline.contract.times import now_ms
from threadline.http.answers import Answer, answer
from threadline.http.doc import Doc
from threadline.http.request import Request
from threadline.http.routing import Route
from threadline.identity import decisions
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


ROUTES = [*map(_route, DECISIONS)]
