"""The pepper: the secret that keys are hashed with, in a file beside the database.

It is made once, when nothing was ever hashed with it. With another one no key works any more, so
a lost one is never replaced unless somebody asks for just that.
"""

import hmac
import secrets
import sqlite3
import time
from pathlib import Path

from threadline.control.errors import ControlError
from threadline.private import write_durably
from threadline.sqlite import transaction

FILE = "pepper"
REPLACED = "pepper.replaced"
SIZE = 32
_WAY_OUT = (
    "Restore the file from a copy of the folder. If there is none, `threadline key replace-pepper` "
    "makes a new one; all keys and share links stop working for good then, and you make new ones: "
    "keys with `threadline key create`."
)


def settle_pepper(folder: Path, db: sqlite3.Connection) -> bytes:
    """The folder's pepper, made if there is no key yet. Raises `ControlError` if it is lost,
    damaged, or not the one that the keys were made with."""
    path = folder / FILE
    if not _text(path) or _known(db) is None:
        with transaction(db):  # two processes that start at once make one pepper
            if not _text(path) and not _has_keys(db):
                write_durably(path, secrets.token_hex(SIZE))
                _note(db, read_pepper(folder))
            elif _known(db) is None:
                _note(db, read_pepper(folder))
    problem = pepper_problem(folder, db)
    if problem:
        raise ControlError(problem)
    return read_pepper(folder)


def pepper_problem(folder: Path, db: sqlite3.Connection) -> str:
    """What is wrong with the pepper, and the way out; empty if nothing is."""
    path = folder / FILE
    try:
        pepper = read_pepper(folder)
    except ControlError as error:
        return str(error)
    known = _known(db)
    if known is not None and not hmac.compare_digest(known, pepper_hash(pepper)):
        return f"{path} is not the one that the keys of this folder were made with. {_WAY_OUT}"
    return ""


def read_pepper(folder: Path) -> bytes:
    """Raises `ControlError` if the file is missing or damaged."""
    path = folder / FILE
    text = _text(path)
    if text is None:
        raise ControlError(f"{path} is missing, and no key can be checked without it. {_WAY_OUT}")
    try:
        pepper = bytes.fromhex(text)
    except ValueError:
        pepper = b""
    if len(pepper) != SIZE:
        raise ControlError(f"{path} is damaged, and no key can be checked without it. {_WAY_OUT}")
    return pepper


def replace_pepper(folder: Path, db: sqlite3.Connection) -> int:
    """A new pepper in place of one that is lost or damaged; what is left of that is put aside.
    How many keys that revokes. Raises `ControlError` if the pepper is in order."""
    path = folder / FILE
    with transaction(db):
        if not pepper_problem(folder, db):
            raise ControlError(
                f"{path} is in order; nothing was changed. To stop keys, use `threadline key "
                "revoke`."
            )
        revoked = db.execute(
            "UPDATE keys SET revoked_ms = ? WHERE revoked_ms IS NULL",
            (time.time_ns() // 1_000_000,),
        ).rowcount
        # Their tokens were hashed with it, too.
        for table in ("sessions", "one_time_links", "share_links"):
            db.execute(f"DELETE FROM {table}")
        if path.exists():
            path.replace(folder / REPLACED)
        write_durably(path, secrets.token_hex(SIZE))
        _note(db, read_pepper(folder))
    return revoked


def adopt_pepper(folder: Path, db: sqlite3.Connection, text: str) -> bool:
    """Take another folder's pepper in place of one that nothing was hashed with; whether it was."""
    with transaction(db):
        if _has_keys(db) or bytes.fromhex(text) == read_pepper(folder):
            return False
        write_durably(folder / FILE, text)
        _note(db, bytes.fromhex(text))
    return True


def pepper_hash(pepper: bytes) -> bytes:
    """Kept in the database, so that another pepper is noticed."""
    return hmac.digest(pepper, b"threadline pepper", "sha256")


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None


def _known(db: sqlite3.Connection) -> bytes | None:
    found = db.execute("SELECT hash FROM pepper").fetchone()
    return found and bytes(found[0])


def _note(db: sqlite3.Connection, pepper: bytes) -> None:
    db.execute("INSERT OR REPLACE INTO pepper VALUES (1, ?)", (pepper_hash(pepper),))


def _has_keys(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM keys LIMIT 1").fetchone() is not None
