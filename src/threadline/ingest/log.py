"""The log: what is acknowledged is on disk here first.

One thread commits, and takes with one fsync all requests that came while the last commit was on its
way to the disk. A request's future is done when its events are safe, not before. The writer reads
blocks from the other end and drops them when the store has them.
"""

import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol
from zlib import crc32

import msgspec
import numpy as np
import structlog

from threadline import migrations
from threadline.contract.errors import Unavailable
from threadline.enrich import time_ordered_id
from threadline.ingest import dead_letters, receipts
from threadline.ingest.receipts import Forgetting, Receipt
from threadline.ingest.row import COLUMNS, NO_ROWS, Positions, Rows

# A block is one INSERT: large enough for the store, small enough to be gone through in a second.
BLOCK_EVENTS = 100_000
BLOCK_BYTES = 32 * 1024**2
# A record is read into memory whole.
RECORD_BYTES = 4 * 1024**2
# Requests to forget that are carried out together.
BLOCK_FORGETS = 500
LAG_STEP_S = 0.1
# How long to wait for another process that has the file.
BUSY_S = 10
ERASE_BUSY_MS = 50
SMALL_BYTES = 8 * 1024**2
DEPTH = "total(events), total(length(body)) FILTER (WHERE kind = 'rows')"

_logger = structlog.get_logger("threadline.log")


class LogError(Exception):
    """The log cannot be opened; the message says what to do."""


class ForgetRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whom to forget: one of the two ids."""

    receipt_id: str
    project_id: str
    user_id: str | None = None
    anonymous_id: str | None = None


class Block(NamedTuple):
    """Consecutive records of the log: rows for one insert, or requests to forget (no rows).

    `repeats`: positions of rows to leave out; None until the writer has settled which.
    `part`: where the store does not take the block as a whole, the rows on their way, from and to;
    all before them is done. `plan`: what was found to be deleted for the requests; None until then.
    """

    last_seq: int
    token: str
    rows: Rows = NO_ROWS
    repeats: Positions | None = None
    part: tuple[int, int] | None = None
    forgets: tuple[ForgetRequest, ...] = ()
    plan: bytes | None = None


class Ahead(NamedTuple):
    """A record further on in the log: rows as they are encoded, or a request to forget."""

    seq: int
    body: bytes
    forget: ForgetRequest | None


class Done(Protocol):
    """What `asyncio.Future` and `concurrent.futures.Future` have in common."""

    def done(self) -> bool: ...

    def set_result(self, result: None, /) -> None: ...

    def set_exception(self, exception: BaseException, /) -> None: ...


class _Append(NamedTuple):
    rows: Rows
    forget: ForgetRequest | None
    id_hash: bytes
    done: Done


class Log:
    """Durable and in order. Bounded by `max_bytes` of records not yet written."""

    def __init__(self, folder: Path, max_bytes: int = 4 * 1024**3) -> None:
        """Raises `LogError`, or `SchemaTooNew`."""
        folder.mkdir(parents=True, exist_ok=True)
        self._max_bytes = max_bytes
        self._lock = threading.Lock()  # one transaction at a time
        self._counting = threading.Lock()
        with _damage_explained(folder):
            self._db = open_db(folder)
            self._open()
        self._on_commit: Callable[[], None] = lambda: None
        self._deliver: Callable[[Callable[[], None]], object] = lambda tell: tell()
        self._queue: queue.SimpleQueue[_Append | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="threadline-log", daemon=True)
        self._thread.start()
        # For whoever looks on: it waits for nobody, and nobody waits for it.
        self._reading = threading.Lock()
        self._reader = sqlite3.connect(
            f"{(folder / 'log.db').resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False
        )

    def _open(self) -> None:
        _refuse_old_entries(self._db)
        migrations.migrate_sqlite("The log (log.db)", self._db, "threadline.ingest")
        self._widen_old_rows()
        first = "INSERT OR IGNORE INTO block VALUES (1, ?, 0, 0, x'', 0, 0)"
        self._db.execute(first, (time_ordered_id(),))
        self._db.execute("INSERT OR IGNORE INTO progress VALUES (1, '', 0)")
        log_id, written_seq = self._db.execute("SELECT log_id, written_seq FROM block").fetchone()
        self.log_id = str(log_id)
        # The log's id is random and stays in this file: nobody outside can know the key.
        self.id_key = int(self.log_id.replace("-", ""), 16) % 2**64
        self.written_seq = int(written_seq)
        last, events, size = self._db.execute(f"SELECT max(seq), {DEPTH} FROM records").fetchone()
        self.acked_seq: int = last or self.written_seq
        self.depth_events, self.depth_bytes = int(events), int(size)
        # Since when which records wait, no finer than `LAG_STEP_S`.
        self._waiting = deque([(self.acked_seq, time.monotonic())] if events else [])
        self._noted_at = 0.0
        self.requeue_dead_letters()

    def close(self) -> None:
        """Commit what is queued, then close. Nothing may be appended any more."""
        self._queue.put(None)
        self._thread.join()
        with self._reading:
            self._reader.close()
        self._db.close()

    def notify(self, on_commit: Callable[[], None]) -> None:
        """Call this after every commit, from the log's thread."""
        self._on_commit = on_commit

    def deliver_by(self, deliver: Callable[[Callable[[], None]], object]) -> None:
        """Complete futures by way of this, as `loop.call_soon_threadsafe`: once for all requests
        of a commit, because waking an event loop costs a system call."""
        self._deliver = deliver

    # -- the door ---------------------------------------------------------------------------

    def append(self, rows: Rows, done: Done) -> None:
        """`done` completes when the rows are on disk.

        It fails with `Unavailable` if the disk refuses or the log is full.
        """
        self._enqueue(_Append(rows, None, b"", done))

    def append_forget(self, request: ForgetRequest, id_hash: bytes, done: Done) -> None:
        """`done` completes when the request is on disk: all before it will be forgotten."""
        self._enqueue(_Append(NO_ROWS, request, id_hash, done))

    def _enqueue(self, append: _Append) -> None:
        if self.depth_bytes > self._max_bytes:
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
        if not batch:
            return
        try:
            with self._transaction():
                events, size = self._write(batch)
                (last,) = self._db.execute("SELECT max(seq) FROM records").fetchone()
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread has to outlive it
            _logger.error("log_commit_failed", requests=len(batch), error=str(error))
            failed = Unavailable("The event could not be put on disk; try again.")
            self._deliver(lambda: _complete(batch, failed))
            return
        now = time.monotonic()
        if not self._waiting or now - self._noted_at > LAG_STEP_S:
            self._waiting.append((int(last), now))
            self._noted_at = now
        self._count(events, size, acked_seq=int(last))
        self._deliver(lambda: _complete(batch, None))
        self._on_commit()

    def _count(self, events: int, size: int, acked_seq: int = 0) -> None:
        """So many more, or fewer, lie in the log. What is acknowledged never goes back."""
        with self._counting:
            self.depth_events += events
            self.depth_bytes += size
            self.acked_seq = max(self.acked_seq, acked_seq)

    def _write(self, batch: list[_Append]) -> tuple[int, int]:
        """The batch as records, in order; events and bytes of it."""
        total_events, total_bytes = 0, 0
        together: list[Rows] = []
        size = 0
        for append in batch:
            if append.forget or size > RECORD_BYTES:
                self._insert_rows(together)
                together, size = [], 0
            if append.forget:
                self._insert_forget(append.forget, append.id_hash)
            else:
                together.append(append.rows)
                size += len(append.rows.body)
                total_bytes += len(append.rows.body)
                total_events += append.rows.size
        self._insert_rows(together)
        return total_events, total_bytes

    def _insert_rows(self, together: list[Rows]) -> None:
        if together:
            self._insert_record("rows", Rows.join(together))

    def _insert_forget(self, request: ForgetRequest, id_hash: bytes) -> None:
        receipts.add(self._db, request.receipt_id, request.project_id, id_hash)
        self._insert_record("forget", NO_ROWS._replace(body=msgspec.msgpack.encode(request)))

    def _insert_record(self, kind: str, rows: Rows) -> None:
        self._db.execute(
            "INSERT INTO records (kind, events, body, lengths, hashes, checksum)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (kind, rows.size, *rows, _checksum(rows)),
        )

    # -- the writer's side ------------------------------------------------------------------

    def next_block(self) -> Block | None:
        """The records after the last written ones. Once settled, the same ones until `finish`."""
        with self._transaction():
            written, end, repeats, *part = self._db.execute(
                "SELECT written_seq, end_seq, repeats, part_start, part_end FROM block"
            ).fetchone()
            settled = end > written
            if not settled:
                end = self._choose_end(written)
            found = self._db.execute(
                "SELECT kind, seq, checksum, body, lengths, hashes FROM records"
                " WHERE seq > ? AND seq <= ? ORDER BY seq",
                (written, end),
            ).fetchall()
            records = [
                self._checked(kind, seq, checksum, Rows(*parts))
                for kind, seq, checksum, *parts in found
            ]
            (token,) = self._db.execute("SELECT token FROM progress").fetchone()
            plan = receipts.plan(self._db, end)
        if not records:
            return None
        if not settled:
            # Of what lies in it: should the file ever be set back, other rows under the same number
            # are not taken for these.
            sums = b"".join(checksum.to_bytes(4, "little") for _, _, checksum, *_ in found)
            token = f"{self.log_id}-{end}-{crc32(sums):08x}"
        if found[0][0] == "forget":
            decoder = msgspec.msgpack.Decoder(ForgetRequest)
            requests = tuple(decoder.decode(record.body) for record in records if record.body)
            return Block(end, token, forgets=requests, plan=plan)
        known = np.frombuffer(repeats, dtype=np.uint32).astype(np.intp) if settled else None
        return Block(end, token, Rows.join(records), known, (part[0], part[1]) if part[1] else None)

    def _choose_end(self, written: int) -> int:
        """Rows together up to `BLOCK_EVENTS` or `BLOCK_BYTES`; requests to forget together, apart
        from rows."""
        end, events_so_far, bytes_so_far, forgets = written, 0, 0, 0
        for seq, kind, events, size in self._db.execute(
            "SELECT seq, kind, events, length(body) FROM records WHERE seq > ? ORDER BY seq",
            (written,),
        ):
            if kind == "forget":
                if events_so_far or forgets == BLOCK_FORGETS:
                    break
                forgets += 1
            elif forgets:
                break
            events_so_far += events
            bytes_so_far += size
            if events_so_far > events and (
                events_so_far > BLOCK_EVENTS or bytes_so_far > BLOCK_BYTES
            ):
                break
            end = seq
        return end

    def _checked(self, kind: str, seq: int, checksum: int, rows: Rows) -> Rows:
        """The record's rows, or none in place of those that were damaged on disk."""
        if _checksum(rows) == checksum:
            return rows
        _logger.error("log_record_damaged", seq=seq, kind=kind, events=rows.size)
        letter_id = f"{self.log_id}-damaged-{seq}"
        name = f"{rows.size} events" if kind == "rows" else "a request to forget"
        dead_letters.set_aside(
            self._db,
            dead_letters.Letter(letter_id, "", "", name, rows.body),
            "The record does not match its checksum: the disk returned something else than was "
            "written.",
        )
        return NO_ROWS

    def settle(self, block: Block, repeats: Positions) -> None:
        """From now on, and after a crash, this is the block and these rows are left out of it."""
        with self._transaction():
            self._settle(block, repeats.astype(np.uint32).tobytes())

    def _settle(self, block: Block, repeats: bytes) -> None:
        self._db.execute("UPDATE block SET end_seq = ?, repeats = ?", (block.last_seq, repeats))
        self._db.execute(
            "UPDATE progress SET token = ?, moved_ms = max(moved_ms, ?)", (block.token, _now_ms())
        )

    def settle_part(self, start: int, end: int) -> None:
        """The settled block goes to the store in parts, and these rows are next; all before them
        is done. After a crash the very same rows go first."""
        with self._transaction():
            self._db.execute("UPDATE block SET part_start = ?, part_end = ?", (start, end))

    def set_aside(self, letter: dead_letters.Letter, reason: str) -> None:
        """Put an event that the store refuses among the dead letters."""
        with self._transaction():
            dead_letters.set_aside(self._db, letter, reason)

    def lag_s(self) -> float:
        """How long the oldest record that is not in the store has been waiting."""
        try:
            return time.monotonic() - self._waiting[0][1]
        except IndexError:
            return 0.0

    def count_dead_letters(self) -> int:
        """Those there are now."""
        with self._reading:
            return dead_letters.count(self._reader)

    def count_unfinished_forgets(self) -> int:
        """Requests to forget that are not carried out yet."""
        with self._reading:
            return receipts.count_unfinished(self._reader)

    def count_forgets_on_disk(self) -> int:
        """Those that no answer shows any more, but the disk still does."""
        with self._reading:
            return receipts.count_on_disk(self._reader)

    def requeue_dead_letters(self) -> int:
        """Take those that are marked for another try back into the log; how many.

        Not while a request to forget waits: it covers them, and would then come before them.
        """
        with self._transaction():
            if self._db.execute("SELECT 1 FROM records WHERE kind = 'forget' LIMIT 1").fetchone():
                return 0
            bodies = dead_letters.take_marked(self._db)
            for body in bodies:
                self._insert_record("rows", Rows.one(body))
            (last,) = self._db.execute("SELECT max(seq) FROM records").fetchone()
        if bodies:
            self._count(len(bodies), sum(map(len, bodies)), acked_seq=int(last))
        return len(bodies)

    def finish(self, block: Block) -> None:
        """The store has the block, or has been told to forget: drop it from the log."""
        with self._transaction():
            events, size = self._db.execute(
                f"SELECT {DEPTH} FROM records WHERE seq <= ?", (block.last_seq,)
            ).fetchone()
            self._db.execute("DELETE FROM records WHERE seq <= ?", (block.last_seq,))
            self._db.execute(
                "UPDATE block SET written_seq = ?, repeats = x'', part_start = 0, part_end = 0",
                (block.last_seq,),
            )
            receipts.deleting(self._db, block.last_seq)
        self._count(-int(events), -int(size))
        while self._waiting and self._waiting[0][0] <= block.last_seq:
            self._waiting.popleft()
        if block.forgets and self.is_small:
            # At once where it costs nothing; when all is erased, in any case.
            with suppress(sqlite3.Error):
                self._erase_free_pages()
        self.written_seq = block.last_seq

    @property
    def moved_ms(self) -> int:
        """The latest time at which anything went to the store, since 1970; 0: never."""
        with self._reading:
            (moved_ms,) = self._reader.execute("SELECT moved_ms FROM progress").fetchone()
        return int(moved_ms)

    def move(self, at_ms: int) -> None:
        """The store has what came until then."""
        with self._transaction():
            self._db.execute("UPDATE progress SET moved_ms = max(moved_ms, ?)", (at_ms,))

    # -- forgetting -------------------------------------------------------------------------

    def ahead(self, block: Block) -> list[Ahead]:
        """What lies behind the block, up to the last request to forget, if that is soon looked
        through."""
        found: list[Ahead] = []
        size = 0
        with self._transaction():
            sql = "SELECT max(seq) FROM records WHERE kind = 'forget' AND seq > ?"
            (last,) = self._db.execute(sql, (block.last_seq,)).fetchone()
            for seq, kind, checksum, *parts in self._db.execute(
                "SELECT seq, kind, checksum, body, lengths, hashes FROM records"
                " WHERE seq > ? AND seq <= ? ORDER BY seq",
                (block.last_seq, last or 0),
            ):
                rows = Rows(*parts)
                size += len(rows.body)
                if size > BLOCK_BYTES or len(found) > BLOCK_FORGETS or _checksum(rows) != checksum:
                    break
                request = None
                if kind == "forget":
                    request = msgspec.msgpack.decode(rows.body, type=ForgetRequest)
                found.append(Ahead(seq, b"" if request else rows.body, request))
        return found

    def plan(
        self,
        block: Block,
        early: Sequence[int],
        plan: bytes,
        events: Mapping[str, int],
        letters: Sequence[dead_letters.Whose],
    ) -> None:
        """From now on, and after a crash, this is what is deleted for the block's requests, and for
        those in the records `early`, which are not ahead any more.

        `events`: how many, by receipt. `letters`: which dead letters go, too."""
        with self._transaction():
            self._settle(block, b"")
            receipts.begin(self._db, block.last_seq, plan, events)
            self._db.executemany("DELETE FROM records WHERE seq = ?", [(seq,) for seq in early])
            for whose in letters:
                dead_letters.forget(self._db, whose)

    def forgettings(self) -> list[Forgetting]:
        """What the store has been told to delete and this log has not struck off yet."""
        with self._reading:
            return receipts.under_way(self._reader)

    def forgotten(self, seqs: Sequence[int]) -> None:
        """The store has nothing any more of those that were forgotten in these blocks."""
        with self._transaction():
            receipts.gone(self._db, seqs)

    def erase(self, seqs: Sequence[int]) -> None:
        """Nor has this file. Raises `sqlite3.Error`."""
        self._erase_free_pages()
        with self._transaction():
            receipts.erased(self._db, seqs)

    def _erase_free_pages(self) -> None:
        """Deleted records stay readable in the file's free pages, and in the write-ahead file.

        Rewriting all that lies in the log takes its time, and appending waits meanwhile: better do
        it when the log `is_small`. Raises `sqlite3.Error`."""
        with self._lock:
            self._db.execute(f"PRAGMA busy_timeout = {ERASE_BUSY_MS}")
            try:
                self._db.execute("VACUUM")
                (busy, *_) = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                self._db.execute(f"PRAGMA busy_timeout = {BUSY_S * 1000}")
        if busy:
            raise sqlite3.OperationalError("Another process reads the log.")

    @property
    def is_small(self) -> bool:
        """So little lies in it that rewriting its file holds nobody up."""
        return self.depth_bytes <= SMALL_BYTES

    def receipts(self) -> list[Receipt]:
        """All requests to forget, oldest first."""
        with self._reading:
            return receipts.listed(self._reader)

    # -- inside -----------------------------------------------------------------------------

    def _widen_old_rows(self) -> None:
        """What an older version left here gets the columns that this one knows besides."""
        (columns,) = self._db.execute("SELECT columns FROM row_columns").fetchone()
        if columns == len(COLUMNS):
            return
        with self._transaction():
            seqs = self._db.execute("SELECT seq FROM records WHERE kind = 'rows'").fetchall()
            for seq in seqs:
                checksum, *parts = self._db.execute(
                    "SELECT checksum, body, lengths, hashes FROM records WHERE seq = ?", seq
                ).fetchone()
                if _checksum(Rows(*parts)) == checksum:  # else it is set aside when its turn comes
                    rows = Rows(*parts).migrated(columns)
                    self._db.execute(
                        "UPDATE records SET body = ?, lengths = ?, hashes = ?, checksum = ?"
                        " WHERE seq = ?",
                        (*rows, _checksum(rows), *seq),
                    )
            dead_letters.widen(self._db, columns)
            self._db.execute("UPDATE row_columns SET columns = ?", (len(COLUMNS),))

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


