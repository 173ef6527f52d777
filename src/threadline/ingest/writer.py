"""The writer: takes blocks from the log to the store, in order, each exactly once."""

import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import structlog

from threadline.control.others import NOBODY, KnownLog, Others
from threadline.ingest import anonymise, claims, continuity, counted_states, forget, inserting
from threadline.ingest.dedup import Dedup
from threadline.ingest.erase import Eraser
from threadline.ingest.failing import Failing
from threadline.ingest.log import Block, Log
from threadline.ingest.row import Hashes, Positions, Rows
from threadline.jobs.locks import INSERTING, wait_for
from threadline.metrics import Metrics
from threadline.store import Store

# While nobody waits for them, the writer lets events gather this long from the first on: the store
# likes fewer, larger blocks. A reader that does wait is served at once.
GATHER_S = 0.2
# After this long a store that fails is taken for away, and is tried only once for who waits.
AWAY_S = 1.0
ONE_TRY_S = 0.5
# How often to look whether somebody wants a dead letter tried again.
LOOK_AROUND_S = 1.0

_logger = structlog.get_logger("threadline.writer")


class Writer:
    """A thread of its own between log and store."""

    def __init__(
        self,
        log: Log,
        store: Store,
        dedup_days: int = 7,
        metrics: Metrics | None = None,
        others: Others = NOBODY,
        before: KnownLog | None = None,
    ) -> None:
        """`others`: that write into the same store. `before`: what they know of this one."""
        self._log = log
        self._store = store
        self._metrics = metrics or Metrics()
        self._dedup = Dedup(store, dedup_days)
        self._others = others
        self._before = before
        self._claims = claims.Claims(store, self._dedup)
        self._changed = threading.Condition()
        self._waiting_readers = 0
        self._closing = False
        self._looked_around = 0.0
        # On the clock that nobody sets.
        self._failing = Failing(self._metrics, is_away=not store.is_open)
        self._deciding = threading.Lock()
        self._inserting = threading.Lock()
        self._begun = False
        log.notify(self.wake)
        self._eraser = Eraser(log, store, lambda: self._inserting)
        self._thread = threading.Thread(target=self._run, name="threadline-writer", daemon=True)
        self._thread.start()

    @property
    def failing_since(self) -> float | None:
        """As `Failing.since`."""
        return self._failing.since

    def close(self) -> None:
        """Write what is in the log, then stop. If the store refuses, it waits there for the next
        start."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        self._eraser.close()

    @contextmanager
    def no_inserts(self) -> Iterator[None]:
        """Nothing gets into the store as long as the block lasts, not even of other processes and
        nodes; what is acknowledged waits in the log. Raises `ControlFileError`."""
        with self._alone_here(), self._others.nobody_inserts():
            yield

    @contextmanager
    def deciding(self) -> Iterator[None]:
        """Decisions about identity are made one by one, and forgetting somebody is one. Raises
        `ControlFileError`."""
        with self._deciding, self._others.deciding():
            yield

    @contextmanager
    def _alone_here(self) -> Iterator[None]:
        """No other thread or process inserts what this log has."""
        with self._inserting, wait_for(self._log.folder / INSERTING):
            yield

    def forget_ids(self, hashes: Hashes) -> None:
        """Take these event_ids for new should they come again. Raises `StoreError`."""
        self._dedup.forget(hashes)

    def erase(self) -> "Future[None]":
        """As `Eraser.erase`."""
        return self._eraser.erase()

    def catch_up(self, timeout_s: float) -> bool:
        """Wait until all that was acknowledged before this call is in the store.

        False if that took longer than the timeout, or if the store is still away.
        """
        seq = self._log.acked_seq
        if self._log.written_seq >= seq:
            return True
        since = self.failing_since
        if since is not None and time.monotonic() - since > AWAY_S:
            timeout_s = min(timeout_s, ONE_TRY_S)
        with self._changed:
            self._waiting_readers += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: self._log.written_seq >= seq, timeout_s)
            finally:
                self._waiting_readers -= 1

    @contextmanager
    def held(self) -> Iterator[None]:
        """Between two blocks, and nobody decides anything: as long as the block lasts, the store
        has what the log says it has. Events are acknowledged meanwhile, questions that wait for
        them wait."""
        with self.no_inserts(), self.deciding():
            yield

    def wake(self) -> None:
        """There may be something to write."""
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        while self._wait_for_work():
            try:
                reached = self._write_next()
            except Exception as error:  # noqa: BLE001 - counted and said, whatever it is
                pause_s = self._failing.again(error)
                with self._changed:
                    if self._closing:
                        return
                    self._changed.wait(pause_s)
            else:
                if reached:
                    self._failing.is_over()

    def _wait_for_work(self) -> bool:
        """True when there may be something to write now, False when all is written and we close."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._behind() or self._closing or not self._begun, LOOK_AROUND_S
            )
            if self._behind():
                self._changed.wait_for(lambda: self._closing or self._waiting_readers > 0, GATHER_S)
            return self._behind() or not self._closing

    def _behind(self) -> bool:
        return self._log.acked_seq > self._log.written_seq

    def _write_next(self) -> bool:
        """Whether the store was there for anything."""
        looked = time.monotonic() - self._looked_around > LOOK_AROUND_S
        if looked:
            with self._inserting:  # not while the store changes over to other nodes
                self._look_around()
        block = self._log.next_block() if self._behind() else None
        if block is None:
            return looked
        if block.forgets:
            with self.no_inserts():
                self._forget(block)
                self._log.finish(block)
            self._eraser.wake()
        else:
            with self._alone_here():
                self._write(block)
                self._log.finish(block)
        with self._changed:
            self._changed.notify_all()
        return True

    def _look_around(self) -> None:
        self._looked_around = time.monotonic()
        self._store.open()
        if self._others.are_there:
            self._claims.begin()
        self._dedup.look_around()
        if not self._begun:
            self._metrics.logs_lost.set(continuity.check(self._store, self._log, self._before))
            self._begun = True
            self._eraser.wake()
        if taken := self._log.requeue_dead_letters():
            _logger.info("dead_letters_retried", events=taken)

    def _write(self, block: Block) -> None:
        # What was cut off may have brought some of its events into the store.
        was_tried = block.duplicates is not None
        rows, token = self._claimed(block) if self._others.are_there else self._new(block)
        with self._others.inserting():
            # What goes in parts is told by its places in the block as it was settled.
            self._insert(rows, token, block.part if token == block.token else None)
        if was_tried:
            with self._others.nobody_inserts():
                counted_states.mend(self._store, block.rows.months())

    def _forget(self, block: Block) -> None:
        """What has to go is settled before the first try, as duplicates are, because the first try
        takes away by what it is found."""
        with self._deciding, self._others.forgetting():
            if block.plan is None:
                ahead = self._log.ahead(block)
                found, early = forget.find_ahead(
                    self._store, self._log.id_key, block.forgets, ahead
                )
                shares = found.shares
                if any(request.anonymise for request in block.forgets):
                    for share in shares:
                        share.secret = secrets.token_bytes(anonymise.SECRET_BYTES)
                self._log.plan(block, early, forget.encode(shares), found.events, found.letters)
            else:
                shares = forget.decode(block.plan)
            for share in shares:
                if share.secret:
                    anonymise.copy(self._store, share)
            forget.delete(self._store, self._dedup, shares)

    def _new(self, block: Block) -> tuple[Rows, str]:
        """The rows that are not duplicates, and the token for them. Duplicates are settled before
        the first try, so that every try after it, also after a crash, inserts the same under the
        same token."""
        duplicates = block.duplicates
        if duplicates is None:
            duplicates = self._dedup.duplicates(block.rows.event_hashes())
            self._settle(block, duplicates)
        rows = block.rows.without(duplicates)
        self._dedup.remember(rows.event_hashes(), block.token)
        return rows, block.token

    def _claimed(self, block: Block) -> tuple[Rows, str]:
        """The same where other nodes write: what is settled holds once the ids are claimed. Until
        then nothing of the block went to the store, and others may have claimed some of them."""
        with self._others.turn(self._claims.after) as turn:
            self._claims.follow(turn)
            if block.duplicates is not None:
                rows = block.rows.without(block.duplicates)
                if not rows.event_hashes().any() or self._claims.are_made(block.claim):
                    if turn.number - block.claim <= claims.BLOCKS_KNOWN:
                        return rows, block.token
                    return self._late(rows, block)
            duplicates = self._dedup.duplicates(block.rows.event_hashes())
            self._settle(block, duplicates, turn.number)
            rows = block.rows.without(duplicates)
            self._claims.make(rows.event_hashes(), turn.number)
            return rows, block.token

    def _late(self, rows: Rows, block: Block) -> tuple[Rows, str]:
        """Others have written so many blocks since that the store may not know this one again."""
        left = claims.missing(self._store, rows)
        _logger.warning("late_block", events=rows.size, missing=left.size, token=block.token)
        return left, f"{block.token}-late"

    def _settle(self, block: Block, duplicates: Positions, claim: int = 0) -> None:
        self._log.settle(block, duplicates, claim)
        self._metrics.duplicates.inc(len(duplicates))

    def _insert(self, rows: Rows, token: str, part: tuple[int, int] | None) -> None:
        if rows.size:
            with self._metrics.insert_s.time():
                inserting.insert(self._store, self._log, rows, token, part)
            self._metrics.written.inc(rows.size)
