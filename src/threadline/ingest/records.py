"""Records of the log: rows, or one request to forget, each with a checksum.

What the writer takes of them at a time is a block. Everything here runs in a transaction of whoever
calls it.
"""

import sqlite3
from typing import NamedTuple
from zlib import crc32

import msgspec
import numpy as np
import structlog

from threadline.ingest import dead_letters, receipts
from threadline.ingest.log_file import checksum
from threadline.ingest.row import NO_ROWS, Positions, Rows

# A block is one INSERT: large enough for the store, small enough to be gone through in a second.
BLOCK_EVENTS = 100_000
BLOCK_BYTES = 32 * 1024**2
# Requests to forget that are carried out together.
BLOCK_FORGETS = 500

_logger = structlog.get_logger("threadline.log")


class ForgetRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whom to forget: one of the two ids. `anonymise`: copies of somebody random take the place of
    a user's events; such a request is carried out alone."""

    receipt_id: str
    project_id: str
    user_id: str | None = None
    anonymous_id: str | None = None
    anonymise: bool = False


_read_request = msgspec.msgpack.Decoder(ForgetRequest).decode


class Block(NamedTuple):
    """Consecutive records of the log: rows for one insert, or requests to forget (no rows).

    `duplicates`: positions of rows to leave out; None until the writer has settled which.
    `claim`: where other nodes write into the same store, the number under which its event_ids were
    claimed. `part`: where the store does not take the block as a whole, the rows on their way, from
    and to; all before them is done. `plan`: what was found to be deleted for the requests; None
    until then.
    """

    last_seq: int
    token: str
    rows: Rows = NO_ROWS
    duplicates: Positions | None = None
    part: tuple[int, int] | None = None
    forgets: tuple[ForgetRequest, ...] = ()
    plan: bytes | None = None
    claim: int = 0


class Ahead(NamedTuple):
    """A record further on in the log: rows as they are encoded, or a request to forget."""

    seq: int
    body: bytes
    forget: ForgetRequest | None


def insert_rows(db: sqlite3.Connection, rows: Rows) -> None:
    """One record of these rows."""
    _insert(db, "rows", rows)


def insert_forget(db: sqlite3.Connection, request: ForgetRequest, id_hash: bytes) -> None:
    """The request, and its receipt."""
    _add_receipt(db, request, id_hash)
    _insert(db, "forget", NO_ROWS._replace(body=msgspec.msgpack.encode(request)))


def hold_forget(db: sqlite3.Connection, request: ForgetRequest, id_hash: bytes) -> None:
    """The same for one that waits until other nodes have signed a barrier (`held_forgets`)."""
    _add_receipt(db, request, id_hash)
    sql = "INSERT INTO held_forgets (receipt_id, body) VALUES (?, ?)"
    db.execute(sql, (request.receipt_id, msgspec.msgpack.encode(request)))


def insert_held(db: sqlite3.Connection, body: bytes) -> None:
    """One that has waited for long enough."""
    _insert(db, "forget", NO_ROWS._replace(body=body))


def _add_receipt(db: sqlite3.Connection, request: ForgetRequest, id_hash: bytes) -> None:
    about = receipts.ANONYMISED if request.anonymise else ""
    receipts.add(db, request.receipt_id, request.project_id, id_hash, about)


def _insert(db: sqlite3.Connection, kind: str, rows: Rows) -> None:
    db.execute(
        "INSERT INTO records (kind, events, body, lengths, hashes, checksum)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (kind, rows.size, *rows, checksum(rows)),
    )


def last_seq(db: sqlite3.Connection) -> int:
    """The number of the last record; 0 if there is none."""
    (last,) = db.execute("SELECT max(seq) FROM records").fetchone()
    return int(last or 0)


