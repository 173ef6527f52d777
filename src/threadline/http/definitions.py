"""`/v1/segments`, `/v1/goals`, `/v1/annotations`, `/v1/insights` and `/v1/boards`: what a project
gives names to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal
from urllib.parse import unquote

import msgspec

from threadline.contract.access import Role
from threadline.contract.definitions import (
    Annotation,
    Board,
    Definitions,
    GoalDefinition,
    Insight,
    Segment,
)
from threadline.contract.errors import InUse, InvalidParams, InvalidPayload, NotFound
from threadline.contract.replies import Decided
from threadline.http.answers import Answer, answer
from threadline.http.changing import NoParams, read_exactly, write_control
from threadline.http.doc import READ, Doc
from threadline.http.request import Request
from threadline.http.routing import Route
from threadline.questions import annotations, boards
from threadline.questions import definitions as allowed
from threadline.questions.defined import one_of
from threadline.questions.warned import Warnings, noted
from threadline.runtime.params import read_params

TAG = "Definitions"
WRITE = ("sk",)


class Segments(msgspec.Struct):
    """All segments of the project, by name."""

    rows: list[Segment]


class Goals(msgspec.Struct):
    """All goals of the project, by name."""

    rows: list[GoalDefinition]


class Annotations(msgspec.Struct):
    """All annotations of the project, the earliest first."""

    rows: list[Annotation]


class Insights(msgspec.Struct):
    """All insights of the project, by name."""

    rows: list[Insight]


class Boards(msgspec.Struct):
    """All boards of the project, by name."""

    rows: list[Board]


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
        put=annotations.put_annotation,
        delete=annotations.delete_annotation,
    ),
    Kind(
        table="insights",
        what="insight",
        key="name",
        named="Name of the insight, percent-encoded.",
        one=Insight,
        all=Insights,
        put=boards.put_insight,
        delete=boards.delete_insight,
        used=True,
    ),
    Kind(
        table="boards",
        what="board",
        key="name",
        named="Name of the board, percent-encoded.",
        one=Board,
        all=Boards,
        put=boards.put_board,
        delete=boards.delete_board,
    ),
)


async def _list(kind: Kind, request: Request) -> Answer:
    read_params(request.query, NoParams)
    rows = kind.of(_definitions(request)).values()
    return answer(kind.all(rows=list(rows)))


async def _get(kind: Kind, request: Request) -> Answer:
    read_params(request.query, NoParams)
    there = kind.of(_definitions(request))
    return answer(one_of(there, _named(kind, request), kind.what))


async def _put(kind: Kind, request: Request) -> Answer:
    read_params(request.query, NoParams)
    name = _named(kind, request)
    given = await read_exactly(request, kind.one, answered=("warnings",) if kind.kept else ())
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
    given: Any = await read_exactly(request, kind.one)
    ids: list[str] = []

    def add(before: Definitions) -> Definitions:
        after, annotation_id = annotations.add_annotation(before, given)
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


async def _define(request: Request, change: Callable[[Definitions], Definitions]) -> Definitions:
    control, project_id = request.services.control, request.project.project_id
    return await write_control(partial(control.define, project_id, change))


def _routes(kind: Kind) -> list[Route]:
    one, named = f"{kind.path}/{{{kind.key}}}", {kind.key: kind.named}
    used = (InUse,) if kind.used else ()
    a = "an" if kind.what[0] in "aeiou" else "a"

    def route(
        method: str, path: str, handle: Callable[..., Any], summary: str, **doc: Any
    ) -> Route:
        keys = READ if method == "GET" else WRITE
        doc["errors"] = (InvalidParams, *doc.get("errors", ()))
        role: Role | Literal[""] = "" if method == "GET" else "editor"
        shared = kind.table if handle is _list else ""
        doc["path_params"] = named if path == one else {}
        said = Doc(summary=summary, tag=TAG, keys=keys, role=role, shared=shared, **doc)
        return Route(method, path, partial(handle, kind), said)

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
