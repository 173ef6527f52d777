"""`/v1/members`: who may sign in to the dashboard, and as what."""

from functools import partial

import msgspec
import structlog

from threadline.contract.access import Invited, MemberChange, MemberList, MemberRow, NewMember
from threadline.contract.errors import AlreadyExists, LastOwner, NotFound, Unavailable
from threadline.contract.replies import Ok
from threadline.contract.times import format_ms, now_ms
from threadline.control import Member
from threadline.control.access import LINK_MS, Purpose
from threadline.http.answers import Answer, answer
from threadline.http.changing import read_exactly, write_control
from threadline.http.dashboard import ROOT
from threadline.http.doc import Doc
from threadline.http.request import Request
from threadline.http.routing import Route

TAG = "Dashboard"
_logger = structlog.get_logger("threadline.members")


async def list_members(request: Request) -> Answer:
    return answer(MemberList([_row(member) for member in request.services.control.members()]))


async def invite(request: Request) -> Answer:
    given = await read_exactly(request, NewMember)
    control = request.services.control

    def add() -> tuple[Member, str]:
        member = control.add_member(given.email, given.name, given.role)
        return member, control.make_link(member.member_id, "invitation")

    member, token = await write_control(add)
    _log(request, "member_added", member.member_id, role=member.role)
    return answer(_with_link(request, member, token, "invitation"))


async def new_link(request: Request) -> Answer:
    """For who has not come yet an invitation, which works for longer."""
    control = request.services.control
    member = control.find_member(request.in_path["member_id"])
    purpose: Purpose = "invitation" if member.last_seen_ms is None else "sign_in"
    token = await write_control(partial(control.make_link, member.member_id, purpose))
    _log(request, "member_link_made", member.member_id)
    return answer(_with_link(request, member, token, purpose))


async def change(request: Request) -> Answer:
    given = await read_exactly(request, MemberChange)
    control, member_id = request.services.control, request.in_path["member_id"]
    member = await write_control(partial(control.change_member, member_id, given.role, given.name))
    _log(request, "member_changed", member_id, role=member.role)
    return answer(_row(member))


async def remove(request: Request) -> Answer:
    control, member_id = request.services.control, request.in_path["member_id"]
    await write_control(partial(control.remove_member, member_id))
    _log(request, "member_removed", member_id)
    return answer(Ok())


def _row(member: Member) -> MemberRow:
    return MemberRow(
        member_id=member.member_id,
        email=member.email,
        name=member.name,
        role=member.role,
        has_password=member.password_hash is not None,
        created_at=format_ms(member.created_ms),
        last_seen_at=None if member.last_seen_ms is None else format_ms(member.last_seen_ms),
    )


def _with_link(request: Request, member: Member, token: str, purpose: Purpose) -> Invited:
    return Invited(
        **msgspec.structs.asdict(_row(member)),
        link=f"{request.base_url}{ROOT}/link/{token}",
        link_expires_at=format_ms(now_ms() + LINK_MS[purpose]),
    )


def _log(request: Request, event: str, member_id: str, **fields: str) -> None:
    """Who did what to whom, by ids."""
    assert request.member
    _logger.info(event, member_id=member_id, by=request.member.member_id, **fields)


IN_PATH = {"member_id": "As the list has it."}
ROUTES = [
    Route(
        "GET",
        "/v1/members",
        list_members,
        Doc(summary="Who may sign in", tag=TAG, role="owner", answer=MemberList),
    ),
    Route(
        "POST",
        "/v1/members",
        invite,
        Doc(
            summary="Invite somebody: the answer has a link for them, which works once",
            tag=TAG,
            role="owner",
            body=NewMember,
            answer=Invited,
            errors=(AlreadyExists, Unavailable),
        ),
    ),
    Route(
        "PUT",
        "/v1/members/{member_id}",
        change,
        Doc(
            summary="Change somebody's role or name",
            tag=TAG,
            role="owner",
            path_params=IN_PATH,
            body=MemberChange,
            answer=MemberRow,
            errors=(NotFound, LastOwner, Unavailable),
        ),
    ),
    Route(
        "DELETE",
        "/v1/members/{member_id}",
        remove,
        Doc(
            summary="Remove somebody, with all their sessions",
            tag=TAG,
            role="owner",
            path_params=IN_PATH,
            answer=Ok,
            errors=(NotFound, LastOwner, Unavailable),
        ),
    ),
    Route(
        "POST",
        "/v1/members/{member_id}/link",
        new_link,
        Doc(
            summary="A new one-time link, for somebody who has lost theirs or forgotten their "
            "password",
            tag=TAG,
            role="owner",
            path_params=IN_PATH,
            answer=Invited,
            errors=(NotFound, Unavailable),
        ),
    ),
]
