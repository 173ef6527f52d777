"""`/v1/auth/…`: signing in and out of the dashboard, and who is asking."""

from functools import partial

import msgspec

from threadline import __version__
from threadline.contract.access import (
    LinkSignIn,
    Me,
    MemberProject,
    OidcName,
    PasswordChange,
    PasswordSignIn,
    SessionList,
    SessionRow,
    SetUp,
    Setup,
    SharedPage,
    SignedInMember,
    SignedOut,
    SignOut,
)
from threadline.contract.errors import (
    AlreadyExists,
    Busy,
    CrossSite,
    InvalidLink,
    NotFound,
    RateLimited,
    SignInFailed,
    Unavailable,
)
from threadline.contract.replies import Ok
from threadline.contract.times import format_ms, now_ms
from threadline.control import (
    Member,
    Project,
    SignedIn,
    check_password,
    hash_password,
    password_matches,
)
from threadline.control.access import FRESH_MS, read_email
from threadline.enrich import read_agent
from threadline.http.answers import Answer, answer
from threadline.http.changing import read_exactly, write_control
from threadline.http.cookies import SESSION, read_cookie, session_cookie
from threadline.http.doc import Doc, Errors
from threadline.http.request import Request
from threadline.http.routing import Route
from threadline.http.sessions import refuse_other_sites, signed_in
from threadline.http.shared import share_token
from threadline.runtime.services import Services

TAG = "Dashboard"


async def me(request: Request) -> Answer:
    """Also who is nobody may ask. The cookie is sent anew, so that it lives as long as its
    session. Raises `InvalidLink` for a share link that was revoked."""
    if token := share_token(request):
        link, project = request.services.control.share_link_of(token)
        told = _me(request.services, None)
        told.projects = [project_row(project)]
        told.shared = SharedPage(link.name, link.page, link.query)
        return answer(told)
    found = signed_in(request)
    answered = answer(_me(request.services, found[1] if found else None))
    if found:
        request.session, request.member = found
        answered.headers.append(session_cookie(request, read_cookie(request, SESSION)))
    return answered


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
            "The e-mail address or the password is wrong. Who has forgotten it asks an owner for a"
            " link, or runs `threadline dashboard login-link` where the server runs."
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
    told = msgspec.structs.asdict(_me(services, signed.member))
    reply = SetUp(**told, project_id=project and project.project_id, keys=keys)
    return welcome(request, signed, reply)


async def sign_out(request: Request) -> Answer:
    """Of who is not signed in there is nothing to end, and the cookie goes all the same."""
    refuse_other_sites(request)
    given = await read_exactly(request, SignOut)
    control, found, ended = request.services.control, signed_in(request), 0
    if found and given.everywhere:
        ended = await write_control(partial(control.end_sessions, found[1].member_id))
    elif found:
        session, member = found
        await write_control(partial(control.end_session, member.member_id, session.session_id))
        ended = 1
    answered = answer(SignedOut(ended))
    answered.headers.append(session_cookie(request, ""))
    return answered


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


async def list_sessions(request: Request) -> Answer:
    assert request.member
    assert request.session
    current = request.session.session_id
    rows = [
        SessionRow(
            session_id=session.session_id,
            device=session.device,
            signed_in_by=session.signed_in_by,
            created_at=format_ms(session.created_ms),
            last_used_at=format_ms(session.last_used_ms),
            expires_at=format_ms(session.expires_ms),
            current=session.session_id == current,
        )
        for session in request.services.control.sessions_of(request.member.member_id)
    ]
    return answer(SessionList(rows))


async def end_session(request: Request) -> Answer:
    assert request.member
    end = request.services.control.end_session
    await write_control(partial(end, request.member.member_id, request.in_path["session_id"]))
    return answer(Ok())


def welcome(request: Request, signed: SignedIn, reply: Me | None = None) -> Answer:
    """The answer to who has just signed in, with the cookie."""
    request.session, request.member = signed.session, signed.member
    request.services.metrics.sign_ins.labels("succeeded").inc()
    answered = answer(reply or _me(request.services, signed.member))
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


def project_row(project: Project) -> MemberProject:
    return MemberProject(
        project_id=project.project_id,
        name=project.name,
        stitch=project.stitch,
        origins=sorted(project.origins),
        visit_timeout_minutes=project.visit_timeout_minutes,
        timezone=project.timezone,
    )


def _me(services: Services, member: Member | None) -> Me:
    projects = services.control.projects() if member else []
    who = member and SignedInMember(
        member_id=member.member_id,
        email=member.email,
        name=member.name,
        role=member.role,
        has_password=member.password_hash is not None,
    )
    return Me(
        member=who,
        projects=[project_row(project) for project in projects],
        setup=not services.control.look().members,
        oidc=OidcName(services.oidc.name) if services.oidc else None,
        shared=None,
        version=__version__,
    )


# Of whoever signs in, and of whoever says so without being a member yet.
OPEN: Errors = (CrossSite, RateLimited, Unavailable)
ROUTES = [
    Route(
        "GET",
        "/v1/auth/me",
        me,
        Doc(
            summary="Who is asking, and what there is to sign in by",
            tag=TAG,
            answer=Me,
            errors=(InvalidLink,),
        ),
    ),
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
    Route(
        "POST",
        "/v1/auth/sign-out",
        sign_out,
        Doc(
            summary="Sign out here, or everywhere",
            tag=TAG,
            body=SignOut,
            answer=SignedOut,
            errors=OPEN,
        ),
    ),
    Route(
        "GET",
        "/v1/auth/sessions",
        list_sessions,
        Doc(summary="Where you are signed in", tag=TAG, role="viewer", answer=SessionList),
    ),
    Route(
        "DELETE",
        "/v1/auth/sessions/{session_id}",
        end_session,
        Doc(
            summary="Sign out in another browser",
            tag=TAG,
            role="viewer",
            path_params={"session_id": "As the list has it."},
            answer=Ok,
            errors=(NotFound, Unavailable),
        ),
    ),
]
