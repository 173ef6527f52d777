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
    "ak": "one account: read all its projects over MCP",
}
ENVS = ("live", "test")

_SHAPE = re.compile(r"(pk|sk|rk|ak)_(live|test)_([A-Za-z0-9]{4,32})_([A-Za-z0-9]{16,128})")


class Token(NamedTuple):
    """A key as its owner holds it."""

    kind: str
    env: str
    prefix: str
    secret: str

    def __str__(self) -> str:
        return "_".join(self)


def new_token(kind: str, env: str) -> Token:
    """A fresh key from the system's random source."""
    return Token(kind, env, _random(PREFIX_LENGTH), _random(SECRET_LENGTH))


def parse_token(text: str) -> Token:
    """Raises `MalformedApiKey` if the text is not shaped like a key."""
    match = _SHAPE.fullmatch(text)
    if not match:
        raise MalformedApiKey("A key looks like sk_live_PREFIX_SECRET; this one does not.")
    return Token(*match.groups())


def secret_hash(pepper: bytes, secret: str) -> bytes:
    """HMAC-SHA256. A slow password hash is for guessable secrets; these have 256 random bits."""
    return hmac.digest(pepper, secret.encode(), "sha256")


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
