"""The API as tools ask it, wherever it is, and who asks."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from threadline.contract.errors import shortened

Json = dict[str, Any]
WRITERS = ("sk",)
READERS = ("sk", "rk")
ACCOUNT = ("ak",)
# The page, as an agent reads it, that says what is wrong where no route was asked.
EXPLAINED = "docs://errors"


class Reply(NamedTuple):
    """What a route answered. `stale`: without some of what was acknowledged before."""

    status: int
    body: bytes
    stale: bool = False

    def json(self) -> Json:
        found: Json = json.loads(self.body)
        return found


class Api(Protocol):
    """The routes of one project, with the rights of one key."""

    async def call(self, method: str, path: str, query: str = "", body: bytes = b"") -> Reply:
        """What the route answers, errors included."""


class ProjectApi(NamedTuple):
    """One project of an account."""

    project_id: str
    name: str
    api: Api


def unlimited() -> None:
    """No limit on calls."""


@dataclass(frozen=True)
class Session:
    """Who speaks to us. `kind`: of the key; `label`: what the log calls it. `api`: of the key's
    project, `projects`: those of an account key, which has no project of its own. `take`: raises
    `RateLimited` where there are too many calls."""

    kind: str
    label: str
    api: Api | None = None
    project_id: str = ""
    projects: Sequence[ProjectApi] = ()
    take: Callable[[], None] = unlimited

    @property
    def own(self) -> Api:
        assert self.api
        return self.api

    @property
    def by_id(self) -> Mapping[str, ProjectApi]:
        return {project.project_id: project for project in self.projects}


class RouteRefused(Exception):
    """A route said no. `status`, `code`, `details`, `docs_url`: as it said."""

    def __init__(self, status: int, code: str, details: Json, docs_url: str = "") -> None:
        said = shortened(details)
        super().__init__(str(said.get("message", code)))
        self.status, self.code, self.details = status, code, said
        self.docs_url = docs_url

    @property
    def data(self) -> Json:
        """All of it, as the API has it."""
        more = {"docs_url": self.docs_url} if self.docs_url else {}
        return {"error": self.code, "details": self.details, **more}


@dataclass
class Answered:
    """What a tool found. `stale`: as of a reply."""

    found: Json
    stale: bool = False
    notes: list[str] = field(default_factory=list)


def checked(reply: Reply) -> Reply:
    """The same. Raises `RouteRefused` for an error."""
    if reply.status < 400:
        return reply
    try:
        said = reply.json()
        code, details = str(said["error"]), dict(said.get("details") or {})
        docs_url = str(said.get("docs_url", ""))
    except (ValueError, KeyError, TypeError):
        code, docs_url = "internal_error", ""
        details = {"message": f"The server answered {reply.status}."}
    raise RouteRefused(reply.status, code, details, docs_url)


def invalid(name: str, message: str, **details: object) -> RouteRefused:
    """As the API says that an argument is wrong."""
    end = "" if message.endswith("?") else "."
    said = {"message": f"{name}: {message}{end}", "fieldErrors": {name: [message]}, **details}
    return RouteRefused(400, "invalid_params", said, EXPLAINED)
