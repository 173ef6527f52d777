"""The pepper: the secret that keys are hashed with, in a file of the data folder.

It is made once, when nothing was ever hashed with it. With another one no key works any more, so
a lost one is never replaced unless somebody asks for just that. The database has only a hash of it:
who reads that alone can make nothing of the keys. Where folders of several machines share the keys,
each needs a copy of the same file.
"""

import hmac
import secrets
import time
from pathlib import Path

from threadline.control.database import ControlStatements, Database
from threadline.control.errors import ControlError
from threadline.private import make_folder, write_durably

FILE = "pepper"
REPLACED = "pepper.replaced"
SIZE = 32
WAY_OUT = (
    "Restore the file from a copy of the folder. If there is none, `threadline key replace-pepper` "
    "makes a new one; all keys and share links stop working for good then, and you make new ones: "
    "keys with `threadline key create`."
)


def settle_pepper(folder: Path, db: Database) -> bytes:
    """The folder's pepper, made if there is no key yet. Raises `ControlError` if it is lost,
    damaged, or not the one that the keys were made with."""
    path = folder / FILE
    with db.reading() as statements:
        known = _known(statements)
    if not _text(path) or known is None:
        with db.writing() as statements:  # two processes that start at once make one pepper
            known = _known(statements)
            # What is known in a shared one was made on another machine.
            begun = _has_keys(statements) or (db.is_shared and known is not None)
            if not _text(path) and not begun:
                make_folder(folder)
                write_durably(path, secrets.token_hex(SIZE))
                _note(statements, read_pepper(folder, db.pepper_way_out))
            elif known is None:
                _note(statements, read_pepper(folder, db.pepper_way_out))
    with db.reading() as statements:
        problem = pepper_problem(folder, statements, db.pepper_way_out)
    if problem:
        raise ControlError(problem)
    return read_pepper(folder, db.pepper_way_out)


def pepper_problem(folder: Path, db: ControlStatements, way_out: str) -> str:
    """What is wrong with the pepper, and the way out; empty if nothing is. Inside a transaction."""
    try:
        pepper = read_pepper(folder, way_out)
    except ControlError as error:
        return str(error)
    known = _known(db)
    if known is not None and not hmac.compare_digest(known, pepper_hash(pepper)):
        return f"{folder / FILE} is not the one that the keys were made with. {way_out}"
    return ""


def read_pepper(folder: Path, way_out: str) -> bytes:
    """Raises `ControlError` if the file is missing or damaged."""
    path = folder / FILE
    text = _text(path)
    if text is None:
        raise ControlError(f"{path} is missing, and no key can be checked without it. {way_out}")
    try:
        pepper = bytes.fromhex(text)
    except ValueError:
        pepper = b""
    if len(pepper) != SIZE:
        raise ControlError(f"{path} is damaged, and no key can be checked without it. {way_out}")
    return pepper


def replace_pepper(folder: Path, db: Database) -> int:
    """A new pepper in place of one that is lost or damaged; what is left of that is put aside.
    How many keys that revokes. Raises `ControlError` if the pepper is in order."""
    path = folder / FILE
    with db.writing() as statements:
        if not pepper_problem(folder, statements, db.pepper_way_out):
            raise ControlError(
                f"{path} is in order; nothing was changed. To stop keys, use `threadline key "
                "revoke`."
            )
        revoked = statements.execute(
            "UPDATE keys SET revoked_ms = ? WHERE revoked_ms IS NULL",
            (time.time_ns() // 1_000_000,),
        ).rowcount
        # Their tokens were hashed with it, too.
        for table in ("sessions", "one_time_links", "share_links"):
            statements.execute(f"DELETE FROM {table}")
        if path.exists():
            path.replace(folder / REPLACED)
        write_durably(path, secrets.token_hex(SIZE))
        _note(statements, read_pepper(folder, db.pepper_way_out))
    return revoked


def adopt_pepper(folder: Path, db: Database, text: str) -> bool:
    """Take another folder's pepper in place of one that nothing was hashed with; whether it was."""
    with db.writing() as statements:
        if _has_keys(statements) or bytes.fromhex(text) == read_pepper(folder, db.pepper_way_out):
            return False
        write_durably(folder / FILE, text)
        _note(statements, bytes.fromhex(text))
    return True


def pepper_hash(pepper: bytes) -> bytes:
    """Kept in the database, so that another pepper is noticed."""
    return hmac.digest(pepper, b"threadline pepper", "sha256")


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None


def _known(db: ControlStatements) -> bytes | None:
    found = db.execute("SELECT hash FROM pepper").fetchone()
    return found and bytes(found[0])


def _note(db: ControlStatements, pepper: bytes) -> None:
    db.execute(
        "INSERT INTO pepper VALUES (1, ?)"
        " ON CONFLICT (only_row) DO UPDATE SET hash = excluded.hash",
        (pepper_hash(pepper),),
    )


def _has_keys(db: ControlStatements) -> bool:
    return db.execute("SELECT 1 FROM keys LIMIT 1").fetchone() is not None
