"""`/v1/auth/…`: who is asking, where they are signed in, and signing out."""

from functools import partial

from threadline import __version__
from threadline.contract.access import (
    Me,
    MemberProject,
    OidcName,
    SessionList,
    SessionRow,
    SharedPage,
    SignedInMember,
    SignedOut,
    SignOut,
)
from threadline.contract.errors import CrossSite, InvalidLink, NotFound, RateLimited, Unavailable
from threadline.contract.replies import Ok
from threadline.contract.times import format_ms
from threadline.control import Member, Project
from threadline.http.answers import Answer, answer
from threadline.http.changing import read_exactly, write_control
from threadline.http.cookies import SESSION, read_cookie, session_cookie
from threadline.http.doc import Doc
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
        told = told_to(request.services, None)
        told.projects = [project_row(project)]
        told.shared = SharedPage(link.name, link.page, link.query)
        return answer(told)
    found = signed_in(request)
    answered = answer(told_to(request.services, found[1] if found else None))
    if found:
        request.session, request.member = found
        answered.headers.append(session_cookie(request, read_cookie(request, SESSION)))
    return answered


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


def project_row(project: Project) -> MemberProject:
    return MemberProject(
        project_id=project.project_id,
        name=project.name,
        stitch=project.stitch,
        origins=sorted(project.origins),
        visit_timeout_minutes=project.visit_timeout_minutes,
        timezone=project.timezone,
    )


def told_to(services: Services, member: Member | None) -> Me:
    """What a member is told of themselves; None: what anybody is."""
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
        "/v1/auth/sign-out",
        sign_out,
        Doc(
            summary="Sign out here, or everywhere",
            tag=TAG,
            body=SignOut,
            answer=SignedOut,
            errors=(CrossSite, RateLimited, Unavailable),
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
