"""A request of somebody who is signed in to the dashboard: who it is, may they do this, and does
it come from the dashboard itself?"""

from urllib.parse import parse_qs, urlsplit

from threadline.contract.errors import (
    CrossSite,
    InsufficientRole,
    InvalidParams,
    NotFound,
    NotSignedIn,
)
from threadline.control import Key, Member, Project, Session
from threadline.http.cookies import SESSION, read_cookie
from threadline.http.doc import Doc
from threadline.http.request import Request

# The kind of key that a role stands for, where a route looks at the key.
KINDS = {"viewer": "rk", "editor": "rk", "owner": "sk"}
IN_HEADER, IN_QUERY = "Threadline-Project", "_project"


def admit_member(request: Request, doc: Doc) -> bool:
    """Whether the request came with a session's cookie, and this route takes those; then it is
    that member's. Raises `NotSignedIn`, `InsufficientRole`, `CrossSite` and what is wrong with the
    project that it names."""
    role = doc.least_role
    if not role or not read_cookie(request, SESSION):
        return False
    found = signed_in(request)
    if not found:
        raise NotSignedIn("Your session has ended; sign in again.")
    refuse_other_sites(request)
    request.session, request.member = _, member = found
    if not member.may(role):
        raise InsufficientRole(
            f"This needs the role {role}, and you are {_a(member.role)}. An owner can change your"
            " role on the page Settings."
        )
    if doc.keys:
        project = _project(request)
        request.admitted(_stand_in(member, project), project)
    return True


def signed_in(request: Request) -> tuple[Session, Member] | None:
    """Whose session's cookie the request carries, if any."""
    token = read_cookie(request, SESSION)
    return request.services.control.member_of(token) if token else None


def refuse_other_sites(request: Request) -> None:
    """Browsers send cookies along with what other pages of the same site make them ask. Raises
    `CrossSite` unless the dashboard asks."""
    if request.method == "GET":
        return
    site, origin = request.header("sec-fetch-site"), request.header("origin")
    if site:
        own = site == "same-origin"
    elif origin:
        own = urlsplit(origin).netloc.lower() in request.own_hosts
    else:
        # A browser says one of both; a program without a cookie of its own has nothing to lose.
        own = not read_cookie(request, SESSION)
    if not own:
        raise CrossSite(
            "This request did not come from the dashboard's own pages, so the session does not"
            " count. Programs use a key: `Authorization: Bearer KEY`."
        )


def _project(request: Request) -> Project:
    """The one that is asked about. Raises `InvalidParams` and `NotFound`."""
    projects = request.services.control.projects()
    named = request.header(IN_HEADER)
    if not named and f"{IN_QUERY}=" in request.query:
        named = parse_qs(request.query).get(IN_QUERY, [""])[-1]
    if not named and len(projects) == 1:
        return projects[0]
    there = ", ".join(f"{each.project_id} ({each.name})" for each in projects) or "none yet"
    if not named:
        message = f"say which project, in the header {IN_HEADER} or as {IN_QUERY}: {there}"
        raise InvalidParams(f"Please {message}.", fieldErrors={IN_QUERY: [message]})
    for project in projects:
        if project.project_id == named:
            return project
    raise NotFound(f"There is no project {named}. Projects: {there}.")


def _stand_in(member: Member, project: Project) -> Key:
    """What routes that look at the key see of a member."""
    return Key(
        prefix=member.member_id,
        project_id=project.project_id,
        kind=KINDS[member.role],
        env="live",
        secret_hash=b"",
        created_ms=member.created_ms,
        last_used_ms=None,
        revoked_ms=None,
        name=member.name,
    )


def _a(role: str) -> str:
    return f"an {role}" if role[0] in "aeiou" else f"a {role}"
