"""What an agent can read without asking a question: what came lately, what is recorded, which
projects there are, the documentation, and what its client can show of answers."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import NamedTuple

from threadline.mcp import apps
from threadline.mcp.api import ACCOUNT, Json, RouteRefused, Session
from threadline.mcp.catalogue import NO_RESOURCE, Failed, as_text, refused
from threadline.mcp.more_tools import list_projects
from threadline.mcp.pages import cut
from threadline.mcp.tools import ask, get
from threadline.questions.near import did_you_mean
from threadline.questions.registry import QUESTIONS
from threadline.web.documents import documents, title

JSON = "application/json"
MARKDOWN = "text/markdown"
DOCS = "docs://"
RECENT = 50


class Text(NamedTuple):
    """What was read. `meta`: what a client is told besides."""

    text: str
    media_type: str = JSON
    meta: Json | None = None


Read = Callable[[Session], Awaitable[Text]]


class ListedResource(NamedTuple):
    """A resource with a fixed address. `of_account`: a key of an account may read it, too."""

    title: str
    description: str
    read: Read
    of_account: bool = False
    media_type: str = JSON
    meta: Json | None = None


async def _recent(session: Session) -> Text:
    answered = await ask(session.own, QUESTIONS["events"], {"limit": RECENT})
    return Text(as_text(answered.found))


async def _schema(session: Session) -> Text:
    answered = await ask(session.own, QUESTIONS["schema"], {})
    return Text(as_text(answered.found))


async def _projects(session: Session) -> Text:
    if session.kind in ACCOUNT:
        return Text(as_text((await list_projects(session, {})).found))
    answered = await get(session.own, "/v1/projects", {})
    return Text(as_text(cut(answered, "").found))


async def _app(uri: str, session: Session) -> Text:
    return Text(apps.page(uri), apps.MEDIA_TYPE, apps.OF_RESOURCE)


async def _index(session: Session) -> Text:
    lines = [f"- {DOCS}{page}: {title(page)}" for page in documents()]
    return Text("\n".join(["# Pages of the documentation", "", *lines, ""]), MARKDOWN)


RESOURCES: Mapping[str, ListedResource] = {
    "events://recent": ListedResource(
        "Recent events", f"The {RECENT} newest events, as they were stored.", _recent
    ),
    "schema://events": ListedResource(
        "What is recorded", "Names of events, their properties, and traits of users.", _schema
    ),
    "projects://all": ListedResource(
        "Projects", "The projects that this key may read.", _projects, of_account=True
    ),
    f"{DOCS}index": ListedResource(
        "Documentation",
        "Which pages there are, each as docs://{page}.",
        _index,
        of_account=True,
        media_type=MARKDOWN,
    ),
}
TEMPLATES: list[Json] = [
    {
        "uri_template": f"{DOCS}{{+page}}",
        "name": "docs",
        "title": "A page of the documentation",
        "description": "Markdown, by the name that docs://index has: docs://funnels.",
        "mime_type": MARKDOWN,
    }
]


def listed(session: Session) -> list[Json]:
    """Those that this key may read."""
    return [
        {
            "uri": uri,
            "name": uri,
            "title": each.title,
            "description": each.description,
            "mime_type": each.media_type,
            "_meta": each.meta,
        }
        for uri, each in _open_to(session).items()
    ]


def read(session: Session, uri: str) -> Callable[[], Awaitable[Text]]:
    """What is there. Awaiting it raises `Failed`."""
    return partial(_read, session, uri)


async def _read(session: Session, uri: str) -> Text:
    there = _open_to(session)
    if uri in there:
        try:
            return await there[uri].read(session)
        except RouteRefused as error:
            said = refused(error)  # raises for what is not about the resource
            raise Failed(NO_RESOURCE, said.text, said.structured) from None
    page = uri.removeprefix(DOCS).removesuffix(".md")
    if uri.startswith(DOCS) and page in documents():
        return Text(documents()[page].read_text(encoding="utf-8"), MARKDOWN)
    known = [*there, *(f"{DOCS}{name}" for name in documents())]
    hint = did_you_mean(uri, known) or f"there are {', '.join(there)}."
    message = f"There is no resource {uri[:200]!r}; {hint}"
    details = {"message": message, "allowed": [*there]}
    raise Failed(NO_RESOURCE, message, {"error": "not_found", "details": details})


def _open_to(session: Session) -> dict[str, ListedResource]:
    account = session.kind in ACCOUNT
    every = {**RESOURCES, **_apps()}
    return {uri: each for uri, each in every.items() if each.of_account or not account}


def _apps() -> dict[str, ListedResource]:
    return {
        uri: ListedResource(
            app.title,
            app.description,
            partial(_app, uri),
            of_account=True,
            media_type=apps.MEDIA_TYPE,
            meta=apps.OF_RESOURCE,
        )
        for uri, app in apps.built().items()
    }
