"""API keys: `kind_env_prefix_secret`. The prefix is looked up, the secret is only ever hashed."""

import hmac
import re
import secrets
import string
from typing import NamedTuple

from threadline.contract.errors import MalformedApiKey

ALPHABET = string.ascii_letters + string.digits
PREFIX_LENGTH = 10
SECRET_LENGTH = 43  # 256 bits and a little

KINDS = {
    "pk": "browsers: ingest, from the project's origins",
    "sk": "servers: ingest, read, forget",
    "rk": "dashboards and agents: read",
    "ak": "accounts: read all projects, by /mcp/account only",
}
ENVS = ("live", "test")
# What keys of a kind may do only where they were given it besides.
SCOPES = {"sql": "ask in SQL, by POST /v1/sql"}
SCOPED_KINDS = ("rk",)

# How long a key that was replaced may go on working.
UNIT_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
MOST_KEPT_MS = 366 * UNIT_MS["d"]

_SHAPE = re.compile(r"(pk|sk|rk|ak)_(live|test)_([A-Za-z0-9]{4,32})_([A-Za-z0-9]{16,128})")
# How people name a key: whole, as lists print it, or by its prefix.
_NAMED = re.compile(r"(?:(?:(pk|sk|rk|ak)_(live|test)_)?([A-Za-z0-9]{4,32}))(?:_[A-Za-z0-9]{16,})?")


class Token(NamedTuple):
    """A key as its owner holds it."""

    kind: str
    env: str
    prefix: str
    secret: str

    def __str__(self) -> str:
        return "_".join(self)


class Key(NamedTuple):
    """A key as stored: everything but its secret. Times are milliseconds since 1970.

    `expires_ms`: refused from then on; None: never. `temporary`: made by a command for itself.
    `scopes`: of `SCOPES`, by commas.
    """

    prefix: str
    project_id: str
    kind: str
    env: str
    secret_hash: bytes
    created_ms: int
    last_used_ms: int | None
    revoked_ms: int | None
    name: str = ""
    expires_ms: int | None = None
    temporary: int = 0
    scopes: str = ""

    @property
    def scope_names(self) -> list[str]:
        """What it may do besides what its kind may."""
        return [name for name in self.scopes.split(",") if name]

    @property
    def label(self) -> str:
        """What may be shown of it: `sk_live_PREFIX`."""
        return f"{self.kind}_{self.env}_{self.prefix}"

    def state(self, now_ms: int) -> str:
        """`active`, `ending` (active, but it expires), `expired` or `revoked`."""
        if self.revoked_ms is not None:
            return "revoked"
        if self.expires_ms is None:
            return "active"
        return "ending" if now_ms < self.expires_ms else "expired"


class Named(NamedTuple):
    """How somebody names a key. `label`: what may be repeated of it, never the secret."""

    prefix: str
    label: str


def parse_keep_for(text: str, named: str) -> int:
    """`24h` in milliseconds. `named`: what the error calls it. Raises `ValueError`."""
    match = re.fullmatch(r"([0-9]{1,6})([mhd])", text.strip())
    length_ms = int(match[1]) * UNIT_MS[match[2]] if match else 0
    if not 0 < length_ms <= MOST_KEPT_MS:
        raise ValueError(
            f"{named} {text[:40]}: write minutes, hours or days, such as 30m, 24h or 7d, and at "
            "most 366d"
        )
    return length_ms


def new_token(kind: str, env: str) -> Token:
    """A fresh key from the system's random source."""
    return Token(kind, env, _random(PREFIX_LENGTH), _random(SECRET_LENGTH))


def parse_token(text: str) -> Token:
    """Raises `MalformedApiKey` if the text is not shaped like a key."""
    match = _SHAPE.fullmatch(text)
    if not match:
        raise MalformedApiKey("A key looks like sk_live_PREFIX_SECRET; this one does not.")
    return Token(*match.groups())


def parse_named(text: str) -> Named | None:
    """A key named as `sk_live_PREFIX`, by its prefix or as a whole; None for anything else."""
    match = _NAMED.fullmatch(text.strip())
    if not match:
        return None
    kind, env, prefix = match.groups()
    return Named(prefix, f"{kind}_{env}_{prefix}" if kind else prefix)


def secret_hash(pepper: bytes, secret: str) -> bytes:
    """HMAC-SHA256. A slow password hash is for guessable secrets; these have 256 random bits."""
    return hmac.digest(pepper, secret.encode(), "sha256")


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
