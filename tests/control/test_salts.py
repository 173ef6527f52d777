"""Salts and clocks: one visitor stays one through a jump, and no salt outlives its days."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.control import both
from threadline.contract.times import DAY_MS
from threadline.control import Control, check
from threadline.control.salts import LOOKS_TO_BELIEVE

MINUTE_MS = 60_000
TODAY = 20_000


class Clock:
    """Says what a test sets it to."""

    def __init__(self, day: float = TODAY) -> None:
        self.day = day

    def __call__(self) -> int:
        return int(self.day * DAY_MS)


@contextmanager
def running(folder: Path, clock: Clock) -> Iterator[Control]:
    """A server's control plane, after its first housekeeping."""
    with Control(folder, clock=clock) as control:
        control.housekeeping()
        yield control


def stored(folder: Path, salt: bytes) -> bool:
    return salt in b"".join(path.read_bytes() for path in folder.iterdir())


@pytest.mark.parametrize("leap", [9, 2, 8, 30, 20_000, -2, -9, -365, -TODAY])
@pytest.mark.parametrize("looks", [0, 1, LOOKS_TO_BELIEVE - 1])
def test_a_visitor_stays_one_through_a_jump_and_back(folder: Path, leap: int, looks: int) -> None:
    clock = Clock()
    with running(folder, clock) as control:
        salt = control.salt()
        for _ in range(3):
            clock.day = TODAY + leap
            assert control.salt() == salt
            for _ in range(looks):
                control.housekeeping()
                assert control.salt() == salt
            clock.day = TODAY
            assert control.salt() == salt
            control.housekeeping()
            assert control.salt() == salt
        clock.day = TODAY + 1
        control.housekeeping()
        assert control.salt() != salt
    assert check(folder) == []


@both
@pytest.mark.parametrize("leap", [1, -1])
def test_a_jump_of_a_day_comes_back_to_the_same_salt(folder: Path, leap: int) -> None:
    clock = Clock()
    with running(folder, clock) as control:
        salt = control.salt()
        clock.day = TODAY + leap
        control.housekeeping()
        control.salt()
        clock.day = TODAY
        control.housekeeping()
        assert control.salt() == salt


@both
def test_a_jump_may_pass_over_restarts(folder: Path) -> None:
    clock = Clock()
    with running(folder, clock) as control:
        salt = control.salt()
    clock.day = TODAY + 9
    for _ in range(3):
        with running(folder, clock) as control:
            assert control.salt() == salt
    (problem,) = check(folder)
    assert "the clock jumped from 2024-10-04 to 2024-10-13" in problem.found
    clock.day = TODAY
    with running(folder, clock) as control:
        assert control.salt() == salt


def test_midnight_in_the_middle_of_a_jump(folder: Path) -> None:
    clock = Clock(TODAY + 0.99)
    with running(folder, clock) as control:
        first = control.salt()
        clock.day = TODAY + 9.99
        control.housekeeping()
        clock.day = TODAY + 10.01
        control.housekeeping()
        assert control.salt() == first
        clock.day = TODAY + 1.02
        control.housekeeping()
        assert control.salt() != first
        assert stored(folder, first), "yesterday's is kept"


def test_a_day_that_lasts_is_believed(folder: Path) -> None:
    """A server that was stopped for weeks, or a clock that was wrong and was set right."""
    clock = Clock()
    with running(folder, clock) as control:
        old = control.salt()
    for day in (TODAY + 30, TODAY - 30):
        clock.day = day
        with running(folder, clock) as control:
            for _ in range(LOOKS_TO_BELIEVE - 2):
                control.housekeeping()
            assert control.salt() == old
            assert stored(folder, old)
            control.housekeeping()
            assert control.salt() != old
            assert not stored(folder, old), "nor does one of a day to come stay"
            old = control.salt()


def test_nobody_has_to_send_anything(folder: Path) -> None:
    """In normal running each salt goes two days after its own began, hour by hour."""
    clock = Clock()
    made: dict[int, bytes] = {}
    with running(folder, clock) as control:
        for hour in range(5 * 24):
            clock.day = TODAY + hour / 24
            control.housekeeping()
            made |= control.look().salts
            here = {day for day, salt in made.items() if stored(folder, salt)}
            today = TODAY + hour // 24
            assert here == {day for day in (today - 1, today, today + 1) if day >= TODAY}
        assert control.salt() == made[TODAY + 4]
    assert len(set(made.values())) == 6


@both
def test_every_day_has_its_own_salt_from_midnight_on(folder: Path) -> None:
    """Without waiting for housekeeping."""
    clock = Clock(TODAY + 0.999)
    with running(folder, clock) as control:
        before = control.salt()
        clock.day = TODAY + 1
        after = control.salt()
        assert after != before
        control.housekeeping()
        assert control.salt() == after


@both
def test_two_processes_have_the_same_salt(folder: Path) -> None:
    clock = Clock()
    with Control(folder, clock=clock) as one, Control(folder, clock=clock) as other:
        assert one.salt() == other.salt()
    with Control(folder, clock=clock) as later:
        first = later.salt()
        later.housekeeping()
        assert later.salt() == first
