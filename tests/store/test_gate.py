"""Many pass; who closes it waits for those inside, and is told where that takes too long."""

import threading
import time

import pytest

from threadline.store import StoreBusy, gate
from threadline.store.gate import Gate


def test_who_closes_it_waits_for_those_inside_and_others_for_that() -> None:
    door, order = Gate(), list[str]()
    asking, closed = threading.Event(), threading.Event()

    def ask() -> None:
        asking.set()
        with door.passing(60):
            order.append("second question")

    def close() -> None:
        with door.closed(60):
            closed.set()
            other.start()
            asking.wait(60)
            order.append("closed")

    other, closing = threading.Thread(target=ask), threading.Thread(target=close)
    with door.passing(0):
        closing.start()
        assert not closed.wait(0.05), "not while somebody is inside"
        order.append("first question")
    for thread in (closing, other):
        thread.join(60)
    assert order == ["first question", "closed", "second question"]


def test_after_waiting_in_vain_it_is_open_again() -> None:
    door = Gate()
    with door.passing(0):
        with pytest.raises(StoreBusy, match="still run"), door.closed(0):
            pass
        with door.passing(0):
            pass
    with door.closed(0):
        with pytest.raises(StoreBusy, match="ask again"), door.passing(0):
            pass
        with pytest.raises(StoreBusy, match="already"), door.closed(0):
            pass
    with door.passing(0):
        pass


def test_a_slow_export_keeps_nobody_else_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the gate closed meanwhile, questions would wait in vain."""
    monkeypatch.setattr(gate, "LONG_S", 0.1)
    door = Gate()
    with door.passing(0):
        while door._longest_s() <= gate.LONG_S:
            time.sleep(0.01)
        adding = threading.Thread(target=pytest.raises, args=(StoreBusy, door.await_long, 0.5))
        adding.start()
        while adding.is_alive():
            with door.passing(0):
                time.sleep(0.01)
    door.await_long(0)
    monkeypatch.setattr(gate, "LONG_S", 60)
    with door.passing(0):
        door.await_long(0)  # it has come just now
