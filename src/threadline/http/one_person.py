"""`/v1/users/{user_id}/export`: everything that is stored of one person, for who asks."""

import tempfile
from contextlib import ExitStack
from typing import Annotated
from urllib.parse import unquote

import msgspec

from threadline.contract.errors import InvalidParams, NotFound
from threadline.http.answers import Answer, answer_body
from threadline.http.changing import NoParams
from threadline.http.doc import Doc
from threadline.http.request import Request
from threadline.http.routing import Route
from threadline.runtime import one_person
from threadline.runtime.params import read_params


async def export_person(request: Request) -> Answer:
    read_params(request.query, NoParams)
    services, project = request.services, request.project
    user_id = unquote(request.in_path["user_id"])

    def written() -> "tempfile.SpooledTemporaryFile[bytes]":
        with ExitStack() as opened:
            file = opened.enter_context(tempfile.SpooledTemporaryFile(one_person.IN_MEMORY_BYTES))
            one_person.write(services, project, user_id, file)
            file.seek(0)
            opened.pop_all()  # whoever sends it closes it
            return file

    file = await services.asking.in_turn(written)
    headers = {
        "Content-Disposition": 'attachment; filename="person.zip"',
        "Cache-Control": "no-store",
    }
    return answer_body(file, "application/zip", headers)


ROUTES = [
    Route(
        "GET",
        "/v1/users/{user_id}/export",
        export_person,
        Doc(
            summary="Everything that is stored of one person, as a ZIP of JSON and CSV",
            tag="Operation",
            keys=("sk",),
            path_params={"user_id": "Any id of the person."},
            answer=Annotated[bytes, msgspec.Meta(description="A ZIP.")],
            media_types=("application/zip",),
            errors=(InvalidParams, NotFound),
        ),
    ),
]
