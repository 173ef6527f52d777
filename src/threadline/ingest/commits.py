"""Group commit: one thread takes with one fsync all requests that came while the last commit was on
its way to the disk. A request's future is done when its events are safe, not before."""

import queue
import threading
from collections.abc import Callable
from typing import NamedTuple, Protocol

import structlog

from threadline.contract.errors import Unavailable
from threadline.ingest.records import ForgetRequest
from threadline.ingest.row import Rows

_logger = structlog.get_logger("threadline.log")


class Done(Protocol):
    """What `asyncio.Future` and `concurrent.futures.Future` have in common."""

    def done(self) -> bool: ...

    def set_result(self, result: None, /) -> None: ...

    def set_exception(self, exception: BaseException, /) -> None: ...


class Append(NamedTuple):
    """Rows, or a request to forget, and who waits for it to be on disk."""

    rows: Rows
    forget: ForgetRequest | None
    id_hash: bytes
    done: Done


class Commits:
    """The thread."""

    def __init__(self, write: Callable[[list[Append]], None]) -> None:
        """`write`: puts requests on disk, all or none."""
        self._write = write
        self._on_commit: Callable[[], None] = lambda: None
        self._deliver: Callable[[Callable[[], None]], object] = lambda complete: complete()
        self._queue: queue.SimpleQueue[Append | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="threadline-log", daemon=True)
        self._thread.start()

    def put(self, append: Append) -> None:
        """Have it written with the next commit."""
        self._queue.put(append)

    def close(self) -> None:
        """Commit what is queued, then stop."""
        self._queue.put(None)
        self._thread.join()

    def notify(self, on_commit: Callable[[], None]) -> None:
        """Call this after every commit, from this thread."""
        self._on_commit = on_commit

    def deliver_by(self, deliver: Callable[[Callable[[], None]], object]) -> None:
        """Complete futures by way of this, as `loop.call_soon_threadsafe`: once for all requests
        of a commit, because waking an event loop costs a system call."""
        self._deliver = deliver

    def _run(self) -> None:
        running = True
        while running:
            batch = [self._queue.get()]
            while not self._queue.empty():
                batch.append(self._queue.get())
            running = None not in batch
            self._commit([append for append in batch if append is not None])

    def _commit(self, batch: list[Append]) -> None:
        if not batch:
            return
        try:
            self._write(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread has to outlive it
            _logger.error("log_commit_failed", requests=len(batch), error=str(error))
            failed = Unavailable("The event could not be put on disk; try again.")
            self._deliver(lambda: _complete(batch, failed))
            return
        self._deliver(lambda: _complete(batch, None))
        self._on_commit()


def _complete(batch: list[Append], error: Exception | None) -> None:
    for append in batch:
        if append.done.done():  # the client has gone
            continue
        if error:
            append.done.set_exception(error)
        else:
            append.done.set_result(None)
