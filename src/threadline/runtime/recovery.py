"""The server finishes what was interrupted: rebuilds that a killed command or server left."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog

from threadline.ingest.recovery import AtWork, alone, finish_rebuilds
from threadline.runtime.admin_socket import STATEMENT_S, SocketStore
from threadline.runtime.services import Services
from threadline.store import (
    REBUILD,
    Params,
    Row,
    Statements,
    Store,
    StoreBusy,
    store_url,
    unfinished,
)

LOOK_EVERY_S = 5.0
# After one that failed the wait doubles, up to this.
LONGEST_WAIT_S = 600.0
# A statement that still runs ends with the process, and is done again after the next start.
STOP_S = 2.0

_logger = structlog.get_logger("threadline.recovery")


@contextmanager
def interrupted_work_finished(services: Services) -> Iterator[None]:
    """Look for it now and again and again, on a thread of its own, as long as the block lasts.

    What a command is at work on has its lock, and is left to it.
    """
    stopping = threading.Event()
    thread = threading.Thread(
        target=_keep_finishing, args=(services, stopping), name="threadline-recovery", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(STOP_S)


def _keep_finishing(services: Services, stopping: threading.Event) -> None:
    wait_s = 0.0
    failures = 0
    while not stopping.wait(wait_s):
        try:
            if services.store.is_open:
                _look_and_finish(services, stopping)
        except _Stopping:
            return
        except StoreBusy:
            pass
        except Exception as error:  # noqa: BLE001 - it stays written down, the next time it may work
            if stopping.is_set():
                return
            failures += 1
            _logger.error("interrupted_work_failed", error=str(error), failures=failures)
        else:
            failures = 0
        wait_s = min(LOOK_EVERY_S * 2**failures, LONGEST_WAIT_S)


def _look_and_finish(services: Services, stopping: threading.Event) -> None:
    services.unfinished = unfinished(services.store)
    works = [work for work in services.unfinished if work.name == REBUILD]
    if not works:
        return
    folder = Path(services.settings.data)
    try:
        with alone(folder), _commands_store(services) as store:
            started = time.monotonic()
            tables = [work.subject for work in works]
            _logger.info("rebuild_resumed", tables=tables, since=works[0].since)
            until_stopping = _UntilStopping(store, stopping.is_set)
            finished = finish_rebuilds(until_stopping, folder, lambda: not stopping.is_set())
            took_s = round(time.monotonic() - started, 1)
    except AtWork:
        return
    services.unfinished = unfinished(services.store)
    _logger.info("rebuild_finished", tables=finished, seconds=took_s)


@contextmanager
def _commands_store(services: Services) -> Iterator[Statements]:
    """The store as commands reach it: by the admin socket a statement comes after those that a
    killed command left there."""
    folder = Path(services.settings.data)
    if services.settings.store.startswith("chdb"):
        yield SocketStore(folder)
        return
    url = store_url(services.settings.store, folder)
    with Store(url, query_seconds=STATEMENT_S) as store:
        yield store


class _Stopping(Exception):
    """The server stops."""


class _UntilStopping:
    """A store whose next statement is not carried out once the server stops."""

    def __init__(self, store: Statements, stopping: Callable[[], bool]) -> None:
        self._store = store
        self._stopping = stopping

    def query(self, sql: str, params: Params) -> list[Row]:
        self._check()
        return self._store.query(sql, params)

    def execute(self, sql: str, params: Params | None = None) -> None:
        self._check()
        self._store.execute(sql, params)

    def insert(
        self, table: str, columns: Sequence[str], format: str, body: bytes, token: str
    ) -> None:
        self._check()
        self._store.insert(table, columns, format, body, token)

    def _check(self) -> None:
        if self._stopping():
            raise _Stopping
