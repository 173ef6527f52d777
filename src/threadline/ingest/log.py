"""The log: what is acknowledged is on disk here first.

`commits` has the thread that puts requests on disk, `records` reads and writes them, `log_file`
opens the file. The writer reads blocks from the other end and drops them when the store has them.
"""

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from threadline.contract.errors import Unavailable
from threadline.ingest import dead_letters, log_file, receipts, records
from threadline.ingest.commits import Append, Commits, Done
from threadline.ingest.log_file import LogError, open_db
from threadline.ingest.receipts import Forgetting, Receipt
from threadline.ingest.records import Ahead, Block, ForgetRequest
from threadline.ingest.row import NO_ROWS, Positions, Rows

__all__ = ["Ahead", "Block", "Done", "ForgetRequest", "Log", "LogError", "open_db"]

# A record is read into memory whole.
RECORD_BYTES = 4 * 1024**2
LAG_STEP_S = 0.1
SMALL_BYTES = 8 * 1024**2
FORGET_WAITS = """
    SELECT 1 WHERE EXISTS (SELECT 1 FROM records WHERE kind = 'forget')
        OR EXISTS (SELECT 1 FROM held_forgets)"""
DEPTH = "total(events), total(length(body)) FILTER (WHERE kind = 'rows')"


def own_id_key(log_id: str) -> int:
    """What a log alone hashes event_ids with. Its id is random and stays in this file: nobody
    outside can know the key."""
    return int(log_id.replace("-", ""), 16) % 2**64


