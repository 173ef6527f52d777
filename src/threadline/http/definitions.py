"""`/v1/segments`, `/v1/goals` and `/v1/annotations`: what a project gives names to."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import unquote

import msgspec

from threadline.contract.decoding import decode
from threadline.contract.definitions import (
    Annotation,
    Definitions,
    GoalDefinition,
    Segment,
)
from threadline.contract.errors import InUse, InvalidParams, InvalidPayload, NotFound, Unavailable
from threadline.contract.replies import Decided, Notice
from threadline.contract.times import now_ms
from threadline.control import ControlError
from threadline.http.answers import Answer, answer
from threadline.http.doc import READ, Doc
from threadline.http.request import Request
from threadline.http.routing import Route
from threadline.questions import definitions as allowed
from threadline.questions.warned import Warnings, noted
from threadline.runtime.memory import MIB
from threadline.runtime.params import read_params

TAG = "Definitions"
WRITE = ("sk",)
BODY_LIMIT = MIB // 16


class NoParams(msgspec.Struct):
    """These routes take none."""


class Segments(msgspec.Struct):
    """All segments of the project, by name."""

    rows: list[Segment]


class Goals(msgspec.Struct):
    """All goals of the project, by name."""

    rows: list[GoalDefinition]


class Annotations(msgspec.Struct):
    """All annotations of the project, the earliest first."""

    rows: list[Annotation]


class KeptSegment(Segment, kw_only=True, frozen=True):
    """The segment that is kept. `warnings`: names in it that never came, if there are any."""

    warnings: Warnings = msgspec.UNSET


class KeptGoal(GoalDefinition, kw_only=True, frozen=True):
    """The goal that is kept. `warnings`: names in it that never came, if there are any."""

    warnings: Warnings = msgspec.UNSET


@dataclass(frozen=True, kw_only=True)
class Kind:
    """`key`: the field that names one, as in the path. `table`: where `Definitions` has them.
    `kept`: one with warnings, where it has names that may never have come."""

    table: str
    what: str
    key: str
    named: str
    one: type[msgspec.Struct]
    all: type[msgspec.Struct]
    put: Callable[[Definitions, Any], Definitions]
    delete: Callable[[Definitions, str], Definitions]
    used: bool = False
    kept: type[msgspec.Struct] | None = None

    @property
    def path(self) -> str:
        return f"/v1/{self.table}"

    def of(self, definitions: Definitions) -> Mapping[str, Any]:
        found: Mapping[str, Any] = getattr(definitions, self.table)
        return found


KINDS = (
    Kind(
        table="segments",
        what="segment",
        key="name",
        named="Name of the segment, percent-encoded.",
        one=Segment,
        all=Segments,
        put=allowed.put_segment,
        delete=allowed.delete_segment,
        used=True,
        kept=KeptSegment,
    ),
    Kind(
        table="goals",
        what="goal",
        key="name",
        named="Name of the goal, percent-encoded.",
        one=GoalDefinition,
        all=Goals,
        put=allowed.put_goal,
        delete=allowed.delete_goal,
        used=True,
        kept=KeptGoal,
    ),
    Kind(
        table="annotations",
        what="annotation",
        key="annotation_id",
        named="Id of the annotation.",
        one=Annotation,
        all=Annotations,
        put=allowed.put_annotation,
        delete=allowed.delete_annotation,
    ),
)


async def _list(kind: Kind, request: Request) -> Answer:
    read_params(request.query, NoParams)
    rows = kind.of(_definitions(request)).values()
    return answer(kind.all(rows=list(rows)))


async def _get(kind: Kind, request: Request) -> Answer:
    read_params(request.query, NoParams)
    there = kind.of(_definitions(request))
    return answer(allowed.one_of(there, _named(kind, request), kind.what))


async def _put(kind: Kind, request: Request) -> Answer:
    read_params(request.query, NoParams)
    name = _named(kind, request)
    given = await _body(kind, request)
    said = getattr(given, kind.key)
    if said not in ("", name):
        message = f"leave it out, or write {name!r} as in the path"
        raise InvalidPayload(f"{kind.key}: {message}.", fieldErrors={kind.key: [message]})
    wanted = msgspec.structs.replace(given, **{kind.key: name})
    after = await _define(request, partial(_changed, kind.put, wanted))
    one = kind.of(after)[name]
    if kind.kept is None:
        return answer(one)
    doubts = await request.services.asking.doubts(request.project, one)
    return answer(kind.kept(**msgspec.structs.asdict(one), warnings=noted(doubts)))


async def _delete(kind: Kind, request: Request) -> Answer:
    read_params(request.query, NoParams)
    await _define(request, partial(_changed, kind.delete, _named(kind, request)))
    return answer(Decided(changed=True))


async def _add(kind: Kind, request: Request) -> Answer:
    """An annotation; the same once more is the one that is there."""
    read_params(request.query, NoParams)
    given = await _body(kind, request)
    ids: list[str] = []

    def add(before: Definitions) -> Definitions:
        after, annotation_id = allowed.add_annotation(before, given)
        ids.append(annotation_id)
        return after

    after = await _define(request, add)
    return answer(after.annotations[ids[-1]])


def _changed(change: Callable[..., Definitions], to: object, before: Definitions) -> Definitions:
    return change(before, to)


def _definitions(request: Request) -> Definitions:
    return request.services.control.definitions(request.project.project_id)


def _named(kind: Kind, request: Request) -> str:
    return unquote(request.in_path[kind.key])


async def _body(kind: Kind, request: Request) -> Any:
    """Raises `InvalidPayload` for a field that does not exist, too: what would be kept without it
    would be something else than was meant."""
    notices = list[Notice]()
    raw = await request.body(BODY_LIMIT)
    given = decode(raw, kind.one, now_ms(), notices)
    unknown = {
        each.field: [each.message.removesuffix(" It was ignored.")]
        for each in notices
        # What was answered may be put back.
        if each.code == "unknown_field" and not (kind.kept and each.field == "warnings")
    }
    if unknown:
        raise InvalidPayload(next(iter(unknown.values()))[0], fieldErrors=unknown)
    return given


async def _define(request: Request, change: Callable[[Definitions], Definitions]) -> Definitions:
    """Beside the event loop: the file may be locked, and everybody is to know when it is done."""
    control, project_id = request.services.control, request.project.project_id
    try:
        return await asyncio.to_thread(control.define, project_id, change)
    except ControlError as error:
        raise Unavailable(f"{error} Nothing was changed.") from error


def _routes(kind: Kind) -> list[Route]:
    one, named = f"{kind.path}/{{{kind.key}}}", {kind.key: kind.named}
    used = (InUse,) if kind.used else ()

    def route(
        method: str, path: str, handle: Callable[..., Any], summary: str, **doc: Any
    ) -> Route:
        keys = READ if method == "GET" else WRITE
        in_path = named if path == one else {}
        doc["errors"] = (InvalidParams, *doc.get("errors", ()))
        said = Doc(summary=summary, tag=TAG, keys=keys, path_params=in_path, **doc)
        return Route(method, path, partial(handle, kind), said)

    a = "an" if kind.what[0] in "aeiou" else "a"
    routes = [
        route("GET", kind.path, _list, f"All {kind.table}", answer=kind.all),
        route("GET", one, _get, f"One {kind.what}", answer=kind.one, errors=(NotFound,)),
        route(
            "PUT", one, _put, f"Keep {a} {kind.what}", answer=kind.kept or kind.one, body=kind.one
        ),
        route(
            "DELETE", one, _delete, f"Delete {a} {kind.what}", answer=Decided,
            errors=(NotFound, *used),
        ),
    ]  # fmt: skip
    if kind.key != "name":
        adds = {"answer": kind.one, "body": kind.one}
        routes += [
            route("POST", kind.path, _add, f"Add {a} {kind.what}, once", **adds),
            route("PUT", kind.path, _add, "The same", **adds),
        ]
    return routes


ROUTES = [route for kind in KINDS for route in _routes(kind)]
