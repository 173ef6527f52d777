"""Who signs in to the dashboard, and by what: members, sessions, one-time links, share links.

Every token has 192 random bits or more, is shown once, and kept as a keyed hash only.
"""

import hmac
import re
import secrets
from typing import Literal, NamedTuple, get_args

from threadline.contract.access import Role
from threadline.contract.errors import InvalidPayload

# The one that may do least first.
ROLES: tuple[Role, ...] = get_args(Role)
SignedInBy = Literal["password", "link", "oidc"]
Purpose = Literal["setup", "sign_in", "invitation"]

MINUTE_MS = 60_000
DAY_MS = 1440 * MINUTE_MS
# From its last use on.
SESSION_MS = 30 * DAY_MS
# A link that is printed or shown is opened at once; an invitation has to reach somebody first.
LINK_MS: dict[Purpose, int] = {
    "setup": DAY_MS,
    "sign_in": 15 * MINUTE_MS,
    "invitation": 7 * DAY_MS,
}
# Who has just come by a link may choose a password without knowing the one before.
FRESH_MS = 15 * MINUTE_MS
SHARE = "share_"

MAX_EMAIL = 254
_EMAIL = re.compile(r"[^\s@<>\"(),:;\\]+@[^\s@<>\"(),:;\\]+")


class Member(NamedTuple):
    """Somebody who may sign in. Times are milliseconds since 1970. `password_hash`: None where
    there is no password."""

    member_id: str
    email: str
    name: str
    role: Role
    password_hash: str | None
    created_ms: int
    last_seen_ms: int | None

    def may(self, least: Role) -> bool:
        """Whether the role is this one or a greater."""
        return ROLES.index(self.role) >= ROLES.index(least)


class Session(NamedTuple):
    """One browser that is signed in. `device`: what it said it is."""

    session_id: str
    member_id: str
    token_hash: bytes
    signed_in_by: SignedInBy
    device: str
    created_ms: int
    last_used_ms: int

    @property
    def expires_ms(self) -> int:
        return self.last_used_ms + SESSION_MS


class ShareLink(NamedTuple):
    """A page that whoever has the link may see. `query`: its state, as in the address."""

    share_id: str
    project_id: str
    token_hash: bytes
    name: str
    page: str
    query: str
    created_by: str
    created_ms: int
    last_used_ms: int | None


def new_secret() -> str:
    """43 letters that can stand in an address or a cookie."""
    return secrets.token_urlsafe(32)


def new_id(kind: str) -> str:
    """Such as `mem_0123456789ab`: no secret."""
    return f"{kind}_{secrets.token_hex(6)}"


def token_hash(pepper: bytes, kind: str, token: str) -> bytes:
    """HMAC-SHA256. `kind`: so that a token of one kind is none of another."""
    return hmac.digest(pepper, f"{kind}:{token}".encode(), "sha256")


def read_email(text: str) -> str:
    """The address in lower case, by which a member is known. Raises `InvalidPayload`."""
    email = text.strip().lower()
    if len(email) > MAX_EMAIL or not email.isprintable() or not _EMAIL.fullmatch(email):
        message = "write an e-mail address such as ada@example.com"
        raise InvalidPayload(f"email: {message}.", fieldErrors={"email": [message]})
    return email


def read_role(text: str) -> Role:
    """Raises `InvalidPayload`."""
    for role in ROLES:
        if role == text:
            return role
    message = f"choose one of {', '.join(ROLES)}"
    raise InvalidPayload(f"role: {message}.", fieldErrors={"role": [message]})
