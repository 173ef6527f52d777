"""Being stopped: SIGTERM ends a command as Ctrl-C does, with a word and nothing left behind."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM raises `Terminated`, and SIGINT KeyboardInterrupt, as long as the block lasts."""

    def raise_terminated(number: int, frame: FrameType | None) -> None:
        raise Terminated

    handlers = {
        signal.SIGTERM: raise_terminated,
        signal.SIGINT: signal.default_int_handler,
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_status(interrupt: KeyboardInterrupt) -> int:
    """What a shell expects of a command that this ended."""
    return 128 + (signal.SIGTERM if isinstance(interrupt, Terminated) else signal.SIGINT)
