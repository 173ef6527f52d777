"""`/v1/projects` and `/v1/keys`: what an operator does with `threadline project` and `key`.

A key sees and changes its own project; who is signed in to the dashboard sees all of them. Secrets
of keys are answered once, to whoever had them made.
"""

from functools import partial
from typing import Any
from urllib.parse import unquote

import msgspec

from threadline.contract.errors import InvalidParams, InvalidPayload, NotFound, Unavailable
from threadline.contract.projects import (
    CreatedKey,
    CreatedProject,
    DeletedProject,
    KeyList,
    KeyRotation,
    KeyRow,
    NewKey,
    NewProject,
    ProjectChange,
    ProjectDeletion,
    ProjectList,
    ProjectRow,
    RotatedKey,
)
from threadline.control import Key, Project, Token
from threadline.control.keys import parse_keep_for
from threadline.http.answers import Answer, answer
from threadline.http.changing import NoParams, read_exactly, write_control
from threadline.http.doc import READ, Doc
from threadline.http.request import Request
from threadline.http.routing import Route
from threadline.runtime.params import read_params
from threadline.runtime.projects import change_project, create_project, key_row, project_row

TAG = "Projects"
# What holds a secret stays in no cache.
NO_STORE = (b"cache-control", b"no-store")


async def list_projects(request: Request) -> Answer:
    read_params(request.query, NoParams)
    return answer(ProjectList([project_row(project) for project in _visible(request)]))


async def add_project(request: Request) -> Answer:
    """Members only: a key is a project's, and sees no other."""
    read_params(request.query, NoParams)
    wanted = await read_exactly(request, NewProject)
    control = request.services.control
    project, tokens = await write_control(partial(create_project, control, wanted))
    keys = {kind: str(token) for kind, token in tokens.items()}
    row = msgspec.structs.asdict(project_row(project))
    return _secret(CreatedProject(**row, keys=keys), 201)


async def put_project(request: Request) -> Answer:
    read_params(request.query, NoParams)
    project_id = unquote(request.in_path["project_id"])
    if project_id not in (project.project_id for project in _visible(request)):
        raise NotFound(f"There is no project {project_id} that you may change.")
    change = await read_exactly(request, ProjectChange)
    control = request.services.control
    changed = await write_control(partial(change_project, control, project_id, change))
    return answer(project_row(changed))


async def delete_project(request: Request) -> Answer:
    """The keys stop with the next request; what is stored goes by and by."""
    read_params(request.query, NoParams)
    project_id = unquote(request.in_path["project_id"])
    named = {project.project_id: project.name for project in _visible(request)}
    if project_id not in named:
        raise NotFound(f"There is no project {project_id} that you may delete.")
    given = await read_exactly(request, ProjectDeletion)
    if given.name != named[project_id]:
        message = f"Write the name of the project that is to go, which is {named[project_id]}"
        raise InvalidPayload(f"{message}.", fieldErrors={"name": [message]})
    await write_control(partial(request.services.control.delete_project, project_id))
    request.services.upkeep_asked.set()
    return answer(DeletedProject(project_id), 202)


async def list_keys(request: Request) -> Answer:
    read_params(request.query, NoParams)
    control, project = request.services.control, request.project
    # The last use of a key is written down once a minute.
    rows = [key_row(key, project.name) for key in control.list_keys(project.project_id)]
    return answer(KeyList(rows))


async def add_key(request: Request) -> Answer:
    read_params(request.query, NoParams)
    wanted = await read_exactly(request, NewKey)
    control, project = request.services.control, request.project
    token = await write_control(
        partial(
            control.create_key,
            project.project_id,
            wanted.kind,
            wanted.env,
            wanted.name,
            wanted.scopes,
        )
    )
    return _secret(CreatedKey(**_row_of(request, token), key=str(token)), 201)


async def rotate_key(request: Request) -> Answer:
    read_params(request.query, NoParams)
    given = await read_exactly(request, KeyRotation)
    keep_ms = 0 if given.keep_for is None else _keep_ms(given.keep_for)
    old, control = _named(request), request.services.control
    token, _ = await write_control(partial(control.rotate_key, old.label, keep_ms))
    row, name = _row_of(request, token), request.project.name
    was = key_row(control.find_key(old.label), name)
    return _secret(RotatedKey(**row, key=str(token), old=was))


