"""Many pass; who closes it waits for those inside, and is told where that takes too long."""

import threading

import pytest

from threadline.store import StoreBusy
from threadline.store.gate import Gate


def test_who_closes_it_waits_for_those_inside_and_others_for_that() -> None:
    gate, order = Gate(), list[str]()
    asking, closed = threading.Event(), threading.Event()

    def ask() -> None:
        asking.set()
        with gate.passing(60):
            order.append("second question")

    def close() -> None:
        with gate.closed(60):
            closed.set()
            other.start()
            asking.wait(60)
            order.append("closed")

    other, closing = threading.Thread(target=ask), threading.Thread(target=close)
    with gate.passing(0):
        closing.start()
        assert not closed.wait(0.05), "not while somebody is inside"
        order.append("first question")
    for thread in (closing, other):
        thread.join(60)
    assert order == ["first question", "closed", "second question"]


def test_after_waiting_in_vain_it_is_open_again() -> None:
    gate = Gate()
    with gate.passing(0):
        with pytest.raises(StoreBusy, match="still run"), gate.closed(0):
            pass
        with gate.passing(0):
            pass
    with gate.closed(0):
        with pytest.raises(StoreBusy, match="ask again"), gate.passing(0):
            pass
        with pytest.raises(StoreBusy, match="already"), gate.closed(0):
            pass
    with gate.passing(0):
        pass
