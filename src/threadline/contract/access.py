"""What goes over the wire about who signs in to the dashboard."""

from typing import Annotated, Literal

import msgspec

Role = Literal["viewer", "editor", "owner"]
Email = Annotated[str, msgspec.Meta(description="Taken in lower case.", examples=["ada@x.example"])]
NewPassword = Annotated[str, msgspec.Meta(description="At least 10 characters.")]


class PasswordSignIn(msgspec.Struct):
    """Who wants to sign in."""

    email: Email
    password: str


class LinkSignIn(msgspec.Struct):
    """The last part of a one-time link's address."""

    token: str


class Setup(msgspec.Struct, kw_only=True):
    """The first owner. `token`: the last part of the setup link's address. `project`: what the
    first project is called; it may be empty where there is one already. `origin`: of its site."""

    token: str
    email: Email
    password: NewPassword
    name: str = ""
    project: str = ""
    origin: str = ""


class SignOut(msgspec.Struct):
    """`everywhere`: in all other browsers, too."""

    everywhere: bool = False


class PasswordChange(msgspec.Struct):
    """`current`: the password until now; it may be left out by who has none, or who has signed in
    by a one-time link within the last 15 minutes."""

    password: NewPassword
    current: str = ""


class NewMember(msgspec.Struct):
    """Whom to invite. `name`: the address's first part, where it is empty."""

    email: Email
    role: Role
    name: str = ""


class MemberChange(msgspec.Struct):
    """What is left out stays as it is."""

    role: Role | None = None
    name: str | None = None


class NewShareLink(msgspec.Struct):
    """`page`: which page, as in its address: `overview`, `people/user_42`. `query`: the query
    string of the address; what is asked by the link has to have its filters, time and policy."""

    page: str
    name: str
    query: str = ""


class SignedInMember(msgspec.Struct):
    """Who is signed in. `has_password`: else by link or OpenID Connect only."""

    member_id: str
    email: str
    name: str
    role: Role
    has_password: bool


class MemberProject(msgspec.Struct):
    """A project that the member may look at. `stitch`: null where each question has its own
    default. `timezone`: null where days are those of whoever looks."""

    project_id: str
    name: str
    stitch: str | None
    origins: list[str]
    visit_timeout_minutes: int
    timezone: str | None


class OidcName(msgspec.Struct):
    """`name`: whom to name on the button that leads to `/v1/auth/oidc/start`."""

    name: str


class SharedPage(msgspec.Struct):
    """The page that a share link shows: which one, and its query string."""

    name: str
    page: str
    query: str


class Me(msgspec.Struct, kw_only=True):
    """Who is asking. `member`: null where nobody is signed in, and then there are no projects; by a
    share link there is its project, and `shared` is its page, which else is null. `setup`: there is
    no member yet, so the first owner is still to be made. `oidc`: null where nobody can sign in by
    OpenID Connect."""

    member: SignedInMember | None
    projects: list[MemberProject]
    setup: bool
    oidc: OidcName | None
    shared: SharedPage | None
    version: str


class SetUp(Me, kw_only=True):
    """The first owner, signed in. `project_id` and `keys`, by their kind: of the project that was
    made; keys are shown this once. Null and empty where none was."""

    project_id: str | None
    keys: dict[str, str]


class SessionRow(msgspec.Struct):
    """A browser in which the member is signed in. `current`: the one that asks."""

    session_id: str
    device: str
    signed_in_by: Literal["password", "link", "oidc"]
    created_at: str
    last_used_at: str
    expires_at: str
    current: bool


class SessionList(msgspec.Struct):
    """All sessions of the member, the last used first."""

    rows: list[SessionRow]


class SignedOut(msgspec.Struct):
    """`sessions`: how many ended."""

    sessions: int
    ok: bool = True


class MemberRow(msgspec.Struct):
    """Somebody who may sign in. `last_seen_at`: null where they never came."""

    member_id: str
    email: str
    name: str
    role: Role
    has_password: bool
    created_at: str
    last_seen_at: str | None


class MemberList(msgspec.Struct):
    """All members, by e-mail address."""

    rows: list[MemberRow]


class Invited(MemberRow, kw_only=True):
    """A member, and a link by which they sign in, once. It is shown this once."""

    link: str
    link_expires_at: str


class ShareLinkRow(msgspec.Struct):
    """A page that whoever has the link may see. `created_by`: id of the member, or prefix of the
    key."""

    share_id: str
    name: str
    page: str
    query: str
    created_by: str
    created_at: str
    last_used_at: str | None


class ShareLinkList(msgspec.Struct):
    """All share links of the project, the oldest first."""

    rows: list[ShareLinkRow]


class CreatedShareLink(ShareLinkRow, kw_only=True):
    """The link, for a browser and for an `<iframe>`. Its token is shown this once."""

    token: str
    link: str
    embed: str