class Log:
    """Durable and in order. Bounded by `max_bytes` of records not yet written."""

    def __init__(
        self,
        folder: Path,
        max_bytes: int = 4 * 1024**3,
        id_key: int | None = None,
        holds_forgets: bool = False,
    ) -> None:
        """`id_key`: what event_ids are hashed with, where the control plane says it: logs of
        several machines have to recognise each other's ids, and one that is lost takes its own key
        with it. None: a key of its own, with which all ids are hashed that it knows.
        `holds_forgets`: requests to forget wait for what other nodes have acknowledged before.

        Raises `LogError`, or `SchemaTooNew`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._max_bytes = max_bytes
        self._shared_id_key = id_key
        self.shares_id_key = id_key is not None
        self._holds_forgets = holds_forgets
        self._lock = threading.Lock()  # one transaction at a time
        self._counting = threading.Lock()
        with log_file.damage_explained(folder):
            self._db = open_db(folder)
            self._open()
        # For whoever looks on: it waits for nobody, and nobody waits for it.
        self._reading = threading.Lock()
        self._reader = sqlite3.connect(
            f"{(folder / 'log.db').resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False
        )
        self._commits = Commits(self._write)
        self.notify, self.deliver_by = self._commits.notify, self._commits.deliver_by

    def _open(self) -> None:
        log_file.prepare(self._db)
        log_id, written_seq = self._db.execute("SELECT log_id, written_seq FROM block").fetchone()
        self.log_id = str(log_id)
        shared = self._shared_id_key
        self.id_key = own_id_key(self.log_id) if shared is None else shared
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
        self._commits.close()
        with self._reading:
            self._reader.close()
        self._db.close()

    # -- in through the door ----------------------------------------------------------------

    def append(self, rows: Rows, done: Done) -> None:
        """`done` completes when the rows are on disk.

        It fails with `Unavailable` if the disk refuses or the log is full.
        """
        self._enqueue(Append(rows, None, b"", done))

    def append_forget(self, request: ForgetRequest, id_hash: bytes, done: Done) -> None:
        """`done` completes when the request is on disk: all before it will be forgotten."""
        self._enqueue(Append(NO_ROWS, request, id_hash, done))

    def _enqueue(self, append: Append) -> None:
        if self.depth_bytes > self._max_bytes:
            append.done.set_exception(
                Unavailable("The log is full because the store does not keep up; try again.")
            )
        else:
            self._commits.put(append)

    def _write(self, batch: list[Append]) -> None:
        """The batch as records, in order."""
        appended = [append.rows for append in batch if not append.forget]
        with self._transaction():
            together: list[Rows] = []
            size = 0
            for append in batch:
                if together and (append.forget or size > RECORD_BYTES):
                    records.insert_rows(self._db, Rows.join(together))
                    together, size = [], 0
                if append.forget:
                    insert = records.hold_forget if self._holds_forgets else records.insert_forget
                    insert(self._db, append.forget, append.id_hash)
                else:
                    together.append(append.rows)
                    size += len(append.rows.body)
            if together:
                records.insert_rows(self._db, Rows.join(together))
            last = max(records.last_seq(self._db), self.written_seq)
        now = time.monotonic()
        is_new = last > self.acked_seq  # requests to forget may wait elsewhere
        if is_new and (not self._waiting or now - self._noted_at > LAG_STEP_S):
            self._waiting.append((last, now))
            self._noted_at = now
        size = sum(len(rows.body) for rows in appended)
        self._count(sum(rows.size for rows in appended), size, acked_seq=last)

    def _count(self, events: int, size: int, acked_seq: int = 0) -> None:
        """So many more, or fewer, lie in the log. What is acknowledged never goes back."""
        with self._counting:
            self.depth_events += events
            self.depth_bytes += size
            self.acked_seq = max(self.acked_seq, acked_seq)

    # -- the writer's side ------------------------------------------------------------------

    def next_block(self) -> Block | None:
        """The records after the last written ones. Once settled, the same ones until `finish`."""
        with self._transaction():
            return records.next_block(self._db, self.log_id)

    def settle(self, block: Block, duplicates: Positions, claim: int = 0) -> None:
        """From now on, and after a crash, this is the block and these rows are left out of it.
        `claim`: the number under which the ids of the others are about to be claimed."""
        with self._transaction():
            self._settle(block, duplicates.astype(np.uint32).tobytes(), claim)

    def _settle(self, block: Block, duplicates: bytes, claim: int = 0) -> None:
        sql = "UPDATE block SET end_seq = ?, duplicates = ?, claim = ?"
        self._db.execute(sql, (block.last_seq, duplicates, claim))
        self._db.execute(
            "UPDATE progress SET token = ?, moved_ms = max(moved_ms, ?)", (block.token, _now_ms())
        )

    def settle_part(self, start: int, end: int) -> None:
        """The settled block goes to the store in parts, and these rows are next; all before them
        is done. After a crash the very same rows go first."""
        with self._transaction():
            self._db.execute("UPDATE block SET part_start = ?, part_end = ?", (start, end))

    def set_aside(self, refused: dead_letters.Refused, reason: str) -> None:
        """Put an event that the store refuses among the dead letters."""
        with self._transaction():
            dead_letters.set_aside(self._db, refused, reason)

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
            if self._db.execute(FORGET_WAITS).fetchone():
                return 0
            bodies = dead_letters.take_marked(self._db)
            for body in bodies:
                records.insert_rows(self._db, Rows.one(body))
            last = records.last_seq(self._db)
        if bodies:
            self._count(len(bodies), sum(map(len, bodies)), acked_seq=last)
        return len(bodies)

    def finish(self, block: Block) -> None:
        """The store has the block, or has been told to forget: drop it from the log."""
        with self._transaction():
            events, size = self._db.execute(
                f"SELECT {DEPTH} FROM records WHERE seq <= ?", (block.last_seq,)
            ).fetchone()
            self._db.execute("DELETE FROM records WHERE seq <= ?", (block.last_seq,))
            self._db.execute(
                "UPDATE block SET written_seq = ?, duplicates = x'', part_start = 0, part_end = 0",
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
        with self._transaction():
            return records.ahead(self._db, block)

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
        """Appending waits meanwhile: better do it when the log `is_small`. Raises
        `sqlite3.Error`."""
        with self._lock:
            log_file.erase_free_pages(self._db)

    @property
    def is_small(self) -> bool:
        """So little lies in it that rewriting its file holds nobody up."""
        return self.depth_bytes <= SMALL_BYTES

    def receipts(self) -> list[Receipt]:
        """All requests to forget, oldest first."""
        with self._reading:
            return receipts.listed(self._reader)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Its file, for a look that waits for nobody."""
        with self._reading:
            yield self._reader

    @contextmanager
    def appending(self) -> Iterator[sqlite3.Connection]:
        """Its file, in one transaction that may add records."""
        with self._transaction():
            yield self._db
            last = max(records.last_seq(self._db), self.written_seq)
        self._count(0, 0, acked_seq=last)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock, log_file.transaction(self._db):
            yield


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
