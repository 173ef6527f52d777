"""Work that is done again and again beside the requests."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

_logger = structlog.get_logger("threadline")


# After one that failed, what is waited for doubles, up to this.
LONGEST_WAIT_S = 600.0


@contextmanager
def repeated(work: Callable[[], None], every_s: float, name: str) -> Iterator[None]:
    """Have it done now and again, on a thread of its own, as long as the block lasts. What goes
    wrong is logged as `{name}_failed`, and tried again the next time."""

    def run(stopping: threading.Event) -> None:
        while True:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - the next time it may work
                _logger.error(f"{name}_failed", error=str(error))
            if stopping.wait(every_s):
                return

    with _on_a_thread(run, name, None):
        yield


@contextmanager
def persistent(
    look: Callable[[threading.Event], None],
    every_s: float,
    name: str,
    failed: str,
    later: tuple[type[BaseException], ...],
    stop_s: float,
    at_once: threading.Event | None = None,
) -> Iterator[None]:
    """As `repeated`, of work that stays to be done until it is done: after a failure, which is
    logged as `failed`, it is left alone for longer and longer. `look` is given what says that it is
    to stop, and not waited for longer than `stop_s`. `later`: raised where its turn is not yet.
    `at_once`: set by who knows of something to do."""
    woken = at_once or threading.Event()

    def run(stopping: threading.Event) -> None:
        wait_s, failures = 0.0, 0
        while True:
            woken.wait(wait_s)
            woken.clear()
            if stopping.is_set():
                return
            try:
                look(stopping)
            except later:
                pass
            except Exception as error:  # noqa: BLE001 - it stays to be done, the next time it may work
                if stopping.is_set():
                    return
                failures += 1
                _logger.error(failed, error=str(error), failures=failures)
            else:
                failures = 0
            wait_s = min(every_s * 2**failures, LONGEST_WAIT_S)

    with _on_a_thread(run, name, stop_s, woken.set):
        yield


@contextmanager
def _on_a_thread(
    run: Callable[[threading.Event], None],
    name: str,
    stop_s: float | None,
    wake: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    stopping = threading.Event()
    thread = threading.Thread(target=run, args=(stopping,), name=f"threadline-{name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        wake()
        thread.join(stop_s)
