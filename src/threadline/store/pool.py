"""A bounded number of handles to the engine, each for one statement at a time."""

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from clickhouse_connect.driver.client import Client

from threadline.store.errors import StoreBusy

_logger = structlog.get_logger("threadline.store")


class Pool:
    """Handles are opened when they are first needed.

    A handle on which anything went wrong is thrown away: the embedded engine leaves what it had
    answered so far in it, and the next statement, perhaps another project's, would be given that.
    """

    def __init__(self, connect: Callable[[], Client], size: int) -> None:
        self._connect = connect
        # None: a place for a handle that is to be opened.
        self._places: queue.LifoQueue[Client | None] = queue.LifoQueue()
        for _ in range(size):
            self._places.put(None)

    @contextmanager
    def handle(self, wait_s: float | None = None) -> Iterator[Client]:
        """One handle for one statement. Raises `StoreBusy` if none is free within `wait_s`
        seconds (None: wait as long as it takes), and what connecting raises."""
        try:
            client = self._places.get(timeout=wait_s)
        except queue.Empty:
            raise StoreBusy(f"All handles were in use for {wait_s:g} s.") from None
        try:
            if client is None:
                client = self._connect()
            yield client
        except BaseException:
            if client is not None:
                _close(client)
                client = None
            raise
        finally:
            self._places.put(client)

    def close(self) -> None:
        """Close those that no statement uses now; what still runs ends with the process."""
        while True:
            try:
                client = self._places.get_nowait()
            except queue.Empty:
                return
            if client is not None:
                _close(client)


def _close(client: Client) -> None:
    try:
        client.close()
    except Exception as error:  # noqa: BLE001 - the handle is given up either way
        _logger.warning("handle_not_closed", error=str(error))
