"""Which store the events of a data folder lie in: a note in the folder, so that a start with
another store says so, instead of answering out of an empty one."""

import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from threadline.contract.times import format_ms, now_ms
from threadline.private import write_durably
from threadline.store import Statements, Store, StoreAway, StoreError, moving, store_url

NOTE_FILE = "store.json"
# A store that an older version wrote knows of no log.
KNOWN = """
    SELECT 1 AS one
    WHERE {log_hash:String} IN (SELECT log_hash FROM logs)
        OR ((SELECT count() FROM logs) = 0 AND (SELECT count() FROM events) > 0)"""


class EventsElsewhere(StoreError):
    """The events of the folder lie in another store; the message says in which."""


class Note(msgspec.Struct):
    """`store`: where the events lie, as `name_of` has it. `left`: stores that they were moved out
    of, which may still be there. `moved_ms`: when they were moved last."""

    store: str
    left: list[str] = []
    moved_ms: int = 0


class WrittenMark(NamedTuple):
    """Whether the log has written any event, and its hash as stores know it."""

    any: bool
    log_hash: str


def name_of(url: str, folder: Path) -> str:
    """The store's URL without who asks; `chdb` for the one in the folder, wherever that is."""
    if url == store_url("chdb", folder):
        return "chdb"
    address = urlsplit(url)
    if address.scheme == "chdb":
        return url
    host, query = address.netloc.rpartition("@")[2], f"?{address.query}" if address.query else ""
    return f"{address.scheme}://{host}{address.path or '/default'}{query}"


def read(folder: Path) -> Note | None:
    """What the folder says; None in one that an older version has made."""
    try:
        return msgspec.json.decode((folder / NOTE_FILE).read_bytes(), type=Note)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def write(folder: Path, note: Note) -> None:
    write_durably(folder / NOTE_FILE, msgspec.json.encode(note).decode())


def note_moved(folder: Path, before: str, url: str) -> None:
    """The folder's events lie in another store from now on; both by their URLs."""
    left, to = name_of(before, folder), name_of(url, folder)
    known = read(folder)
    others = [each for each in (known.left if known else []) if each not in (left, to)]
    write(folder, Note(to, [*others, left], now_ms()))


def check_left(folder: Path, url: str) -> None:
    """Raises `EventsElsewhere` for a store that the folder's events were moved out of."""
    here, note = name_of(url, folder), read(folder)
    if note is not None and here in note.left:
        raise EventsElsewhere(
            f"The events of {folder} were moved from {here} to {note.store} at"
            f" {format_ms(note.moved_ms)}, and what {here} still has is of before that. Set"
            f" THREADLINE_STORE={_setting(note.store)}; threadline migrate-store goes back. If"
            f" {note.store} is lost, delete {folder / NOTE_FILE} to go on with what {here} has."
        )


def check_note(folder: Path, url: str) -> None:
    """Raises `EventsElsewhere` for another store than the folder's note says, unasked whether it is
    the same at another address."""
    check_left(folder, url)
    here, note = name_of(url, folder), read(folder)
    if note is not None and note.store != here and written_by(folder).any:
        raise EventsElsewhere(
            f"The events of {folder} lie in {note.store}. Set THREADLINE_STORE="
            f"{_setting(note.store)}."
        )


def check(folder: Path, url: str, store: Store, may_note: bool = False) -> None:
    """Raises `EventsElsewhere` if the folder's events lie in another store than this one, or if a
    move into it is not finished, and `StoreError`. `may_note`: where nothing is noted, or the store
    has another name now, note it."""
    if store.is_open and (unfinished := moving.origins(store)):
        raise EventsElsewhere(
            f"A move from {', '.join(unfinished.values())} into this store was interrupted, so it"
            " has a part of the events only. The same threadline migrate-store (or restore) command"
            " goes on, or set THREADLINE_STORE to the store that it comes from."
        )
    check_left(folder, url)
    here, note = name_of(url, folder), read(folder)
    if note is not None and note.store == here:
        return
    written = written_by(folder)
    if note is None:
        if may_note and store.is_open and (not written.any or knows(store, written)):
            write(folder, Note(here))
        return
    if written.any and not store.is_open:
        raise StoreAway(
            f"The events of {folder} lie in {note.store}, and {here} does not answer, so nobody can"
            f" say whether it is the same. Set THREADLINE_STORE={_setting(note.store)}, or start"
            f" {here} first."
        )
    if written.any and not knows(store, written):
        raise EventsElsewhere(
            f"The events of {folder} lie in {note.store}, and {here} has none of them. Set"
            f" THREADLINE_STORE={_setting(note.store)}, or move them: threadline migrate-store"
            f" {note.store} {here}. If {note.store} is lost, delete {folder / NOTE_FILE} to begin"
            " anew."
        )
    if may_note and store.is_open:
        write(folder, Note(here))


def _setting(name: str) -> str:
    """The store as it is to be set: names have no user."""
    scheme, slashes, rest = name.partition("://")
    return f"{scheme}://USER:PASSWORD@{rest}" if slashes and scheme != "chdb" else name


def knows(store: Statements, written: WrittenMark) -> bool:
    """Whether the store was written from this log. Raises `StoreError`."""
    return bool(store.look(KNOWN, {"log_hash": written.log_hash}))


def written_by(folder: Path) -> WrittenMark:
    """What the folder's log says of itself."""
    uri = f"{(folder / 'log.db').resolve().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as db:
            row = db.execute("SELECT log_id, written_seq FROM block").fetchone()
    except sqlite3.OperationalError:  # there is none, or it has not begun
        row = None
    except sqlite3.DatabaseError:  # it is damaged, which is said when it is opened
        return WrittenMark(True, "")
    log_id, seq = row or ("", 0)
    return WrittenMark(int(seq) > 0, sha256(str(log_id).encode()).hexdigest())
