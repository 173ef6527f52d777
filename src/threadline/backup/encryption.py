"""Encryption with age: to public keys, so that who makes a backup cannot read one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyrage

from threadline.backup.manifest import BackupError


def read_recipients(recipients: Sequence[str]) -> list[Any]:
    """Raises `BackupError` for what is no public key of age."""
    try:
        return [pyrage.x25519.Recipient.from_str(each) for each in recipients]
    except pyrage.RecipientError:
        raise BackupError(
            f"{', '.join(recipients)}: write public keys of age, which begin with age1; age-keygen"
            " makes a pair."
        ) from None


def read_identities(path: Path) -> list[Any]:
    """Secret keys of age, one a line, as `age-keygen` writes them. Raises `BackupError`."""
    lines = [line.strip() for line in path.read_text().splitlines()]
    try:
        found = [
            pyrage.x25519.Identity.from_str(line)
            for line in lines
            if line and not line.startswith("#")
        ]
    except pyrage.IdentityError:
        found = []
    if not found:
        raise BackupError(f"{path} holds no secret key of age (AGE-SECRET-KEY-1…).")
    return found


def encrypt(reading: Any, writing: Any, recipients: Sequence[str]) -> None:
    pyrage.encrypt_io(reading, writing, read_recipients(recipients))


def decrypt(name: str, reading: Any, writing: Any, identities: Sequence[Any]) -> None:
    """Raises `BackupError`. `name`: of the file, for its sentence."""
    if not identities:
        raise BackupError(
            "The backup is encrypted: name the file with its secret key of age by --identity."
        )
    try:
        pyrage.decrypt_io(reading, writing, identities)
    except pyrage.DecryptError as error:
        raise BackupError(
            f"{name} cannot be decrypted by this key ({error}): name another by --identity, or see"
            " with threadline backup check whether the file is damaged."
        ) from None
