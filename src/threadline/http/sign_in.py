"""`/v1/auth/…`: signing in to the dashboard, by password or link, and choosing a password."""

from functools import partial

import msgspec

from threadline.contract.access import LinkSignIn, Me, PasswordChange, PasswordSignIn, SetUp, Setup
from threadline.contract.errors import (
    AlreadyExists,
    Busy,
    CrossSite,
    InvalidLink,
    RateLimited,
    SignInFailed,
    Unavailable,
)
from threadline.contract.replies import Ok
from threadline.contract.times import now_ms
from threadline.control import Project, SignedIn, check_password, hash_password, password_matches
from threadline.control.access import FRESH_MS, read_email
from threadline.enrich import read_agent
from threadline.http.answers import Answer, answer
from threadline.http.changing import read_exactly, write_control
from threadline.http.cookies import session_cookie
from threadline.http.doc import Doc, Errors
from threadline.http.request import Request
from threadline.http.routing import Route
from threadline.http.sessions import refuse_other_sites
from threadline.http.signed_in import TAG, told_to


async def by_password(request: Request) -> Answer:
    refuse_other_sites(request)
    given = await read_exactly(request, PasswordSignIn)
    services, email = request.services, given.email.strip().lower()
    _take_try(request, email)
    members = services.control.members()
    member = next((each for each in members if each.email == email), None)
    hashed = member.password_hash if member else None
    right = await services.beside_passwords(partial(password_matches, given.password, hashed))
    if not member or not right:
        services.metrics.sign_ins.labels("failed").inc()
        raise SignInFailed(
            "The e-mail address or the password is wrong. If you have forgotten it, ask an owner "
            "for a link, or run `threadline dashboard login-link` where the server runs."
        )
    services.throttle.give_back(request.address, email)
    signed = await write_control(
        partial(services.control.sign_in, member, "password", device(request))
    )
    return welcome(request, signed)


async def by_link(request: Request) -> Answer:
    refuse_other_sites(request)
    given = await read_exactly(request, LinkSignIn)
    services = request.services
    _take_try(request)
    use = partial(services.control.sign_in_by_link, given.token, device(request))
    signed = await write_control(use)
    services.throttle.give_back(request.address)
    return welcome(request, signed)


async def set_up(request: Request) -> Answer:
    refuse_other_sites(request)
    given = await read_exactly(request, Setup)
    services, control = request.services, request.services.control
    _take_try(request)
    check_password(given.password, read_email(given.email))
    hashed = await services.beside_passwords(partial(hash_password, given.password))
    origins = [given.origin] if given.origin else []

    def make() -> tuple[SignedIn, Project | None, dict[str, str]]:
        owner = control.new_owner(given.email, given.name, hashed)
        signed, project, keys = control.set_up(
            given.token, owner, given.project, origins, device(request)
        )
        return signed, project, {kind: str(token) for kind, token in keys.items()}

    signed, project, keys = await write_control(make)
    services.throttle.give_back(request.address)
    told = msgspec.structs.asdict(told_to(services, signed.member))
    reply = SetUp(**told, project_id=project and project.project_id, keys=keys)
    return welcome(request, signed, reply)


async def change_password(request: Request) -> Answer:
    assert request.member
    assert request.session
    given = await read_exactly(request, PasswordChange)
    services, member, session = request.services, request.member, request.session
    check_password(given.password, member.email)
    fresh = session.signed_in_by == "link" and now_ms() - session.created_ms < FRESH_MS
    if member.password_hash and not fresh:
        _take_try(request, member.email)
        compare = partial(password_matches, given.current, member.password_hash)
        if not await services.beside_passwords(compare):
            raise SignInFailed("The current password is wrong; nothing was changed.")
        services.throttle.give_back(request.address, member.email)
    hashed = await services.beside_passwords(partial(hash_password, given.password))
    await write_control(
        partial(services.control.set_password, member.member_id, hashed, session.session_id)
    )
    return answer(Ok())


def welcome(request: Request, signed: SignedIn, reply: Me | None = None) -> Answer:
    """The answer to who has just signed in, with the cookie."""
    request.session, request.member = signed.session, signed.member
    request.services.metrics.sign_ins.labels("succeeded").inc()
    answered = answer(reply or told_to(request.services, signed.member))
    answered.headers.append(session_cookie(request, signed.token))
    return answered


def _take_try(request: Request, email: str = "") -> None:
    """Raises `RateLimited`, also for who would be right this time."""
    try:
        request.services.throttle.take(request.address, email)
    except RateLimited:
        request.services.metrics.sign_ins.labels("throttled").inc()
        raise


def device(request: Request) -> str:
    """Such as `firefox on linux`: to know one's sessions apart. Nothing else is kept of it."""
    agent = read_agent(request.header("user-agent"))
    return " on ".join(filter(None, (agent.browser, agent.os))) or "unknown"


# Of whoever signs in, and of whoever says so without being a member yet.
OPEN: Errors = (CrossSite, RateLimited, Unavailable)
ROUTES = [
    Route(
        "POST",
        "/v1/auth/password",
        by_password,
        Doc(
            summary="Sign in by e-mail address and password",
            tag=TAG,
            body=PasswordSignIn,
            answer=Me,
            errors=(*OPEN, SignInFailed, Busy),
        ),
    ),
    Route(
        "PUT",
        "/v1/auth/password",
        change_password,
        Doc(
            summary="Choose a password, or another one; all other sessions end",
            tag=TAG,
            role="viewer",
            body=PasswordChange,
            answer=Ok,
            errors=(*OPEN, SignInFailed, Busy),
        ),
    ),
    Route(
        "POST",
        "/v1/auth/link",
        by_link,
        Doc(
            summary="Sign in by a one-time link",
            tag=TAG,
            body=LinkSignIn,
            answer=Me,
            errors=(*OPEN, InvalidLink),
        ),
    ),
    Route(
        "POST",
        "/v1/auth/setup",
        set_up,
        Doc(
            summary="First run: make the first owner and, where there is none, a project",
            tag=TAG,
            body=Setup,
            answer=SetUp,
            errors=(*OPEN, InvalidLink, AlreadyExists, Busy),
        ),
    ),
]
