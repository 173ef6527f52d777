"""Passwords: Argon2id, and what is taken for one.

Hashing takes memory and some tens of milliseconds on purpose, so it is done beside the event loop,
one at a time.
"""

from functools import cache
from typing import TYPE_CHECKING

from threadline.contract.errors import InvalidPayload

if TYPE_CHECKING:
    from argon2 import PasswordHasher

# As NIST SP 800-63B has it: length counts, and rules about kinds of characters do not.
MIN_LENGTH = 10
MAX_LENGTH = 1024
# What OWASP has as the least for Argon2id (password storage, 2024): small machines hash, too.
MEMORY_KIB, PASSES, LANES = 19_456, 2, 1


def check_password(password: str, email: str) -> None:
    """Raises `InvalidPayload` for what would be guessed at once."""
    message = ""
    if len(password) < MIN_LENGTH:
        message = f"a password has at least {MIN_LENGTH} characters"
    elif len(password) > MAX_LENGTH:
        message = f"a password has at most {MAX_LENGTH} characters"
    elif password.lower() in (email, email.partition("@")[0]):
        message = "choose something else than the e-mail address"
    elif len(set(password)) < 4:
        message = "use more different characters; a few words in a row are good"
    if message:
        raise InvalidPayload(f"password: {message}.", fieldErrors={"password": [message]})


def hash_password(password: str) -> str:
    """With its salt and parameters."""
    return _hasher().hash(password)


def password_matches(password: str, hashed: str | None) -> bool:
    """Whether it is that password. `hashed`: None where there is none, which takes as long."""
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        right = _hasher().verify(hashed or _nobodys(), password)
    except (VerificationError, InvalidHashError):
        return False
    return right and hashed is not None


@cache
def _hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher  # commands that make a key need not wait for it

    return PasswordHasher(PASSES, MEMORY_KIB, LANES)


@cache
def _nobodys() -> str:
    return hash_password("the password of nobody")
