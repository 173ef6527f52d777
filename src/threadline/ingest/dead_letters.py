"""Dead letters: events the store refuses, kept with the reason until somebody decides.

They lie in the log's file, so that they can be looked at, retried and dropped from another process
while the server runs; marked ones are taken back by the writer.
"""

import sqlite3
import time
from collections.abc import Callable, Mapping, Set
from typing import NamedTuple

from threadline.ingest import row


class RefusedEvent(NamedTuple):
    """An event that the store refuses, as an encoded row. `letter_id` is the same however often it
    is set aside."""

    letter_id: str
    project_id: str
    event_id: str
    event_name: str
    body: bytes


class DeadLetter(NamedTuple):
    """A dead letter, as shown. `refused_ms`: since 1970."""

    letter_id: str
    project_id: str
    event_id: str
    event_name: str
    reason: str
    refused_ms: int
    retry: bool


class Whose(NamedTuple):
    """People of a project who are forgotten: events of these users, all of these devices, and of
    those that only they had what carries no user."""

    project_id: str
    users: frozenset[str]
    devices: frozenset[str]
    sole_devices: frozenset[str]

    def covers(self, columns: Mapping[str, row.Value]) -> bool:
        """Whether the event of these columns goes with them."""
        return (
            columns["user_id"] in self.users
            or columns["anonymous_id"] in self.devices
            or (columns["user_id"] is None and columns["anonymous_id"] in self.sole_devices)
        )


def set_aside(db: sqlite3.Connection, refused: RefusedEvent, reason: str) -> None:
    """Keep it; once only, however often a block is written again."""
    db.execute(
        "INSERT OR IGNORE INTO dead_letters VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
        (*refused, reason, time.time_ns() // 1_000_000),
    )


def listed(db: sqlite3.Connection, project_id: str | None = None) -> list[DeadLetter]:
    """All of them, or of a project, oldest first."""
    rows = db.execute(
        "SELECT dead_letter_id, project_id, event_id, event_name, reason, refused_ms, retry"
        " FROM dead_letters WHERE ?1 IS NULL OR project_id = ?1"
        " ORDER BY refused_ms, dead_letter_id",
        (project_id,),
    )
    return [DeadLetter(*found) for found in rows]


def count(db: sqlite3.Connection) -> int:
    """How many there are."""
    return int(db.execute("SELECT count(*) FROM dead_letters").fetchone()[0])


def body(db: sqlite3.Connection, letter_id: str) -> bytes | None:
    """The encoded row, or None if there is no such letter."""
    found = db.execute(
        "SELECT body FROM dead_letters WHERE dead_letter_id = ?", (letter_id,)
    ).fetchone()
    return bytes(found[0]) if found else None


def mark(db: sqlite3.Connection, letter_id: str | None) -> int:
    """Have one (None: all) sent to the store again; how many were marked."""
    return db.execute(
        "UPDATE dead_letters SET retry = 1 WHERE retry = 0 AND (?1 IS NULL OR dead_letter_id = ?1)",
        (letter_id,),
    ).rowcount


def drop(db: sqlite3.Connection, letter_id: str | None) -> int:
    """Delete one (None: all) for good; how many."""
    return db.execute(
        "DELETE FROM dead_letters WHERE ?1 IS NULL OR dead_letter_id = ?1", (letter_id,)
    ).rowcount


def take_marked(db: sqlite3.Connection) -> list[bytes]:
    """Remove the marked ones and give their rows."""
    if not db.execute("SELECT 1 FROM dead_letters WHERE retry LIMIT 1").fetchone():
        return []
    bodies = [
        bytes(row[0])
        for row in db.execute(
            "SELECT body FROM dead_letters WHERE retry ORDER BY refused_ms, dead_letter_id"
        )
    ]
    db.execute("DELETE FROM dead_letters WHERE retry")
    return bodies


def forget(db: sqlite3.Connection, whose: Whose) -> None:
    """Delete those of people who are forgotten. Of records that were damaged nobody can tell the
    columns; they go where one of the ids stands in them."""
    of_project = "SELECT dead_letter_id, body FROM dead_letters WHERE project_id = ?"
    for letter_id, encoded in db.execute(of_project, (whose.project_id,)).fetchall():
        if whose.covers(row.by_column(encoded)):
            drop(db, letter_id)
    ids = [id_.encode() for id_ in whose.users | whose.devices]
    for letter_id, encoded in db.execute(of_project, ("",)).fetchall():
        if any(id_ in encoded for id_ in ids):
            drop(db, letter_id)


def forget_known(
    db: sqlite3.Connection, id_hashes: Set[bytes], hash_of: Callable[[str, str], bytes]
) -> None:
    """Delete those whose user or device has one of these hashes. `hash_of`: of an id in a
    project."""
    of_projects = "SELECT dead_letter_id, project_id, body FROM dead_letters WHERE project_id != ''"
    for letter_id, project_id, encoded in db.execute(of_projects).fetchall():
        columns = row.by_column(encoded)
        ids = (columns["user_id"], columns["anonymous_id"])
        if any(hash_of(project_id, str(id_)) in id_hashes for id_ in ids if id_):
            drop(db, letter_id)


def drop_of_project(db: sqlite3.Connection, project_id: str) -> None:
    """The project is deleted. Damaged records that name it go, too."""
    db.execute("DELETE FROM dead_letters WHERE project_id = ?", (project_id,))
    damaged = "SELECT dead_letter_id, body FROM dead_letters WHERE project_id = ''"
    for letter_id, encoded in db.execute(damaged).fetchall():
        if project_id.encode() in encoded:
            drop(db, letter_id)


def migrate(db: sqlite3.Connection, columns: int) -> None:
    """Give rows of an older version, with so many columns, those that this one knows besides."""
    found = db.execute("SELECT dead_letter_id, body FROM dead_letters WHERE project_id != ''")
    for letter_id, encoded in found.fetchall():
        migrated = row.Rows.one(encoded).migrated(columns).body
        db.execute(
            "UPDATE dead_letters SET body = ? WHERE dead_letter_id = ?", (migrated, letter_id)
        )
