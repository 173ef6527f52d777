"""The log: what is acknowledged is on disk here first.

`commits` has the thread that puts requests on disk, `records` reads and writes them, `opened_log`
has the file (`log_file`). The writer reads blocks from the other end and drops them when the store
has them.
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
from threadline.ingest.opened_log import OpenedLog
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


class Log(OpenedLog):
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
        super().__init__(folder, id_key)
        self._max_bytes = max_bytes
        self._holds_forgets = holds_forgets
        self._counting = threading.Lock()
        with log_file.damage_explained(folder):
            self._look_over()
        self._commits = Commits(self._write)
        self.notify, self.deliver_by = self._commits.notify, self._commits.deliver_by

    def _look_over(self) -> None:
        """What waits in it from before."""
        (written_seq,) = self._db.execute("SELECT written_seq FROM block").fetchone()
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
        super().close()

    # -- what comes in ----------------------------------------------------------------------

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

    def set_aside(self, refused: dead_letters.RefusedEvent, reason: str) -> None:
        """Put an event that the store refuses among the dead letters."""
        with self._transaction():
            dead_letters.set_aside(self._db, refused, reason)

    def lag_s(self) -> float:
        """How long the oldest record that is not in the store has been waiting."""
        try:
            return time.monotonic() - self._waiting[0][1]
        except IndexError:
            return 0.0

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

    @property
    def is_small(self) -> bool:
        """So little lies in it that rewriting its file holds nobody up."""
        return self.depth_bytes <= SMALL_BYTES

    @contextmanager
    def appending(self) -> Iterator[sqlite3.Connection]:
        """Its file, in one transaction that may add records."""
        with self._transaction():
            yield self._db
            last = max(records.last_seq(self._db), self.written_seq)
        self._count(0, 0, acked_seq=last)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