def open_db(folder: Path) -> sqlite3.Connection:
    """The log's file, as every process that looks into it has to open it."""
    db = sqlite3.connect(
        folder / "log.db", isolation_level=None, check_same_thread=False, timeout=BUSY_S
    )
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    # Overwrites what is deleted where that costs nothing; `Log.erase` does the rest.
    db.execute("PRAGMA secure_delete = FAST")
    return db


@contextmanager
def _damage_explained(folder: Path) -> Iterator[None]:
    """Raises `LogError` where the file is no database, or a broken one."""
    try:
        yield
    except sqlite3.OperationalError:
        raise  # the disk is full, the file locked: nothing is wrong with it
    except sqlite3.DatabaseError as error:
        raise LogError(
            f"{folder / 'log.db'} is damaged ({error}). Put a copy of it in its place, together "
            "with log.db-wal; or move both away: then acknowledged events that are not in the "
            "store yet are lost, and event_ids from before count again."
        ) from error


def _refuse_old_entries(db: sqlite3.Connection) -> None:
    """Schema 1 kept events in another form. After a clean stop it holds none."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'").fetchone():
        return
    if db.execute("SELECT 1 FROM entries").fetchone():
        raise LogError(
            "The log holds events that an older Threadline acknowledged and could not write before "
            "it stopped. Start that version once more and stop it with Ctrl-C; then start this one."
        )


def _checksum(rows: Rows) -> int:
    return crc32(rows.hashes, crc32(rows.lengths, crc32(rows.body)))


def _complete(batch: list[_Append], error: Exception | None) -> None:
    for append in batch:
        if append.done.done():  # the client has gone
            continue
        if error:
            append.done.set_exception(error)
        else:
            append.done.set_result(None)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