async def revoke_key(request: Request) -> Answer:
    read_params(request.query, NoParams)
    key, control = _named(request), request.services.control
    await write_control(partial(control.revoke_key, key.label))
    return answer(key_row(control.find_key(key.label), request.project.name))


def _visible(request: Request) -> list[Project]:
    if request.may_all_projects:
        return request.services.control.projects()
    return [request.project]


def _named(request: Request) -> Key:
    """A key of the project, by its label. One of another project is none, and so are those that
    commands make for themselves. Raises `NotFound`."""
    label = unquote(request.in_path["label"])
    project_id = request.project.project_id
    for key in request.services.control.list_keys(project_id):
        if label in (key.label, key.prefix):
            return key
    # What was given may be a whole key, so it is not repeated.
    raise NotFound("The project has no key of this label; GET /v1/keys lists all of them.")


def _row_of(request: Request, token: Token) -> dict[str, Any]:
    key = request.services.control.find_key(token.prefix)
    return msgspec.structs.asdict(key_row(key, request.project.name))


def _secret(reply: msgspec.Struct, status: int = 200) -> Answer:
    answered = answer(reply, status)
    return answered._replace(headers=[*answered.headers, NO_STORE])


def _keep_ms(text: str) -> int:
    try:
        return parse_keep_for(text, "keep_for")
    except ValueError as error:
        message = str(error)
        raise InvalidPayload(f"{message}.", fieldErrors={"keep_for": [message]}) from None


LABEL = {"label": "As lists show it: sk_live_PREFIX; or its PREFIX. Never the whole key."}

ROUTES = [
    Route(
        "GET",
        "/v1/projects",
        list_projects,
        Doc(
            summary="The projects that you may see",
            tag=TAG,
            keys=READ,
            answer=ProjectList,
            errors=(InvalidParams,),
        ),
    ),
    Route(
        "POST",
        "/v1/projects",
        add_project,
        Doc(
            summary="Make a project, with its keys",
            tag=TAG,
            role="owner",
            body=NewProject,
            answer=CreatedProject,
            status=201,
            errors=(InvalidParams, Unavailable),
        ),
    ),
    Route(
        "PUT",
        "/v1/projects/{project_id}",
        put_project,
        Doc(
            summary="Change a project",
            tag=TAG,
            keys=("sk",),
            path_params={"project_id": "Id of the project."},
            body=ProjectChange,
            answer=ProjectRow,
            errors=(InvalidParams, NotFound),
        ),
    ),
    Route(
        "DELETE",
        "/v1/projects/{project_id}",
        delete_project,
        Doc(
            summary="Delete a project, with all that is stored of it",
            tag=TAG,
            keys=("sk",),
            path_params={"project_id": "Id of the project."},
            body=ProjectDeletion,
            answer=DeletedProject,
            status=202,
            errors=(InvalidParams, NotFound),
        ),
    ),
    Route(
        "GET",
        "/v1/keys",
        list_keys,
        Doc(
            summary="The project's keys, without their secrets",
            tag=TAG,
            keys=("sk",),
            answer=KeyList,
            errors=(InvalidParams,),
        ),
    ),
    Route(
        "POST",
        "/v1/keys",
        add_key,
        Doc(
            summary="Make a key; it is shown this once",
            tag=TAG,
            keys=("sk",),
            body=NewKey,
            answer=CreatedKey,
            status=201,
            errors=(InvalidParams,),
        ),
    ),
    Route(
        "POST",
        "/v1/keys/{label}/rotate",
        rotate_key,
        Doc(
            summary="Replace a key by a new one like it, shown this once",
            tag=TAG,
            keys=("sk",),
            path_params=LABEL,
            body=KeyRotation,
            answer=RotatedKey,
            errors=(InvalidParams, NotFound),
        ),
    ),
    Route(
        "DELETE",
        "/v1/keys/{label}",
        revoke_key,
        Doc(
            summary="Revoke a key: it stops working with the next request",
            tag=TAG,
            keys=("sk",),
            path_params=LABEL,
            answer=KeyRow,
            errors=(InvalidParams, NotFound),
        ),
    ),
]
