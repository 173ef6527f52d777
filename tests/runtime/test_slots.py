"""Many questions at once: those that fit are answered, the others told to come again."""

import asyncio
import threading

import pytest

from tests.support import run_async
from threadline.contract.errors import Busy
from threadline.runtime.slots import AT_ONCE, MOST_WAITING, Slots


class Line:
    """Questions that are answered when the gate opens."""

    def __init__(self, patience_s: float = 60.0) -> None:
        self.refused = 0
        self.gate = threading.Event()
        self.slots = Slots(patience_s, self._count)

    def _count(self) -> None:
        self.refused += 1

    def question(self) -> str:
        self.gate.wait()
        return "answer"


def test_a_bounded_number_waits() -> None:
    line = Line()

    async def ask_all() -> list[str]:
        asked = [
            asyncio.ensure_future(line.slots.run(line.question))
            for _ in range(AT_ONCE + MOST_WAITING)
        ]
        await asyncio.sleep(0)  # all are in line now
        with pytest.raises(Busy):
            await line.slots.run(line.question)
        line.gate.set()
        answers = await asyncio.gather(*asked)
        answers.append(await line.slots.run(line.question))
        return answers

    assert run_async(ask_all()) == ["answer"] * (AT_ONCE + MOST_WAITING + 1)
    assert line.refused == 1
    line.slots.close()


def test_who_waited_too_long_is_told() -> None:
    line = Line(patience_s=0.0)

    async def ask() -> None:
        with pytest.raises(Busy):
            await line.slots.run(line.question)

    run_async(ask())
    assert line.refused == 1
    line.slots.close()


def test_what_goes_wrong_is_the_questions_own() -> None:
    line = Line()

    async def ask() -> None:
        with pytest.raises(ZeroDivisionError):
            await line.slots.run(lambda: 1 / 0)

    run_async(ask())
    line.slots.close()
