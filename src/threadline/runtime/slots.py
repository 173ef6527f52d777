"""A bounded number of questions at once; the others wait, each no longer than it may run."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadline.contract.errors import Busy
from threadline.store import READERS

# Threads: a question waits for events to be written before it takes a handle, and others go on.
AT_ONCE = 2 * READERS
MOST_WAITING = 64

Answer = TypeVar("Answer")


class Slots:
    """Carries questions out on threads of their own, so that nothing else waits behind them."""

    def __init__(
        self,
        patience_s: float,
        refused: Callable[[], None],
        at_once: int = AT_ONCE,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        """`patience_s`: how long a question waits for its turn. `refused` is called for each whose
        turn does not come."""
        self._patience_s = patience_s
        self._refused = refused
        self._most = at_once + most_waiting
        self._asked = 0
        self._threads = ThreadPoolExecutor(at_once, "threadline-question")

    async def run(self, question: Callable[[], Answer]) -> Answer:
        """Raises `Busy`, and what the question raises."""
        if self._asked >= self._most:
            self._refused()
            raise Busy("Too many questions are waiting for an answer; try again in a few seconds.")
        asked_s = time.monotonic()

        def in_turn() -> Answer:
            if time.monotonic() - asked_s > self._patience_s:
                self._refused()
                raise Busy("The questions before this one took too long; try again.")
            return question()

        self._asked += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, in_turn)
        finally:
            self._asked -= 1

    def close(self) -> None:
        self._threads.shutdown()
