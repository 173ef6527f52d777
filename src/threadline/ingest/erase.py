"""The rest of forgetting, beside inserts and questions: waits until the store has rewritten what
held the forgotten, then erases the log's file, then the receipts say that it is done."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import structlog

from threadline.ingest import forget, unused_traffic_sources
from threadline.ingest.log import Log
from threadline.ingest.receipts import GONE, Forgetting
from threadline.store import Store, StoreError

LOOK_AGAIN_S = 0.05
# Looking takes some of what the rewriting needs, so of what takes long it is done less often.
LONGEST_LOOK_S = 0.5
# Questions take parts and what is noted of them within so long (`Store.strike_off`).
STRIKE_OFF_S = 1.0
# After a failure.
RETRY_S = 1.0
# How often to say that something still stands in the way.
SAY_AGAIN_S = 60.0
# How long to wait for a moment in which little lies in the log.
QUIET_WITHIN_S = 60.0
# What is under way when the server is stopped may take so long; then the next start goes on.
CLOSE_S = 5.0
# A backup reads the log, too. So long nothing is said of it.
READ_WITHIN_S = 30.0

TABLES = (
    *forget.DELETED,
    *forget.DECISIONS,
    "event_ids",
    "traffic_sources",
    "names",
    "unfinished_work",
)
PARTS = """
    SELECT table, path FROM system.parts
    WHERE database = currentDatabase() AND table IN {tables:Array(String)}"""
OLD_PARTS = f"{PARTS} AND NOT active"
NEW_PARTS = f"{PARTS} AND active AND modification_time >= now() - INTERVAL 1 HOUR"

MERGES = """
    SELECT DISTINCT table FROM system.merges
    WHERE database = currentDatabase() AND table IN {tables:Array(String)}"""
# Something else on the table had to go first.
PUT_OFF = "ABORTED"

_logger = structlog.get_logger("threadline.forget")


class _Stopped(Exception):
    """There is no more time; the next start goes on."""


class Eraser:
    """A thread of its own."""

    def __init__(
        self, log: Log, store: Store, no_inserts: Callable[[], AbstractContextManager[object]]
    ) -> None:
        """`no_inserts`: nothing gets into the store as long as the block lasts."""
        self._log = log
        self._store = store
        self._no_inserts = no_inserts
        self._changed = threading.Condition()
        self._closing_at: float | None = None
        self._asked: list[Future[None]] = []
        self._work = True
        self._said_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="threadline-eraser", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is something to do."""
        with self._changed:
            self._work = True
            self._changed.notify_all()

    def erase(self) -> "Future[None]":
        """Have all taken off the disk that was deleted by now, from the store and from the log.
        Cancelled where the server stops before; then it has to be asked for again."""
        done: Future[None] = Future()
        with self._changed:
            self._asked.append(done)
        self.wake()
        return done

    def close(self) -> None:
        """Finish what is under way if that does not take long."""
        with self._changed:
            self._closing_at = time.monotonic() + CLOSE_S
            self._changed.notify_all()
        self._thread.join()
        for done in self._asked:
            done.cancel()

    def _run(self) -> None:
        while self._wait_for_work():
            try:
                if self._store.is_open:
                    asked = list(self._asked)
                    self._erase(self._log.forgettings(), bool(asked))
                    for done in asked:
                        self._asked.remove(done)
                        done.set_result(None)
                self._said_at = None
            except _Stopped:
                return
            except Exception as error:  # noqa: BLE001 - said, and tried again
                self._say("forget_delayed", error, bug=not isinstance(error, StoreError))
                if self._closed(RETRY_S):
                    return
                self.wake()

    def _wait_for_work(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._work or self._closing_at is not None)
            work, self._work = self._work, False
            return work

    def _closed(self, after_s: float) -> bool:
        """Wait; whether there is no more time because the server stops."""
        with self._changed:
            if self._closing_at is None:
                self._changed.wait_for(lambda: self._closing_at is not None, after_s)
            else:
                self._changed.wait(min(after_s, max(0.0, self._closing_at - time.monotonic())))
            return self._closing_at is not None and time.monotonic() >= self._closing_at

    def _erase(self, forgettings: Sequence[Forgetting], asked: bool) -> None:
        """`asked`: whether or not anybody is forgotten. Raises `StoreError`."""
        deleting = [forgetting for forgetting in forgettings if forgetting.stage != GONE]
        if deleting or asked:
            # Names first: they are all that is still to be seen, by who asks in SQL.
            for share in (share for one in deleting for share in forget.decode(one.plan)):
                unused_traffic_sources.delete(
                    self._store, share.project_id, share.traffic_sources, self._no_inserts
                )
            self._await_deletions()
            self._store.erase_deleted()
            self._await_deletions()
            for node in self._store.nodes:
                self._drop_old_parts(node)
        self._strike_off()
        if deleting:
            self._log.forgotten([forgetting.last_seq for forgetting in deleting])
        if forgettings or asked:
            self._erase_log([forgetting.last_seq for forgetting in forgettings])

    def _await_deletions(self) -> None:
        """Those under way now; more may be added meanwhile."""
        awaited = set(self._store.deletions())
        pause_s = LOOK_AGAIN_S
        while awaited:
            if self._closed(pause_s):
                raise _Stopped
            pause_s = min(2 * pause_s, LONGEST_LOOK_S)
            left = self._store.deletions()
            awaited &= left.keys()
            for deletion in awaited:
                if left[deletion] and PUT_OFF not in left[deletion]:
                    self._say("forget_delayed", f"{deletion.table}: {left[deletion]}")

    def _strike_off(self) -> None:
        """The engine's notes of what was deleted, also by versions that left them there."""
        done = [(node, node.carried_out()) for node in self._store.nodes]
        if any(deletions for _, deletions in done):
            if self._closed(STRIKE_OFF_S):
                raise _Stopped
            for node, deletions in done:
                node.strike_off(deletions)

    def _drop_old_parts(self, store: Store) -> None:
        """The engine keeps parts that it has rewritten for a while. Those in its own folder go now,
        after what took their place is on the disk; a server sees to it within minutes."""
        old = _parts(store, OLD_PARTS, TABLES)
        for parts in _parts(store, NEW_PARTS, old).values():
            for part in parts:
                _sync_part(part)
        while old:
            merging = {row["table"] for row in store.query(MERGES, {"tables": [*old]})}
            for table in old.keys() - merging:
                # Of all that drops nothing, this looks for parts to clean up, too. But it stops
                # merges, and a long one would never come to its end.
                store.execute(f"ALTER TABLE {table} DROP PARTITION ID 'none'")
            left = {table: {part for part in old[table] if part.is_dir()} for table in old}
            old = {table: parts for table, parts in left.items() if parts}
            if old and self._closed(RETRY_S):
                raise _Stopped

    def _erase_log(self, seqs: Sequence[int]) -> None:
        latest = time.monotonic() + QUIET_WITHIN_S
        tried_at = 0.0
        while True:
            if self._log.is_small or time.monotonic() > latest:
                tried_at = tried_at or time.monotonic()
                try:
                    self._log.erase(seqs)
                    return
                except sqlite3.Error as error:
                    if time.monotonic() - tried_at > READ_WITHIN_S:
                        self._say("log_not_erased", error)
            if self._closed(LOOK_AGAIN_S):
                raise _Stopped

    def _say(self, what: str, error: object, bug: bool = False) -> None:
        """That requests to forget take longer, and why; not more often than anybody reads."""
        now = time.monotonic()
        if self._said_at is None or now - self._said_at > SAY_AGAIN_S:
            self._said_at = now
            _logger.error(what, error=str(error), exc_info=bug)


def _parts(store: Store, sql: str, tables: Iterable[str]) -> dict[str, set[Path]]:
    """Those of these tables that are in this machine's folders."""
    found: dict[str, set[Path]] = {}
    for row in store.query(sql, {"tables": [*tables]}):
        path = Path(row["path"])
        if path.is_dir():
            found.setdefault(row["table"], set()).add(path)
    return found


def _sync_part(part: Path) -> None:
    """Have it on the disk, unless another has taken its place meanwhile."""
    with suppress(FileNotFoundError):
        for path in (*part.iterdir(), part, part.parent):
            opened = os.open(path, os.O_RDONLY)
            try:
                os.fsync(opened)
            finally:
                os.close(opened)
