"""Work that is done again and again beside the requests."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

_logger = structlog.get_logger("threadline")


@contextmanager
def repeated(work: Callable[[], None], every_s: float, name: str) -> Iterator[None]:
    """Have it done now and again, on a thread of its own, as long as the block lasts. What goes
    wrong is logged as `{name}_failed`, and tried again the next time."""
    stopping = threading.Event()

    def run() -> None:
        while True:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - the next time it may work
                _logger.error(f"{name}_failed", error=str(error))
            if stopping.wait(every_s):
                return

    thread = threading.Thread(target=run, name=f"threadline-{name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