def next_block(db: sqlite3.Connection, log_id: str) -> Block | None:
    """The records after the last written ones. Once settled, the same ones until it is finished.
    Records that were damaged become dead letters."""
    written, end, duplicates, claim, *part = db.execute(
        "SELECT written_seq, end_seq, duplicates, claim, part_start, part_end FROM block"
    ).fetchone()
    settled = end > written
    if not settled:
        end = _choose_end(db, written)
    found = db.execute(
        "SELECT kind, seq, checksum, body, lengths, hashes FROM records"
        " WHERE seq > ? AND seq <= ? ORDER BY seq",
        (written, end),
    ).fetchall()
    if not found:
        return None
    records = [
        _checked(db, log_id, kind, seq, kept, Rows(*parts)) for kind, seq, kept, *parts in found
    ]
    (token,) = db.execute("SELECT token FROM progress").fetchone()
    if not settled:
        # Of what lies in it: should the file ever be set back, other rows under the same number
        # are not taken for these.
        sums = b"".join(kept.to_bytes(4, "little") for _, _, kept, *_ in found)
        token = f"{log_id}-{end}-{crc32(sums):08x}"
    if found[0][0] == "forget":
        requests = tuple(_read_request(record.body) for record in records if record.body)
        return Block(end, token, forgets=requests, plan=receipts.plan(db, end))
    known = np.frombuffer(duplicates, dtype=np.uint32).astype(np.intp) if settled else None
    rows, going = Rows.join(records), (part[0], part[1]) if part[1] else None
    return Block(end, token, rows, known, going, claim=claim if settled else 0)


def _choose_end(db: sqlite3.Connection, written: int) -> int:
    """Rows together up to `BLOCK_EVENTS` or `BLOCK_BYTES`; requests to forget together, apart from
    rows."""
    end, events_so_far, bytes_so_far, forgets, alone = written, 0, 0, 0, False
    for seq, kind, events, size, body in db.execute(
        "SELECT seq, kind, events, length(body), CASE kind WHEN 'forget' THEN body END"
        " FROM records WHERE seq > ? ORDER BY seq",
        (written,),
    ):
        if kind == "forget":
            before, alone = alone, _is_alone(body)
            if events_so_far or forgets == BLOCK_FORGETS or (forgets and (alone or before)):
                break
            forgets += 1
        elif forgets:
            break
        events_so_far += events
        bytes_so_far += size
        full = events_so_far > BLOCK_EVENTS or bytes_so_far > BLOCK_BYTES
        if events_so_far > events and full:
            break
        end = seq
    return end


def _is_alone(body: bytes) -> bool:
    """Whether the request is carried out without others; of a damaged one nobody can tell."""
    try:
        return _read_request(body).anonymise
    except msgspec.DecodeError:
        return False


def _checked(
    db: sqlite3.Connection, log_id: str, kind: str, seq: int, kept: int, rows: Rows
) -> Rows:
    """The record's rows, or none in place of those that were damaged on disk."""
    if checksum(rows) == kept:
        return rows
    _logger.error("log_record_damaged", seq=seq, kind=kind, events=rows.size)
    name = f"{rows.size} events" if kind == "rows" else "a request to forget"
    dead_letters.set_aside(
        db,
        dead_letters.RefusedEvent(f"{log_id}-damaged-{seq}", "", "", name, rows.body),
        "The record does not match its checksum: the disk returned something else than was "
        "written.",
    )
    return NO_ROWS


def ahead(db: sqlite3.Connection, block: Block) -> list[Ahead]:
    """What lies behind the block, up to the last request to forget, if that is soon looked
    through."""
    found: list[Ahead] = []
    if any(request.anonymise for request in block.forgets):
        return found
    size = 0
    sql = "SELECT max(seq) FROM records WHERE kind = 'forget' AND seq > ?"
    (last,) = db.execute(sql, (block.last_seq,)).fetchone()
    for seq, kind, kept, *parts in db.execute(
        "SELECT seq, kind, checksum, body, lengths, hashes FROM records"
        " WHERE seq > ? AND seq <= ? ORDER BY seq",
        (block.last_seq, last or 0),
    ):
        rows = Rows(*parts)
        size += len(rows.body)
        if size > BLOCK_BYTES or len(found) > BLOCK_FORGETS or checksum(rows) != kept:
            break
        request = _read_request(rows.body) if kind == "forget" else None
        if request and request.anonymise:
            break
        found.append(Ahead(seq, b"" if request else rows.body, request))
    return found
