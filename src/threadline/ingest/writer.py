"""The writer: takes blocks from the log to the store, in order, each exactly once."""

import threading
import time

import structlog

from threadline.ingest.forget import forget
from threadline.ingest.log import Block, Log
from threadline.ingest.row import COLUMNS
from threadline.store import Store, StoreError

# While nobody waits for it, the writer lets events gather this long: the store likes fewer, larger
# blocks. A reader that does wait is served at once.
GATHER_S = 0.2
RETRY_S = (0.1, 0.5, 1.0, 2.0, 5.0)

_logger = structlog.get_logger("threadline.writer")


class Writer:
    """A thread of its own between log and store."""

    def __init__(self, log: Log, store: Store) -> None:
        self._log = log
        self._store = store
        self._changed = threading.Condition()
        self._waiting_readers = 0
        self._closing = False
        self._last_write = 0.0
        log.notify(self._wake)
        self._thread = threading.Thread(target=self._run, name="threadline-writer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what is in the log, then stop. If the store refuses, it waits there for the next
        start."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def catch_up(self, timeout_s: float) -> bool:
        """Wait until all that was acknowledged before this call is in the store.

        False if that took longer than the timeout.
        """
        seq = self._log.acked_seq
        if self._log.written_seq >= seq:
            return True
        with self._changed:
            self._waiting_readers += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: self._log.written_seq >= seq, timeout_s)
            finally:
                self._waiting_readers -= 1

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        failures = 0
        while self._wait_for_work():
            try:
                self._write_next()
                failures = 0
            except StoreError as error:
                pause = RETRY_S[min(failures, len(RETRY_S) - 1)]
                if failures == 0:
                    _logger.error("store_refused_block", error=str(error))
                failures += 1
                with self._changed:
                    if self._closing:
                        return
                    self._changed.wait(pause)

    def _wait_for_work(self) -> bool:
        """True when there is something to write now, False when all is written and we close."""
        with self._changed:
            self._changed.wait_for(lambda: self._behind() or self._closing)
            gathered_until = self._last_write + GATHER_S
            self._changed.wait_for(
                lambda: self._closing or self._waiting_readers > 0,
                max(0.0, gathered_until - time.monotonic()),
            )
            return self._behind()

    def _behind(self) -> bool:
        return self._log.acked_seq > self._log.written_seq

    def _write_next(self) -> None:
        block = self._log.next_block()
        if block is None:
            return
        if block.forget:
            forget(self._store, self._log, block.forget)
        else:
            self._insert(block)
        self._log.finish(block)
        self._last_write = time.monotonic()
        with self._changed:
            self._changed.notify_all()

    def _insert(self, block: Block) -> None:
        columns = list(zip(*block.rows, strict=True))
        self._store.insert("events", COLUMNS, columns, block.token)
