"""`/v1/share-links`: pages that whoever has the link may see."""

from functools import partial

import msgspec

from threadline.contract.access import CreatedShareLink, NewShareLink, ShareLinkList, ShareLinkRow
from threadline.contract.errors import NotFound, Unavailable
from threadline.contract.replies import Decided
from threadline.contract.times import format_ms
from threadline.control import ShareLink
from threadline.http.answers import Answer, answer
from threadline.http.changing import read_exactly, write_control
from threadline.http.dashboard import ROOT
from threadline.http.doc import Doc
from threadline.http.request import Request
from threadline.http.routing import Route
from threadline.http.shared import check_query, read_page

TAG = "Dashboard"


async def list_links(request: Request) -> Answer:
    links = request.services.control.share_links(request.project.project_id)
    return answer(ShareLinkList([_row(link) for link in links]))


async def create(request: Request) -> Answer:
    given = await read_exactly(request, NewShareLink)
    read_page(given.page)
    query = check_query(given.query)
    make = request.services.control.create_share_link
    page, by = given.page.strip("/"), request.key.prefix
    link, token = await write_control(
        partial(make, request.project.project_id, given.name, page, query, by)
    )
    base = f"{request.base_url}{ROOT}"
    created = CreatedShareLink(
        **msgspec.structs.asdict(_row(link)),
        token=token,
        link=f"{base}/share/{token}",
        embed=f"{base}/embed/{token}",
    )
    return answer(created)


async def revoke(request: Request) -> Answer:
    revoke = request.services.control.revoke_share_link
    project_id, share_id = request.project.project_id, request.in_path["share_id"]
    await write_control(partial(revoke, project_id, share_id))
    return answer(Decided(changed=True))


def _row(link: ShareLink) -> ShareLinkRow:
    return ShareLinkRow(
        share_id=link.share_id,
        name=link.name,
        page=link.page,
        query=link.query,
        created_by=link.created_by,
        created_at=format_ms(link.created_ms),
        last_used_at=None if link.last_used_ms is None else format_ms(link.last_used_ms),
    )


ROUTES = [
    Route(
        "GET",
        "/v1/share-links",
        list_links,
        Doc(
            summary="Pages of the project that are shared by link",
            tag=TAG,
            keys=("sk",),
            role="editor",
            answer=ShareLinkList,
        ),
    ),
    Route(
        "POST",
        "/v1/share-links",
        create,
        Doc(
            summary="Share a page by link",
            tag=TAG,
            keys=("sk",),
            role="editor",
            body=NewShareLink,
            answer=CreatedShareLink,
        ),
    ),
    Route(
        "DELETE",
        "/v1/share-links/{share_id}",
        revoke,
        Doc(
            summary="Revoke a share link: the next request by it is refused",
            tag=TAG,
            keys=("sk",),
            role="editor",
            path_params={"share_id": "As the list has it."},
            answer=Decided,
            errors=(NotFound, Unavailable),
        ),
    ),
]
