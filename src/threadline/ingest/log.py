"""The log: what is acknowledged is on disk here first.

One thread commits, and takes with one fsync all requests that came while the last commit was on its
way to the disk. A request's future is done when its events are safe, not before. The same
transaction that stores an event remembers its id, so there is no moment at which a repeat could
slip in, crash or not.
"""

import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
import structlog

from threadline import migrations
from threadline.contract.errors import Unavailable
from threadline.contract.times import DAY_MS
from threadline.enrich import time_ordered_id
from threadline.ingest.row import EventRow

# A block is one INSERT: large enough for the store, small enough to be gone through in a second.
BLOCK_EVENTS = 50_000

_logger = structlog.get_logger("threadline.log")


class ForgetRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whom to forget: one of the two ids."""

    receipt_id: str
    project_id: str
    user_id: str | None = None
    anonymous_id: str | None = None


class Block(NamedTuple):
    """Consecutive entries of the log: rows for one insert, or one request to forget."""

    last_seq: int
    token: str
    rows: list[list[object]]
    forget: ForgetRequest | None


class Receipt(NamedTuple):
    """What is kept of a request to forget. `events`: how many were deleted; None: not yet done."""

    receipt_id: str
    project_id: str
    accepted_ms: int
    finished_ms: int | None
    events: int | None


class Done(Protocol):
    """What `asyncio.Future` and `concurrent.futures.Future` have in common."""

    def done(self) -> bool: ...

    def set_result(self, result: None, /) -> None: ...

    def set_exception(self, exception: BaseException, /) -> None: ...


class _Append(NamedTuple):
    rows: list[EventRow]
    client_ids: frozenset[str]
    forget: ForgetRequest | None
    id_hash: bytes
    done: Done


class _Entry(NamedTuple):
    seq: int
    events: int
    size: int


class Log:
    """Durable, ordered, without repeats. Bounded by `max_bytes` of entries not yet written."""

    def __init__(self, folder: Path, dedup_days: int = 7, max_bytes: int = 4 * 1024**3) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._dedup_days = dedup_days
        self._max_bytes = max_bytes
        self._lock = threading.Lock()  # one transaction at a time
        self._db = sqlite3.connect(
            folder / "log.db", isolation_level=None, check_same_thread=False, timeout=10
        )
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        # Forgotten events must not survive in the file's free pages.
        self._db.execute("PRAGMA secure_delete = ON")
        migrations.migrate_sqlite("The log (log.db)", self._db, "threadline.ingest")
        self._db.execute("INSERT OR IGNORE INTO writer VALUES (1, ?, 0, 0)", (time_ordered_id(),))
        self._db.execute("INSERT OR IGNORE INTO seen_generation VALUES (1, 0)")
        log_id, written_seq = self._db.execute("SELECT log_id, written_seq FROM writer").fetchone()
        self._log_id = str(log_id)
        self.written_seq = int(written_seq)
        last, events, size = self._db.execute(
            "SELECT max(seq), total(events), total(length(body)) FROM entries"
        ).fetchone()
        self.acked_seq: int = last or self.written_seq
        self.depth_events, self._depth_bytes = int(events), int(size)
        self._on_commit: Callable[[], None] = lambda: None
        self._deliver: Callable[[Callable[[], None]], object] = lambda tell: tell()
        self._queue: queue.SimpleQueue[_Append | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="threadline-log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Commit what is queued, then close. Nothing may be appended any more."""
        self._queue.put(None)
        self._thread.join()
        self._db.close()

    def notify(self, on_commit: Callable[[], None]) -> None:
        """Call this after every commit, from the log's thread."""
        self._on_commit = on_commit

    def deliver_by(self, deliver: Callable[[Callable[[], None]], object]) -> None:
        """Complete futures by way of this, as `loop.call_soon_threadsafe`: once for all requests
        of a commit, because waking an event loop costs a system call."""
        self._deliver = deliver

    # -- the door ---------------------------------------------------------------------------

    def append(self, rows: list[EventRow], client_ids: frozenset[str], done: Done) -> None:
        """`done` completes when the rows are on disk; rows whose event_id was seen are left out.

        It fails with `Unavailable` if the disk refuses or the log is full.
        """
        self._enqueue(_Append(rows, client_ids, None, b"", done))

    def append_forget(self, request: ForgetRequest, id_hash: bytes, done: Done) -> None:
        """`done` completes when the request is on disk: all before it will be forgotten."""
        self._enqueue(_Append([], frozenset(), request, id_hash, done))

    def _enqueue(self, append: _Append) -> None:
        if self._depth_bytes > self._max_bytes:
            append.done.set_exception(
                Unavailable("The log is full because the store does not keep up; try again.")
            )
        else:
            self._queue.put(append)

    def _run(self) -> None:
        running = True
        while running:
            batch = [self._queue.get()]
            while not self._queue.empty():
                batch.append(self._queue.get())
            running = None not in batch
            self._commit([append for append in batch if append is not None])

    def _commit(self, batch: list[_Append]) -> None:
        try:
            with self._transaction():
                written = [entry for append in batch if (entry := self._write(append))]
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread has to outlive it
            _logger.error("log_commit_failed", requests=len(batch), error=str(error))
            failed = Unavailable("The event could not be put on disk; try again.")
            self._deliver(lambda: _complete(batch, failed))
            return
        for entry in written:
            self.acked_seq = entry.seq
            self.depth_events += entry.events
            self._depth_bytes += entry.size
        self._deliver(lambda: _complete(batch, None))
        self._on_commit()

    def _write(self, append: _Append) -> _Entry | None:
        if append.forget:
            self._db.execute(
                "INSERT INTO receipts (receipt_id, project_id, id_hash, accepted_ms)"
                " VALUES (?, ?, ?, ?)",
                (append.forget.receipt_id, append.forget.project_id, append.id_hash, _now_ms()),
            )
            return self._insert("forget", 0, msgspec.msgpack.encode(append.forget))
        if fresh := self._unseen(append.rows, append.client_ids):
            return self._insert("events", len(fresh), msgspec.msgpack.encode(fresh))
        return None

    def _insert(self, kind: str, events: int, body: bytes) -> _Entry:
        cursor = self._db.execute(
            "INSERT INTO entries (kind, events, body) VALUES (?, ?, ?)", (kind, events, body)
        )
        assert cursor.lastrowid is not None
        return _Entry(cursor.lastrowid, events, len(body))

    # -- each event once --------------------------------------------------------------------

    def _unseen(self, rows: list[EventRow], client_ids: frozenset[str]) -> list[EventRow]:
        if not client_ids:
            return rows
        generation = self._current_generation()
        current, previous = generation % 2, (generation + 1) % 2
        return [
            row
            for row in rows
            if row.event_id not in client_ids or self._first_time(row, current, previous)
        ]

    def _first_time(self, row: EventRow, current: int, previous: int) -> bool:
        key = (_id_hash(row.project_id, row.event_id),)
        if self._db.execute(f"SELECT 1 FROM seen_{previous} WHERE hash = ?", key).fetchone():
            return False
        insert = f"INSERT OR IGNORE INTO seen_{current} VALUES (?)"
        return self._db.execute(insert, key).rowcount == 1

    def _current_generation(self) -> int:
        """The generation ids are remembered in now; turning to a new one drops the oldest."""
        (last,) = self._db.execute("SELECT generation FROM seen_generation").fetchone()
        generation = _now_ms() // (self._dedup_days * DAY_MS)
        if generation <= last:
            return int(last)
        outdated = {generation % 2} if generation == last + 1 else {0, 1}
        for table in outdated:
            self._db.execute(f"DELETE FROM seen_{table}")
        self._db.execute("UPDATE seen_generation SET generation = ?", (generation,))
        return generation

    def unsee(self, project_id: str, event_ids: Iterable[str]) -> None:
        """Forget that these events were ever sent."""
        keys = [(_id_hash(project_id, event_id),) for event_id in event_ids]
        with self._transaction():
            for table in (0, 1):
                self._db.executemany(f"DELETE FROM seen_{table} WHERE hash = ?", keys)

    # -- the writer's side ------------------------------------------------------------------

    def next_block(self) -> Block | None:
        """The entries after the last written ones; the same ones again until `finish`."""
        with self._transaction():
            written, end = self._db.execute(
                "SELECT written_seq, block_end_seq FROM writer"
            ).fetchone()
            if end <= written:
                end = self._choose_end(written)
                self._db.execute("UPDATE writer SET block_end_seq = ?", (end,))
            entries = self._db.execute(
                "SELECT kind, body FROM entries WHERE seq > ? AND seq <= ? ORDER BY seq",
                (written, end),
            ).fetchall()
        if not entries:
            return None
        token = f"{self._log_id}-{end}"
        if entries[0][0] == "forget":
            request = msgspec.msgpack.decode(entries[0][1], type=ForgetRequest)
            return Block(end, token, [], request)
        rows = [row for _, body in entries for row in msgspec.msgpack.decode(body)]
        return Block(end, token, rows, None)

    def _choose_end(self, written: int) -> int:
        """Events together up to `BLOCK_EVENTS`; a request to forget always alone."""
        end, total = written, 0
        for seq, kind, events in self._db.execute(
            "SELECT seq, kind, events FROM entries WHERE seq > ? ORDER BY seq", (written,)
        ):
            if kind == "forget":
                return int(end if total else seq)
            if total and total + events > BLOCK_EVENTS:
                break
            end, total = seq, total + events
        return end

    def finish(self, block: Block) -> None:
        """The store has the block: drop it from the log."""
        with self._transaction():
            events, size = self._db.execute(
                "SELECT total(events), total(length(body)) FROM entries WHERE seq <= ?",
                (block.last_seq,),
            ).fetchone()
            self._db.execute("DELETE FROM entries WHERE seq <= ?", (block.last_seq,))
            self._db.execute("UPDATE writer SET written_seq = ?", (block.last_seq,))
            if block.forget:
                self._db.execute(
                    "UPDATE receipts SET finished_ms = ? WHERE receipt_id = ?",
                    (_now_ms(), block.forget.receipt_id),
                )
        if block.forget:
            with self._lock:  # the write-ahead file, too, still holds what was dropped
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.depth_events -= int(events)
        self._depth_bytes -= int(size)
        self.written_seq = block.last_seq

    def count_forgotten(self, receipt_id: str, events: int) -> None:
        """Put the number into the receipt, unless an attempt before a crash already has."""
        with self._transaction():
            self._db.execute(
                "UPDATE receipts SET events = ? WHERE receipt_id = ? AND events IS NULL",
                (events, receipt_id),
            )

    def receipts(self) -> list[Receipt]:
        """All requests to forget, oldest first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT receipt_id, project_id, accepted_ms, finished_ms, events"
                " FROM receipts ORDER BY accepted_ms, receipt_id"
            )
            return [Receipt(*row) for row in rows]

    # -- inside -----------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def _complete(batch: list[_Append], error: Exception | None) -> None:
    for append in batch:
        if append.done.done():  # the client has gone
            continue
        if error:
            append.done.set_exception(error)
        else:
            append.done.set_result(None)


def _id_hash(project_id: str, event_id: str) -> bytes:
    return blake2b(f"{project_id}\0{event_id}".encode(), digest_size=16).digest()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
